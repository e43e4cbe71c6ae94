"""The data root: where things are, what counts, and how a change becomes visible. Its files are the truth."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from uda_assets.basics.errors import DamagedFile, DropBusy, UdaError
from uda_assets.basics.limits import limit_pools
from uda_assets.basics.moments import passed
from uda_assets.basics.settings import Settings
from uda_assets.lake.commits import Commits, Puts, Renames, Stage
from uda_assets.lake.layout import Places
from uda_assets.lake.listing import EVERYTHING, Listing, Selection, list_drops
from uda_assets.lake.manifests import (
    MANIFEST,
    QUARANTINE,
    DropManifest,
    Examined,
    LakeFormat,
    Ledger,
    PublicationManifest,
    SessionsManifest,
    Version,
    as_json,
    read_manifest,
    read_note,
    sealed,
    undamaged,
)
from uda_assets.lake.names import is_below
from uda_assets.storage import Guard, Location, Refusal, Signature, hash_file, in_use, is_in_use, root_of, storage_of

_SPILL = "spill-"
_A_DAY = 86_400
_READ_AT_ONCE = 16
"""Requests to a bucket under way at a time."""

T = TypeVar("T")
K = TypeVar("K")


class Publishing:
    """Files that are published together; see :meth:`Lake.publishing`.

    Attributes:
        new: Where each is written, by where it will be.
        manifest: What is then published, where it is not what was before; ``files`` are those beside the new ones.

    """

    def __init__(self, lake: Lake, stack: ExitStack) -> None:
        self._lake, self._stack = lake, stack
        self.new: dict[Location, Path] = {}
        self.manifest: PublicationManifest | None = None

    def replacing(self, path: Location) -> Path:
        """As :meth:`Lake.replacing`, at the end of all."""
        self.new[path] = self._stack.enter_context(self._lake.replacing(path))
        return self.new[path]


class Contents(NamedTuple):
    """What is in files: BLAKE3 by drop, and why it could not be told for the others."""

    hashes: dict[str, str]
    unreadable: dict[str, str]


# Manifests that were read, by path, with the file's signature: reading thousands of them anew each time is slow.
_MANIFESTS: dict[str, tuple[Signature, DropManifest]] = {}
# Likewise what was last hashed, by the file that it is noted in.
_VERSIONS: dict[str, tuple[Signature, dict[str, Version]]] = {}
# Data roots whose noted manifests were taken over.
_RECALLED: set[str] = set()


class Lake(Places):
    """Listings, commits and the writer's lock of one data root."""

    def __init__(self, root: Location, selection: Selection = EVERYTHING) -> None:
        super().__init__(_whole(root) if isinstance(root, Path) else root)
        self.files = storage_of(self.root)
        self._selection = selection
        self._versions: dict[str, Version] = {}
        # Who holds the lock is the only one to change manifests, and need not look for them again.
        self._guard: Guard | None = None
        self._ledger_file = self.internal / "ledger.json"
        self._held: dict[str, DropManifest] | None = None

    # -- drops ---------------------------------------------------------------------------------------------------

    def drops(self) -> dict[str, Signature]:
        """The drops that are there, by name in ascending order, with their signatures; costs no reading."""
        return self.listing().drops

    def inaccessible(self) -> dict[str, Refusal]:
        """What is there and not looked at; see :class:`Listing`."""
        return self.listing().inaccessible

    def listing(self) -> Listing:
        """What is below ``datasets``, as of now."""
        return list_drops(self.files, self.datasets, self._selection)

    def quarantine_of(self, manifest: DropManifest) -> str:
        """The full path of a committed drop's quarantine."""
        return f"{self.quarantine}/{manifest.quarantine or self.name_of(manifest.drop)}"

    def files_of(self, manifest: DropManifest) -> list[str]:
        """The files of a committed drop; making a Path for each of thousands takes too long."""
        base = f"{self.parquets}/{self.name_of(manifest.drop)}"
        beside = [f"{base}/{name}" for name in manifest.checksums if name != QUARANTINE]
        return [*(f"{base}/{file.path}" for file in manifest.files), *beside, self.quarantine_of(manifest)]

    def looking(self) -> Callable[[str], Signature | None]:
        """A function from a path that :meth:`files_of` gives to its signature; None where the file is missing."""
        return self.files.looking(self.parquets, self.quarantine)

    def contents(self, drops: Mapping[str, Signature]) -> Contents:
        """BLAKE3 of each drop; a file whose signature is as it was when last hashed is not read again.

        A drop that vanished since it was listed is in neither part of the answer.
        """
        known = self._known_versions()
        versions: dict[str, Version] = {}
        unreadable: dict[str, str] = {}

        def one(item: tuple[str, Signature]) -> Version | OSError:
            drop, mark = item
            try:
                return self._version(drop, mark, known.get(drop))
            except OSError as error:
                return error

        for (drop, _), found in self.side_by_side(one, list(drops.items())):
            if isinstance(found, Version):
                versions[drop] = found
            elif not isinstance(found, FileNotFoundError):
                unreadable[drop] = found.strerror or str(found)
        trusted = {drop: version for drop, version in versions.items() if not version.racy}
        if trusted != known:
            # Only to save work the next time; a reader of a data root may be allowed to read alone.
            with suppress(UdaError, OSError):
                self.files.note(self.internal / "catalogue.json", as_json(trusted))
        self._versions = trusted
        return Contents({drop: version.content for drop, version in versions.items()}, unreadable)

    def side_by_side(self, function: Callable[[K], T], items: list[K]) -> Iterator[tuple[K, T]]:
        """What a function gives for each item; in a bucket side by side, since each has to wait for answers."""
        if not self.files.remote or len(items) < 2:
            yield from ((item, function(item)) for item in items)
            return
        with ThreadPoolExecutor(_READ_AT_ONCE, thread_name_prefix="uda-read") as pool:
            yield from zip(items, pool.map(function, items), strict=True)

    def version(self, drop: str) -> Version:
        """What is in a drop now.

        Raises:
            DropBusy: It is gone, or cannot be read.

        """
        try:
            return self._version(drop, self.files.signature(self.source(drop)), self._versions.get(drop))
        except OSError as error:
            raise DropBusy(f"drop {drop!r} cannot be read: {error.strerror or error}; deliver it again") from None

    def is_still(self, drop: str, version: Version) -> bool:
        """Whether nothing has changed a drop since; where its signature alone cannot tell, it is hashed again."""
        now = self.version(drop)
        if now.signature != version.signature:
            return False
        return not version.racy or self.files.hash(self.source(drop)) == version.content

    def _known_versions(self) -> dict[str, Version]:
        path = self.internal / "catalogue.json"
        try:
            mark = self.files.signature(path)
        except OSError:
            return {}
        if str(path) not in _VERSIONS or _VERSIONS[str(path)][0] != mark:
            _VERSIONS[str(path)] = mark, read_note(self.files, path, dict[str, Version]) or {}
        return _VERSIONS[str(path)][1]

    def _version(self, drop: str, mark: Signature, known: Version | None) -> Version:
        if known and known.signature == mark:
            return known
        racy = self.files.is_racy(mark)
        return Version(mark, self.files.hash(self.source(drop)), racy)

    def examined(self) -> Examined | None:
        """What was last found to need nothing; None where that is not known."""
        return undamaged(self.files, self.internal / "examined.json", Examined)

    def write_examined(self, examined: Examined) -> None:
        """Note what needs nothing."""
        self._commit(self.internal / "examined.json", examined)

    def noted(self, name: str, kind: type[T]) -> T | None:
        """What was noted under a name; None where nothing was, or where it is of no use."""
        try:
            return msgspec.msgpack.decode(self.files.read(self.internal / f"{name}.msgpack"), type=kind)
        except (OSError, msgspec.DecodeError):
            return None

    def note(self, name: str, value: object) -> None:
        """Note what saves work later and can be lost without harm; the lock is not needed."""
        with suppress(OSError):
            self.files.note(self.internal / f"{name}.msgpack", msgspec.msgpack.encode(value))

    def archive_drop(self, drop: str, expected: Signature, content: str) -> bool:
        """Move a raw file below ``archive``, unless it is another one by now; an older archived version stays too.

        Where a directory of this name was archived, or a file that is called like a directory of this drop, it stays.
        """
        source, target = self.source(drop), self.archive / drop
        if target.is_dir() or (not self.files.remote and any(parent.is_file() for parent in target.parents)):
            return False
        if target.exists() and (older := self.files.hash(target)) != content:
            self.files.move(target, target.with_name(f"{target.name}.{older[:12]}"))
        try:
            if self.files.signature(source) != expected:
                return False
            self.files.move(source, target)
        except FileNotFoundError:
            return False
        if not self._is_same_but_for_moving(target, expected, content) and not source.exists():
            self.files.move(target, source)
            return False
        return True

    def archived(self) -> dict[str, Signature]:
        """The archived raw files by their drops' names, with their signatures; of each drop the latest."""
        return list_drops(self.files, self.archive, EVERYTHING).drops

    def is_archived(self, drop: str, content: str | None) -> bool:
        """Whether there is an archived raw file of this content, or of any."""
        try:
            return content in {None, self.files.hash(self.archive / drop)}
        except OSError:
            return False

    def restore_drop(self, drop: str, content: str | None) -> bool:
        """Move an archived raw file back to where drops are, to be seen as one.

        Only if this is its content, where that is known, nothing is in its place, and the selection takes it.
        """
        archived, source = self.archive / drop, self.source(drop)
        if source.exists() or not self.is_archived(drop, content):
            return False
        if not self._selection.takes(drop, self.files.signature(archived)):
            return False
        self.files.move(archived, source)
        return True

    def _is_same_but_for_moving(self, target: Location, expected: Signature, content: str) -> bool:
        if self.files.remote:
            # Between looking and moving it may have changed; a copy has times of its own.
            return self.files.hash(target) == content
        found = self.files.signature(target)
        return (found.size, found.modified, found.identity) == (expected.size, expected.modified, expected.identity)

    # -- manifests -----------------------------------------------------------------------------------------------

    def manifests(self) -> dict[str, DropManifest]:
        """The committed drops, by name.

        A drop whose manifest is damaged is as good as not committed, and converted again.

        Raises:
            UdaError: Its raw file is not there any more.

        """
        if self._held is not None:
            return self._held
        manifests, damaged = self.read_manifests()
        self._require_sources(damaged)
        if self._guard is not None:
            self._held = manifests
        return manifests

    def read_manifests(self) -> tuple[dict[str, DropManifest], list[str]]:
        """The committed drops by name, and where manifests are damaged: directories below that of converted drops."""
        self._recall_manifests()
        found: list[DropManifest] = []
        damaged: list[str] = []
        listed = list(self.files.manifests_below(self.parquets, MANIFEST))
        for (path, _), manifest in self.side_by_side(self._listed_manifest, listed):
            if isinstance(manifest, DropManifest):
                found.append(manifest)
            elif manifest is not None:
                damaged.append(path.removesuffix(f"/{MANIFEST}").removeprefix(f"{self.parquets}/"))
        return {manifest.drop: manifest for manifest in sorted(found, key=lambda manifest: manifest.drop)}, damaged

    def _listed_manifest(self, listed: tuple[str, Signature]) -> DropManifest | DamagedFile | None:
        """A manifest; the error where it is damaged, None where it is gone."""
        path, mark = listed
        known = _MANIFESTS.get(path)
        if known and known[0] == mark:
            return known[1]
        try:
            manifest = read_manifest(self.files, self.located(path), DropManifest)
        except DamagedFile as error:
            return error
        if manifest:
            _MANIFESTS[path] = (mark, manifest)
        return manifest

    def located(self, path: str) -> Location:
        """A full path as a location."""
        return self.root / path.removeprefix(f"{self.root}/")

    def _require_sources(self, damaged: list[str]) -> None:
        for name in self._without_source(damaged):
            directory = f"{self.parquets}/{name}"
            raise UdaError(
                f"{directory}/{MANIFEST} is damaged and there is no raw file to convert again; deliver the "
                f"drop again below {self.datasets}, or remove {directory} to go on without it"
            )

    def _without_source(self, damaged: list[str]) -> list[str]:
        sources = {self.name_of(drop) for drop in {*self.drops(), *self.archived()}} if damaged else set()
        return [name for name in damaged if name not in sources]

    def note_manifests(self) -> None:
        """Note all manifests in one file, so that the next process need not open each; their stat is looked at then."""
        base = len(str(self.parquets)) + 1
        paths = (f"{self.parquets}/{self.name_of(drop)}/{MANIFEST}" for drop in self.manifests())
        self.note("manifests", {path[base:]: _MANIFESTS[path] for path in paths if path in _MANIFESTS})

    def _recall_manifests(self) -> None:
        base = str(self.parquets)
        if base not in _RECALLED:
            _RECALLED.add(base)
            noted = self.noted("manifests", dict[str, tuple[Signature, DropManifest]]) or {}
            _MANIFESTS.update({f"{base}/{path}": pair for path, pair in noted.items()})

    def manifest(self, drop: str) -> DropManifest | None:
        """The manifest of one drop, if it is committed."""
        if not is_below(drop):
            return None
        try:
            manifest = read_manifest(self.files, self.parquet_dir(drop) / MANIFEST, DropManifest)
        except DamagedFile:
            return self.manifests().get(drop)
        # Names such as ./a.csv lead to another drop's files.
        return manifest if manifest and manifest.drop == drop else None

    def other_manifests(self) -> dict[str, bool]:
        """Whether the manifests of all but drops are as they were written, as far as there are any."""
        kinds: dict[Location, type[msgspec.Struct]] = {
            self.internal / "format.json": LakeFormat,
            self.internal / "examined.json": Examined,
            self._ledger_file: Ledger,
            self.sessions / MANIFEST: SessionsManifest,
            self.results / MANIFEST: PublicationManifest,
        }
        found = {}
        for path, kind in kinds.items():
            try:
                there = read_manifest(self.files, path, kind) is not None
            except DamagedFile:
                found[self.below(path)] = False
            else:
                found |= {self.below(path): True} if there else {}
        return found

    def sessions_manifest(self) -> SessionsManifest | None:
        """Which sessions files count; None where they are to be built anew.

        So it is at first, and where the manifest is damaged.

        Raises:
            OtherFormat: Another version of this program built them.

        """
        return undamaged(self.files, self.sessions / MANIFEST, SessionsManifest)

    def write_sessions_manifest(self, manifest: SessionsManifest) -> None:
        """Say which sessions files count."""
        self._commit(self.sessions / MANIFEST, manifest)

    def remove_sessions_but(self, manifest: SessionsManifest) -> None:
        """Remove the files of sessions that a manifest does not name."""
        named = {*manifest.paths(), *manifest.superseded}
        below = self.files.files_below(self.sessions)
        self._require_lock()
        debris = [path for path in below if path.endswith((".parquet", ".tmp")) and path not in named]
        self.files.remove(self.sessions / path for path in debris)

    def published_generation(self) -> int | None:
        """The generation of the sessions that the published warehouse refers to, if any was published."""
        published = self.publication()
        return published.generation if published else None

    def publication(self) -> PublicationManifest | None:
        """What was last published, if anything was."""
        return undamaged(self.files, self.results / MANIFEST, PublicationManifest)

    def write_publication(self, publication: PublicationManifest) -> None:
        """Say what is published."""
        self._commit(self.results / MANIFEST, publication)

    def below(self, path: Location) -> str:
        """A path as it is below the data root."""
        return str(path).removeprefix(f"{self.root}/")

    def published_files(self) -> dict[str, str]:
        """BLAKE3 of what was published, by path below the data root, whether it is still there or not."""
        published = self.publication()
        return published.files | self._arrived(published) if published else {}

    def results_there(self, but: Iterable[Location] = ()) -> dict[str, str]:
        """BLAKE3 of what was published among the results and is still there, by path below the data root.

        ``but`` are files that are about to go.
        """
        there = {f"{self.results.name}/{name}" for name in self.files.files_below(self.results)}
        there -= {self.below(path) for path in but}
        return {path: checksum for path, checksum in self.published_files().items() if path in there}

    def _arrived(self, published: PublicationManifest) -> dict[str, str]:
        """Of the files that a writer began to put in place, and may have died over, those that are there."""
        found = {}
        for path, checksum in published.incoming.items():
            with suppress(FileNotFoundError):
                if self.files.hash(self.root / path) == checksum:
                    found[path] = checksum
        return found

    @contextmanager
    def publishing(self) -> Iterator[Publishing]:
        """For files that are published: when all are complete, they are put in place, and it is noted.

        Who dies between two of them leaves each as it was or as it was to be, and known to be so.
        """
        files = self.published_files()
        with ExitStack() as stack:
            publishing = Publishing(self, stack)
            yield publishing
            checksums = {self.below(path): hash_file(written) for path, written in publishing.new.items()}
            if published := self.publication():
                self.write_publication(msgspec.structs.replace(published, files=files, incoming=checksums))
            passed("publishing: announced")
        passed("publishing: files in place")
        if publishing.manifest:
            files = publishing.manifest.files
        if manifest := publishing.manifest or self.publication():
            files = dict(sorted((files | checksums).items()))
            self.write_publication(msgspec.structs.replace(manifest, files=files, incoming={}))

    def ledger(self) -> Ledger:
        """Rejections and forgotten drops.

        Raises:
            UdaError: The file is damaged, which only a person can mend: nothing else tells what was forgotten.

        """
        path = self._ledger_file
        try:
            return read_manifest(self.files, path, Ledger) or Ledger()
        except DamagedFile:
            raise UdaError(
                f"{path} is damaged; remove it, then `uda forget` again the drops that were forgotten and whose raw "
                "files are still there"
            ) from None

    def write_ledger(self, ledger: Ledger) -> None:
        """Replace the ledger."""
        self._commit(self._ledger_file, ledger)

    # -- commit --------------------------------------------------------------------------------------------------

    @contextmanager
    def replacing(self, path: Location) -> Iterator[Path]:
        """A path of this machine to write to; at the end it becomes the file in one step, on any error nothing."""
        self._require_lock()
        with self.files.replacing(path) as new:
            yield new
            # A lease may have ended meanwhile.
            self._require_lock()

    def _commit(self, path: Location, value: msgspec.Struct) -> None:
        self._require_lock()
        self.files.commit(path, sealed(value))

    def _require_lock(self) -> None:
        if self._guard is not None:
            self._guard.require()

    @property
    def _commits(self) -> Commits:
        if not self.files.remote:
            return Renames(self.files, self)
        if self._guard is None:
            raise UdaError(f"{self.root} is not locked for writing")
        return Puts(self.files, self, self._guard)

    def stage(self) -> AbstractContextManager[Stage]:
        """A new stage for outputs, removed at the end with whatever was not committed."""
        return self._commits.stage()

    def commit_drop(self, staged: Stage, manifest: DropManifest) -> None:
        """Make what was staged the drop's converted form: its records and its quarantine, both or neither."""
        staged.commit(manifest)
        self._held = None

    def forget_drop(self, drop: str, content: str) -> None:
        """Remove a drop's converted form for good: while its source has this content, it is not converted again."""
        ledger = self.ledger()
        ledger.forgotten[drop] = content
        ledger.rejections.pop(drop, None)
        ledger.removing.append(drop)
        self.write_ledger(ledger)
        passed("forget: noted")
        self._complete_removals()

    def _complete_removals(self) -> None:
        ledger = self.ledger()
        if not ledger.removing:
            return
        self._held = None
        for drop in ledger.removing:
            self._commits.remove(drop)
        ledger.removed = sorted({*ledger.removed, *ledger.removing})
        ledger.removing.clear()
        self.write_ledger(ledger)

    def finish_removals(self) -> None:
        """Remove the quarantine of what was forgotten, now that nothing published refers to it any more."""
        ledger = self.ledger()
        if not ledger.removed and not self.files.remote:
            return
        self._commits.remove_quarantines(ledger.removed, self.manifests().values())
        passed("forget: quarantine removed")
        if ledger.removed:
            ledger.removed.clear()
            self.write_ledger(ledger)

    def superseded_quarantines(self) -> set[str]:
        """Quarantines of earlier versions of drops, by their paths below ``quarantine``."""
        return self._commits.superseded_quarantines(self.manifests().values())

    def remove_superseded(self, quarantines: Iterable[str]) -> None:
        """Remove some of them, now that they are of what was published before the last time."""
        self._require_lock()
        self.files.remove(self.quarantine / path for path in quarantines)

    # -- lock ----------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, timeout: float) -> Iterator[None]:
        """Be the only writer of the data root; first complete or remove what an earlier one left behind.

        Raises:
            UdaError: Another writer held the lock for ``timeout`` seconds, or the data root cannot be written.

        """
        self.require_format()
        with self.files.locked(self.internal / "lock", timeout) as guard:
            self._guard = guard
            try:
                self._require_formats()
                self._recover()
                yield
            finally:
                self._guard, self._held = None, None

    def _recover(self) -> None:
        """Complete or remove what a writer that died left behind."""
        # Where a manifest is lost for good, nobody knows which files it named.
        if self._commits.recover(self._held.values() if self._held is not None else None):
            self._held = None
        self._remove_old_spills()
        self._complete_removals()

    def require_format(self) -> None:
        """See that this version of the program may read what is here; one small file tells.

        Raises:
            OtherFormat: It may not.

        """
        undamaged(self.files, self.internal / "format.json", LakeFormat)

    def _require_formats(self) -> None:
        """See in each manifest that it can be read before anything is written; then say which format it will be."""
        known = undamaged(self.files, self.internal / "format.json", LakeFormat)
        if known is None or not self.files.remote:
            # Whoever writes a newer format says so first; a bucket is not asked for each file again.
            self.sessions_manifest()
            self.publication()
            self.examined()
            undamaged(self.files, self._ledger_file, Ledger)
        manifests, damaged = self.read_manifests()
        if not self._without_source(damaged):
            self._held = manifests
        if known is None:
            self._commit(self.internal / "format.json", LakeFormat())

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory for a reader to spill to, removed at the end; the system's own where none can be made here."""
        usable = isinstance(self.internal, Path) and os.access(self.internal, os.W_OK)
        with tempfile.TemporaryDirectory(prefix=_SPILL, dir=self.internal if usable else None) as path, in_use(path):
            yield Path(path)

    def _remove_old_spills(self) -> None:
        """Of readers that died; a younger one may be in use."""
        for path in self.internal.glob(f"{_SPILL}*") if isinstance(self.internal, Path) else ():
            with suppress(OSError):
                # By a clock that jumped, a directory may seem old that is in use.
                if time.time() - path.stat().st_mtime > _A_DAY and not is_in_use(path):
                    shutil.rmtree(path, ignore_errors=True)


def _whole(root: Path) -> Path:
    """A data root as a path that is good everywhere; DuckDB takes `..` out of some paths, and out of others not."""
    return root.resolve() if ".." in root.parts else root.absolute()


def open_lake(settings: Settings) -> Lake:
    """The lake at the data root, with the drops that the settings select."""
    limit_pools(settings)
    selection = Selection(_patterns(settings.include), _patterns(settings.exclude), settings.modified_after)
    lake = Lake(root_of(settings), selection)
    lake.require_format()
    return lake


def _patterns(text: str) -> tuple[str, ...]:
    return tuple(pattern for part in text.split(",") if (pattern := part.strip()))
