"""The lake: one data root, its state, and the lock of its writer. Its files are the truth."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from uda_assets.basics.errors import UdaError
from uda_assets.basics.limits import limit_pools
from uda_assets.basics.settings import Settings
from uda_assets.lake.access import Access, Notes
from uda_assets.lake.garbage import sweep
from uda_assets.lake.layout import Layout, absolute_root
from uda_assets.lake.listing import EVERYTHING, Selection
from uda_assets.lake.raw_files import RawFiles
from uda_assets.lake.root import StateFiles
from uda_assets.lake.staging import Stage, StagedDrop, open_stage
from uda_assets.lake.state import State
from uda_assets.storage import Location, can_rename, in_use, is_in_use, root_of, storage_of

_SPILL = "spill-"
_A_DAY = 86_400


class Lake(Layout):
    """One data root.

    Attributes:
        files: The storage that holds it.
        raw: The raw files, and their archive.
        states: The states on disk.
        notes: Notes that save work and can be lost.
    """

    def __init__(self, root: Location, selection: Selection = EVERYTHING) -> None:
        super().__init__(absolute_root(root))
        self.files = storage_of(self.root)
        self.access = Access(self, self.files)
        self.raw = RawFiles(self.access, selection)
        self.states = StateFiles(self, self.files)
        self.notes = Notes(self.access)
        self._held: State | None = None

    # -- the state -----------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return the current state. Only the holder of the lock changes it, and need not read it again.

        Raises:
            OtherFormat: Another version of this program wrote it.
        """
        return self._held or self.states.read()

    def commit(self, state: State) -> State:
        """Make a state the current one, in one step, and return it.

        Raises:
            UdaError: The lock was lost to another writer. Nothing has changed.
        """
        hold = self.access.require_lock()
        new = state.noting(serial=self.state().serial + 1)
        self.states.write(new, hold)
        self._held = new
        return new

    # -- the lock ------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, timeout: float) -> Iterator[None]:
        """Be the only writer of the data root. First remove what a writer that died, or gave up, has left behind.

        Raises:
            UdaError: Another writer held the lock for ``timeout`` seconds, or the data root cannot be written.
            OtherFormat: Another version of this program wrote it.
        """
        self.require_place()
        if not self.files.remote:
            # So that not even the lock of another format is touched. In a bucket this would be one more request.
            self.states.read()
        with self.files.held(self.states.path, timeout) as hold:
            self.access.hold = hold
            try:
                self._require_one_file_system()
                self._held = found = self.states.state_in(hold.content)
                if hold.abandoned or self.states.is_restored:
                    if self.states.is_restored:
                        self.commit(found)
                    self.states.remove_others(hold.content)
                    sweep(self.access, found)
                self._remove_old_spills()
                yield
            finally:
                self.access.hold = self._held = None

    def require_place(self) -> None:
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

    # -- temporary files -----------------------------------------------------------------------------------------

    def stage(self) -> AbstractContextManager[Stage]:
        """Open a stage for files that are not committed yet."""
        return open_stage(self, self.files, self.access.require_lock())

    def staged(self, stage: Stage, drop: str) -> StagedDrop:
        """Return a place in a stage for the converted form of a drop."""
        if self.files.remote:
            is_first = drop not in self.state().drops
        else:
            is_first = not self.parquet_dir(drop).exists() and not self.quarantine_file(drop).exists()
        return StagedDrop(self, self.files, stage, drop, is_first=is_first)

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
    """Open the data root that the settings name, with the drops that they select."""
    limit_pools(settings)
    selection = Selection(_patterns(settings.include), _patterns(settings.exclude), settings.modified_after)
    return Lake(root_of(settings), selection)


def _patterns(text: str) -> tuple[str, ...]:
    return tuple(pattern for part in text.split(",") if (pattern := part.strip()))
