"""How a drop's converted form becomes visible: both its records and its quarantine, or neither.

In a directory, outputs are staged and then moved into place. The first step of the commit writes an intent file. A
crash before it leaves debris, which the next writer removes. After it, the next writer completes the commit. The idea is that
of a write-ahead log (ARIES, Mohan et al. 1992), with one entry.

In a bucket, nothing can be moved. Outputs are put under names that no other writer uses. Then a conditional put of the
manifest, which names them, is the commit. Objects that no manifest names are debris. The idea is that of table formats
such as Delta Lake (Armbrust et al. 2020).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from uda_assets.basics.moments import Killed, reached
from uda_assets.lake.layout import MANIFEST, Layout
from uda_assets.lake.manifests import QUARANTINE, DropManifest
from uda_assets.lake.sealed import as_json, read_json, read_undamaged, sealed
from uda_assets.storage import Guard, Location, Storage, make_dir


class Outputs(NamedTuple):
    """Where a conversion writes.

    Attributes:
        parts: The directory of the part files.
        suffix: A part of their names.
        quarantine: The file of the malformed records.
    """

    parts: Location
    suffix: str
    quarantine: Location


class Stage(Protocol):
    """Outputs that are not committed yet."""

    @property
    def scratch(self) -> Path:
        """A directory on this machine, which is removed at the end."""

    @property
    def shared(self) -> Location:
        """A directory on the storage of the data root, which other machines see too. It is removed at the end."""

    def outputs(self, drop: str) -> Outputs:
        """Return where to write the converted form of a drop. What an earlier attempt wrote is void."""

    def commit(self, manifest: DropManifest) -> None:
        """Make the files that the manifest names the drop's converted form."""


class Commits(Protocol):
    """How changes are committed on one kind of storage."""

    def stage(self) -> AbstractContextManager[Stage]:
        """Open a stage."""

    def recover(self, manifests: Iterable[DropManifest] | None) -> bool:
        """Complete or remove what a dead writer left behind. Return whether committed drops may have changed."""

    def remove(self, drop: str) -> None:
        """Remove a drop's records."""

    def remove_quarantines(self, drops: Iterable[str], manifests: Iterable[DropManifest]) -> None:
        """Remove the quarantines of drops, and those to which nothing refers any more."""

    def superseded_quarantines(self, manifests: Iterable[DropManifest]) -> set[str]:
        """Return the paths of quarantines of earlier versions, which a reader may still have open."""


_LATER = ".later"
"""A directory for quarantines whose usual place still holds that of an earlier version. No drop has this name."""


