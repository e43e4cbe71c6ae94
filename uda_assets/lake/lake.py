"""The lake: one data root, its parts, and the lock of its writer. Its files are the truth."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from uda_assets.basics.errors import UdaError
from uda_assets.basics.limits import limit_pools
from uda_assets.basics.moments import reached
from uda_assets.basics.settings import Settings
from uda_assets.lake.access import Access, Notes
from uda_assets.lake.converted import ConvertedDrops
from uda_assets.lake.layout import MANIFEST, Layout, absolute_root
from uda_assets.lake.listing import EVERYTHING, Selection
from uda_assets.lake.manifests import Examined, LakeFormat, SessionsManifest
from uda_assets.lake.memory import memory_of
from uda_assets.lake.published import Published
from uda_assets.lake.raw_files import RawFiles
from uda_assets.lake.state_files import LedgerFile, StateFile
from uda_assets.storage import Location, can_rename, in_use, is_in_use, root_of, storage_of

_SPILL = "spill-"
_A_DAY = 86_400


class Lake(Layout):
    """One data root.

    Attributes:
        files: The storage that holds it.
        raw: The raw files, and their archive.
        converted: The committed drops.
        merged: The manifest of the sessions.
        published: The manifest of what is published.
        ledger: The ledger of rejected and forgotten drops.
        examined: The note of what the last run left nothing to do for.
        notes: Notes that save work and can be lost.
    """

    def __init__(self, root: Location, selection: Selection = EVERYTHING) -> None:
        super().__init__(absolute_root(root))
        self.files = storage_of(self.root)
        self.access = Access(self, self.files)
        memory = memory_of(str(self.root))
        self.raw = RawFiles(self.access, selection, memory)
        self.converted = ConvertedDrops(self.access, self.raw, memory)
        self.merged = StateFile(self.access, self.sessions / MANIFEST, SessionsManifest)
        self.published = Published(self.access)
        self.ledger = LedgerFile(self.access)
        self.examined = StateFile(self.access, self.internal / "examined.json", Examined)
        self.format = StateFile(self.access, self.internal / "format.json", LakeFormat)
        self.notes = Notes(self.access)

    def state_files(self) -> list[StateFile[Any]]:
        """Return all manifests except those of drops."""
        return [self.format, self.examined, self.ledger, self.merged, self.published]

    # -- forgetting drops ----------------------------------------------------------------------------------------

    def forget(self, drop: str, content: str) -> None:
        """Remove a drop's converted form. It is not converted again while its raw file has this content."""
        ledger = self.ledger.load()
        ledger.forgotten[drop] = content
        ledger.rejections.pop(drop, None)
        ledger.removing.append(drop)
        self.ledger.write(ledger)
        reached("forget: noted")
        self._complete_removals()

    def _complete_removals(self) -> None:
        ledger = self.ledger.load()
        if not ledger.removing:
            return
        self.converted.remove(ledger.removing)
        ledger.removed = sorted({*ledger.removed, *ledger.removing})
        ledger.removing.clear()
        self.ledger.write(ledger)

    def finish_removals(self) -> None:
        """Remove the quarantines of forgotten drops, to which nothing published refers any more."""
        ledger = self.ledger.load()
        if not ledger.removed and not self.files.remote:
            return
        self.converted.remove_quarantines(ledger.removed)
        reached("forget: quarantine removed")
        if ledger.removed:
            ledger.removed.clear()
            self.ledger.write(ledger)

    # -- the files of sessions -----------------------------------------------------------------------------------

    def remove_unreferenced_sessions(self, manifest: SessionsManifest) -> None:
        """Remove the files of sessions that a manifest does not name."""
        named = {*manifest.paths(), *manifest.superseded}
        below = self.files.files_below(self.sessions)
        self.access.require_lock()
        debris = [path for path in below if path.endswith((".parquet", ".tmp")) and path not in named]
        self.files.remove(self.sessions / path for path in debris)

    # -- lock ----------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, timeout: float) -> Iterator[None]:
        """Be the only writer of the data root. First complete or remove what an earlier writer left behind.

        Raises:
            UdaError: Another writer held the lock for ``timeout`` seconds, or the data root cannot be written.
            OtherFormat: Another version of this program wrote some of it.
        """
        self._require_place()
        self.require_format()
        with self.files.locked(self.internal / "lock", timeout) as guard:
            self.access.guard = guard
            try:
                self._require_one_file_system()
                self._require_formats()
                self.converted.recover()
                self._remove_old_spills()
                self._complete_removals()
                yield
            finally:
                self.access.guard = None
                self.converted.release()

    def _require_place(self) -> None:
        """Raise an error if the data root is no directory and cannot become one, as with a mistyped path."""
        if self.files.remote or self.root.is_dir():
            return
        if self.root.exists():
            raise UdaError(f"the data root {self.root} is a file; name a directory by UDA_DATA_ROOT")
        if not self.root.parent.is_dir():
            raise UdaError(
                f"there is no directory {self.root.parent} in which to make the data root {self.root.name!r}; make it, "
                "or name another data root by UDA_DATA_ROOT"
            )

    def _require_one_file_system(self) -> None:
        """Raise an error if a mount keeps conversions from being moved into place, which must be one rename."""
        for directory in (self.parquets, self.quarantine):
            if not self.files.remote and directory.is_dir() and not can_rename(self.internal, directory):
                raise UdaError(
                    f"{directory} must be on the file system of {self.internal}, because conversions are moved "
                    "there in one step; mount the data root as a whole"
                )

    def require_format(self) -> None:
        """Raise an error if another version of this program wrote the data root. One small file tells.

        Raises:
            OtherFormat: Another version did.
        """
        self.format.read()

    def _require_formats(self) -> None:
        """Check the format of each manifest before anything is written, then note the format of the data root."""
        known = self.format.read()
        if known is None or not self.files.remote:
            # In a bucket this would cost a request for each. A writer of another format changes the note first.
            for file in self.state_files():
                file.read()
        self.converted.hold()
        if known is None:
            self.format.write(LakeFormat())

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a directory for temporary files. It is on this data root if possible, and is removed at the end."""
        usable = isinstance(self.internal, Path) and os.access(self.internal, os.W_OK)
        with tempfile.TemporaryDirectory(prefix=_SPILL, dir=self.internal if usable else None) as path, in_use(path):
            yield Path(path)

    def _remove_old_spills(self) -> None:
        """Remove temporary directories of readers that died. A younger one may be in use."""
        for path in self.internal.glob(f"{_SPILL}*") if isinstance(self.internal, Path) else ():
            with suppress(OSError):
                # After a jump of the clock, a directory may seem old although it is in use.
                if time.time() - path.stat().st_mtime > _A_DAY and not is_in_use(path):
                    shutil.rmtree(path, ignore_errors=True)


def open_lake(settings: Settings) -> Lake:
    """Open the data root that the settings name, with the drops that they select.

    Raises:
        OtherFormat: Another version of this program wrote it.
    """
    limit_pools(settings)
    selection = Selection(_patterns(settings.include), _patterns(settings.exclude), settings.modified_after)
    lake = Lake(root_of(settings), selection)
    lake.require_format()
    return lake


def _patterns(text: str) -> tuple[str, ...]:
    return tuple(pattern for part in text.split(",") if (pattern := part.strip()))
