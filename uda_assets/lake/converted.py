"""The converted drops: their manifests, their files, and how a conversion is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from uda_assets.basics.errors import DamagedFile, UdaError
from uda_assets.lake.access import Access, Notes
from uda_assets.lake.commits import Commits, Puts, Renames, Stage
from uda_assets.lake.layout import MANIFEST
from uda_assets.lake.manifests import QUARANTINE, DropManifest
from uda_assets.lake.memory import Memory
from uda_assets.lake.names import is_below
from uda_assets.lake.raw_files import RawFiles
from uda_assets.lake.sealed import read_manifest
from uda_assets.storage import Signature

_NOTE = "manifests"


class ConvertedDrops:
    """The committed drops. Only their manifests decide which files count."""

    def __init__(self, access: Access, raw: RawFiles, memory: Memory) -> None:
        self._access, self._layout, self._files = access, access.layout, access.files
        self._raw = raw
        self._memory = memory
        self._notes = Notes(access)
        # Only the holder of the lock changes manifests, so that it need not list them again.
        self._held: dict[str, DropManifest] | None = None

    # -- manifests -----------------------------------------------------------------------------------------------

    def manifests(self) -> dict[str, DropManifest]:
        """Return the manifests of the committed drops, by name in ascending order.

        A drop with a damaged manifest counts as not committed, and is converted again.

        Raises:
            UdaError: The raw file of such a drop is gone.
        """
        if self._held is not None:
            return self._held
        manifests, damaged = self.read_all()
        for name in self._without_source(damaged):
            directory = f"{self._layout.parquets}/{name}"
            raise UdaError(
                f"{directory}/{MANIFEST} is damaged and there is no raw file to convert again; deliver the "
                f"drop again below {self._layout.datasets}, or remove {directory} to go on without it"
            )
        if self._access.guard is not None:
            self._held = manifests
        return manifests

    def read_all(self) -> tuple[dict[str, DropManifest], list[str]]:
        """Read all manifests. Return them by drop, and the directories below ``dataset_parquets/`` of damaged ones."""
        self._recall()
        listed = list(self._files.manifests_below(self._layout.parquets, MANIFEST))
        current: dict[str, tuple[Signature, DropManifest]] = {}
        damaged: list[str] = []
        for (path, signature), manifest in self._access.side_by_side(self._listed_manifest, listed):
            if isinstance(manifest, DropManifest):
                current[path] = signature, manifest
            elif manifest is not None:
                damaged.append(path.removesuffix(f"/{MANIFEST}").removeprefix(f"{self._layout.parquets}/"))
        self._memory.manifests = current
        by_drop = sorted((manifest for _, manifest in current.values()), key=lambda manifest: manifest.drop)
        return {manifest.drop: manifest for manifest in by_drop}, damaged

    def manifest(self, drop: str) -> DropManifest | None:
        """Return the manifest of one drop, or None if it is not committed."""
        if not is_below(drop):
            return None
        try:
            manifest = read_manifest(self._files, self._layout.parquet_dir(drop) / MANIFEST, DropManifest)
        except DamagedFile:
            return self.manifests().get(drop)
        # A name such as ./a.csv leads to the files of another drop.
        return manifest if manifest and manifest.drop == drop else None

    def remember(self) -> None:
        """Note all manifests in one file, so that the next process need not open each of them."""
        base = len(str(self._layout.parquets)) + 1
        paths = (f"{self._layout.parquets}/{self._layout.name_of(drop)}/{MANIFEST}" for drop in self.manifests())
        known = self._memory.manifests
        self._notes.write(_NOTE, {path[base:]: known[path] for path in paths if path in known})

    def _recall(self) -> None:
        if not self._memory.recalled:
            self._memory.recalled = True
            noted = self._notes.read(_NOTE, dict[str, tuple[Signature, DropManifest]]) or {}
            self._memory.manifests |= {f"{self._layout.parquets}/{path}": pair for path, pair in noted.items()}

    def _listed_manifest(self, listed: tuple[str, Signature]) -> DropManifest | DamagedFile | None:
        """Return a manifest, the error if it is damaged, or None if it has vanished."""
        path, signature = listed
        known = self._memory.manifests.get(path)
        if known and known[0] == signature:
            return known[1]
        try:
            return read_manifest(self._files, self._layout.located(path), DropManifest)
        except DamagedFile as error:
            return error

    def _without_source(self, damaged: list[str]) -> list[str]:
        if not damaged:
            return []
        sources = {*self._raw.listing().drops, *self._raw.archived()}
        names = {self._layout.name_of(drop) for drop in sources}
        return [name for name in damaged if name not in names]

    # -- files ---------------------------------------------------------------------------------------------------

    def quarantine_of(self, manifest: DropManifest) -> str:
        """Return the full path of a committed drop's quarantine."""
        return f"{self._layout.quarantine}/{manifest.quarantine or self._layout.name_of(manifest.drop)}"

    def files_of(self, manifest: DropManifest) -> list[str]:
        """Return the full paths of a committed drop's files, as texts: thousands of Path objects take too long."""
        base = f"{self._layout.parquets}/{self._layout.name_of(manifest.drop)}"
        beside = [f"{base}/{name}" for name in manifest.checksums if name != QUARANTINE]
        return [*(f"{base}/{file.path}" for file in manifest.files), *beside, self.quarantine_of(manifest)]

    def signature_lookup(self) -> Callable[[str], Signature | None]:
        """Return a function from a path of :meth:`files_of` to the file's signature, or None if it is missing."""
        return self._files.signature_lookup(self._layout.parquets, self._layout.quarantine)

    # -- commit --------------------------------------------------------------------------------------------------

    @property
    def _commits(self) -> Commits:
        if not self._files.remote:
            return Renames(self._files, self._layout)
        if self._access.guard is None:
            raise UdaError(f"{self._layout.root} is not locked for writing")
        return Puts(self._files, self._layout, self._access.guard)

    def stage(self) -> AbstractContextManager[Stage]:
        """Open a stage for outputs. Whatever was not committed is removed at its end."""
        return self._commits.stage()

    def commit(self, staged: Stage, manifest: DropManifest) -> None:
        """Make what was staged the drop's converted form, both its records and its quarantine, or neither."""
        staged.commit(manifest)
        self._held = None

    def remove(self, drops: Iterable[str]) -> None:
        """Remove the records of drops."""
        self._held = None
        for drop in drops:
            self._commits.remove(drop)

    def remove_quarantines(self, drops: Iterable[str]) -> None:
        """Remove the quarantines of drops, and those to which nothing refers any more."""
        self._commits.remove_quarantines(drops, self.manifests().values())

    def superseded_quarantines(self) -> set[str]:
        """Return the quarantines of earlier versions of drops, by their paths below ``quarantine/``."""
        return self._commits.superseded_quarantines(self.manifests().values())

    def remove_superseded(self, quarantines: Iterable[str]) -> None:
        """Remove quarantines, by their paths below ``quarantine/``, to which only an older publication referred."""
        self._access.require_lock()
        self._files.remove(self._layout.quarantine / path for path in quarantines)

    # -- lock ----------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Read all manifests and hold them while this process has the lock."""
        manifests, damaged = self.read_all()
        if not self._without_source(damaged):
            self._held = manifests

    def recover(self) -> None:
        """Complete or remove what a writer that died left behind."""
        # If a manifest is lost for good, nobody knows which files it named.
        if self._commits.recover(self._held.values() if self._held is not None else None):
            self._held = None

    def release(self) -> None:
        """Stop holding the manifests."""
        self._held = None