class Renames:
    """Commits in a directory."""

    def __init__(self, files: Storage, places: Layout) -> None:
        self._files, self._places = files, places
        self._staging = places.internal / "staging"

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """Open a staging directory. Whatever was not committed is removed at its end."""
        path = self._staging / uuid.uuid4().hex
        make_dir(path)
        try:
            yield _StagedFiles(self, path)
        except Killed:
            raise
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        shutil.rmtree(path, ignore_errors=True)

    def commit(self, staged: Path, manifest: DropManifest) -> None:
        """Write the intent, then carry it out."""
        manifest = msgspec.structs.replace(manifest, quarantine=self._quarantine_name(manifest))
        self._files.commit(staged / "data" / MANIFEST, sealed(manifest))
        reached("drop: staged")
        intent = {"drop": manifest.drop, "quarantine": manifest.quarantine}
        self._files.commit(staged / "intent.json", as_json(intent))
        reached("drop: intent written")
        self._complete(staged)

    def _quarantine_name(self, manifest: DropManifest) -> str:
        """Return the path below ``quarantine/`` if it is not the usual one, which follows from the drop's name.

        The published warehouse refers to the earlier quarantine, which must not change before the rest is published.
        """
        own, checksum = self._places.quarantine_file(manifest.drop), manifest.checksums.get(QUARANTINE)
        if not own.exists() or self._files.hash(own) == checksum:
            return ""
        before = read_undamaged(self._files, self._places.parquet_dir(manifest.drop) / MANIFEST, DropManifest)
        if before and before.checksums.get(QUARANTINE) == checksum:
            return before.quarantine  # It was lost or damaged, and is made anew as it was.
        identity = hashlib.sha256(f"{manifest.fingerprint} {manifest.drop}".encode()).hexdigest()[:32]
        return f"{_LATER}/{identity}.parquet"

    def _complete(self, staged: Path) -> None:
        """Carry out a commit whose intent is written. Any of its steps may already have been done."""
        intent = read_json(self._files, staged / "intent.json", dict[str, str])
        if intent:
            target, data = self._places.parquet_dir(intent["drop"]), staged / "data"
            malformed, later = staged / "quarantine.parquet", intent.get("quarantine")
            place = self._places.quarantine / later if later else self._places.quarantine_file(intent["drop"])
            if malformed.exists():
                make_dir(place.parent)
                malformed.replace(place)
            if data.exists():
                if target.exists():
                    target.replace(staged / "superseded")
                    reached("drop: old version moved away")
                make_dir(target.parent)
                data.replace(target)
                reached("drop: new version in place")
        shutil.rmtree(staged, ignore_errors=True)

    def recover(self, manifests: Iterable[DropManifest] | None) -> bool:
        """Complete the commits whose intents were written, and remove temporary files."""
        del manifests
        left = sorted(self._staging.iterdir()) if self._staging.is_dir() else []
        for staged in left:
            self._complete(staged)
        for directory in self._written_in():
            for path in directory.glob(".*.tmp*"):
                path.unlink(missing_ok=True)
        return bool(left)

    def _written_in(self) -> list[Location]:
        """Return the directories in which files are replaced."""
        places = self._places
        return [
            places.root, places.internal, places.sessions, places.results, places.results / "daily", places.history,
        ]  # fmt: skip

    def remove(self, drop: str) -> None:
        """Move the records away in one step, then remove them."""
        with self.stage() as bin_:
            target = self._places.parquet_dir(drop)
            if target.exists():
                target.replace(bin_.scratch / "data")
        reached("forget: records removed")

    def remove_quarantines(self, drops: Iterable[str], manifests: Iterable[DropManifest]) -> None:
        """Remove the quarantines of drops that are not committed again."""
        committed = {manifest.drop for manifest in manifests}
        self._files.remove(self._places.quarantine_file(drop) for drop in drops if drop not in committed)

    def superseded_quarantines(self, manifests: Iterable[DropManifest]) -> set[str]:
        """Return the quarantines that no manifest names."""
        places = self._places
        later = {manifest.quarantine: manifest.drop for manifest in manifests if manifest.quarantine}
        own = {places.name_of(drop) for drop in later.values() if places.quarantine_file(drop).exists()}
        others = {f"{_LATER}/{name}" for name in self._files.files_below(places.quarantine / _LATER)}
        return own | others.difference(later)


class _StagedFiles(NamedTuple):
    commits: Renames
    scratch: Path

    @property
    def shared(self) -> Path:
        return self.scratch

    def outputs(self, drop: str) -> Outputs:
        del drop
        shutil.rmtree(self.scratch / "data", ignore_errors=True)
        return Outputs(self.scratch / "data", "", self.scratch / "quarantine.parquet")

    def commit(self, manifest: DropManifest) -> None:
        self.commits.commit(self.scratch, manifest)


class Puts:
    """Commits in a bucket, by the holder of the lock."""

    def __init__(self, files: Storage, places: Layout, guard: Guard) -> None:
        self._files, self._places, self._guard = files, places, guard

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """Open a stage with names that no other writer uses."""
        with tempfile.TemporaryDirectory(prefix="uda-") as scratch:
            shared = self._places.internal / "staging" / self._new_name()
            yield _StagedObjects(self, Path(scratch), shared)
            # After an error the next writer removes it, because the bucket may be out of reach.
            self._remove_below(shared)

    def outputs(self, drop: str) -> Outputs:
        """Return names that only this attempt uses."""
        name = self._new_name()
        quarantine = self._places.quarantine / f"{self._places.name_of(drop)}/{name}.parquet"
        return Outputs(self._places.parquet_dir(drop), f".{name}", quarantine)

    def _new_name(self) -> str:
        return f"{self._guard.stamp}-{uuid.uuid4().hex[:8]}"

    def commit(self, outputs: Outputs, manifest: DropManifest) -> None:
        """Put the manifest, then remove the files that it replaces."""
        place, quarantine = self._places.parquet_dir(manifest.drop), self._places.quarantine
        relative = str(outputs.quarantine).removeprefix(f"{quarantine}/")
        manifest = msgspec.structs.replace(manifest, quarantine=relative)
        before = read_undamaged(self._files, place / MANIFEST, DropManifest)
        reached("drop: staged")
        self._guard.require()
        self._files.commit(place / MANIFEST, sealed(manifest))
        reached("drop: manifest put")
        kept = {file.path for file in manifest.files}
        self._files.remove(place / file.path for file in (before.files if before else []) if file.path not in kept)

    def recover(self, manifests: Iterable[DropManifest] | None) -> bool:
        """Remove part files that no manifest names, and temporary ones. Those of a later writer are left alone."""
        if manifests is None:
            return False
        places = self._places
        named = set()
        for manifest in manifests:
            directory = places.name_of(manifest.drop)
            named |= {f"{directory}/{file.path}" for file in manifest.files}
            named |= {f"{directory}/{name}" for name in (MANIFEST, "_metadata", "_common_metadata")}
        self._remove_unnamed(places.parquets, named)
        self._remove_unnamed(places.internal / "staging", set())
        return False

    def remove(self, drop: str) -> None:
        """Remove the manifest first, so that nothing names the files that are removed next."""
        place = self._places.parquet_dir(drop)
        self._guard.require()
        self._files.remove([place / MANIFEST])
        reached("forget: records removed")
        self._files.remove(place / name for name in self._files.files_below(place))

    def remove_quarantines(self, drops: Iterable[str], manifests: Iterable[DropManifest]) -> None:
        """Remove all quarantines that no manifest names."""
        del drops
        self._guard.require()
        self._remove_unnamed(self._places.quarantine, {manifest.quarantine for manifest in manifests})

    def superseded_quarantines(self, manifests: Iterable[DropManifest]) -> set[str]:
        """Return nothing: :meth:`remove_quarantines` removes them all."""
        del manifests
        return set()

    def _remove_unnamed(self, directory: Location, named: set[str]) -> None:
        debris = [name for name in self._files.files_below(directory) if name not in named and self._is_older(name)]
        self._files.remove(directory / name for name in debris)

    def _is_older(self, name: str) -> bool:
        """Return whether a file is not that of a later writer. A file without a stamp belongs to no writer."""
        stamped = _STAMP.search(name)
        return stamped is None or stamped[1] <= self._guard.stamp.partition("-")[0]

    def _remove_below(self, directory: Location) -> None:
        self._files.remove(directory / name for name in self._files.files_below(directory))


_STAMP = re.compile(r"(?:^|[./])(\d{10})-[0-9a-f]{8}-[0-9a-f]{8}(?:\.parquet$|/)")


class _StagedObjects:
    def __init__(self, commits: Puts, scratch: Path, shared: Location) -> None:
        self._commits, self.scratch, self.shared = commits, scratch, shared
        self._outputs: Outputs | None = None

    def outputs(self, drop: str) -> Outputs:
        self._outputs = self._commits.outputs(drop)
        return self._outputs

    def commit(self, manifest: DropManifest) -> None:
        assert self._outputs is not None
        self._commits.commit(self._outputs, manifest)
