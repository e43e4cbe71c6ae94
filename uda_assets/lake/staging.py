"""Files that are written but not committed yet, and how they get the names under which they will count.

Tasks write under names that no other attempt uses, so that an attempt may run twice, or go on after its run has died.
Before the commit the files get their final names, which were never used before: a drop's first version is
``part.0.parquet``; the name of a correction contains a stamp. What has a fixed name, as ``_metadata``, follows after
the commit. In a bucket nothing can be renamed, so that files have their final names, with a stamp, from the beginning.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from uda_assets.basics.moments import Killed, reached
from uda_assets.lake.layout import MANIFEST, SUMMARIES, Layout
from uda_assets.lake.sealed import sealed
from uda_assets.lake.state import DropManifest
from uda_assets.storage import Hold, Location, Storage, make_dir


class Outputs(NamedTuple):
    """Where a conversion writes.

    Attributes:
        parts: The directory of the part files.
        suffix: A part of their names.
        quarantine: The file of the malformed records.
        summaries: The directory of ``_metadata`` and ``_common_metadata``.
    """

    parts: Location
    suffix: str
    quarantine: Location
    summaries: Location


class Stage(NamedTuple):
    """Directories for files that are not committed yet. They are removed at the end.

    Attributes:
        scratch: A directory on this machine.
        shared: A directory on the storage of the data root, which other machines see too.
        stamp: A part of names that no other stage uses.
    """

    scratch: Path
    shared: Location
    stamp: str


@contextmanager
def open_stage(layout: Layout, files: Storage, hold: Hold) -> Iterator[Stage]:
    """Open a stage. What is left in it after an error, the next writer removes at the latest."""
    stamp = f"{hold.stamp}-{uuid.uuid4().hex[:8]}"
    shared = layout.internal / "staging" / stamp
    if files.remote:
        with tempfile.TemporaryDirectory(prefix="uda-") as scratch:
            yield Stage(Path(scratch), shared, stamp)
            files.remove(shared / name for name in files.files_below(shared))
        return
    make_dir(shared)
    try:
        yield Stage(shared, shared, stamp)
    except Killed:
        raise
    except BaseException:
        shutil.rmtree(shared, ignore_errors=True)
        raise
    shutil.rmtree(shared, ignore_errors=True)


class StagedDrop:
    """The converted form of one drop on its way to being committed.

    Attributes:
        scratch, shared: Directories of its own, as those of the stage.
    """

    def __init__(self, layout: Layout, files: Storage, stage: Stage, drop: str, *, is_first: bool) -> None:
        self._layout, self._files, self._drop = layout, files, drop
        self._stamp = f"{stage.stamp}-{uuid.uuid4().hex[:8]}"
        self.scratch, self.shared = stage.scratch / self._stamp, stage.shared / self._stamp
        make_dir(self.scratch)
        self._place = layout.parquet_dir(drop)
        self._is_first = is_first
        self._attempts = 0

    @property
    def is_complete(self) -> bool:
        """Whether all files are in place before the commit, where their signatures can be looked up at once."""
        return self._is_first and not self._files.remote

    def outputs(self) -> Outputs:
        """Return where to write. What an earlier attempt wrote is void."""
        if self._attempts:
            self._remove_objects()
        self._attempts += 1
        self._name = f"{self._stamp}-{self._attempts}"
        later = self.shared / "summaries"
        if self._files.remote:
            quarantine = self._layout.quarantine / f"{self._layout.name_of(self._drop)}/{self._name}.parquet"
            return Outputs(self._place, f".{self._name}", quarantine, self._place if self._is_first else later)
        data = self.scratch / "data"
        shutil.rmtree(data, ignore_errors=True)
        quarantine = self.scratch / "quarantine.parquet"
        return Outputs(data, "" if self._is_first else f".{self._name}", quarantine, data if self._is_first else later)

    def arrange(self, manifest: DropManifest) -> DropManifest:
        """Give the files their final names, and return the manifest with these. It is not committed yet."""
        reached("drop: staged")
        name = self._layout.name_of(self._drop)
        if self._files.remote:
            quarantine = f"{name}/{self._name}.parquet"
        else:
            quarantine = name if self._is_first else f".{self._name}/{name}"
        manifest = msgspec.structs.replace(manifest, quarantine=quarantine)
        data = self._place if self._files.remote else self.scratch / "data"
        if self._is_first:
            self._files.note(data / MANIFEST, sealed(manifest))
        if not self._files.remote:
            self._move_into_place(data, manifest)
        return manifest

    def _move_into_place(self, data: Path, manifest: DropManifest) -> None:
        if self._is_first:
            make_dir(self._place.parent)
            data.replace(self._place)
        else:
            for file in manifest.files:
                self._files.move(data / file.path, self._place / file.path)
        reached("drop: parts in place")
        self._files.move(self.scratch / "quarantine.parquet", self._layout.quarantine / manifest.quarantine)

    def follow(self, manifest: DropManifest) -> None:
        """Let the files with fixed names follow the commit of a correction. Those of a first version are there."""
        if not self._is_first:
            self._files.note(self._place / MANIFEST, sealed(manifest))
            for name in SUMMARIES:
                self._files.move(self.shared / "summaries" / name, self._place / name)
        reached("drop: summaries in place")
        shutil.rmtree(self.scratch, ignore_errors=True)

    def discard(self) -> None:
        """Remove what was written, because it will not be committed."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._remove_objects()

    def _remove_objects(self) -> None:
        """Remove the objects that were put under their final names. In a directory nothing has its final name yet."""
        if not self._files.remote:
            return
        quarantine = self._layout.quarantine / self._layout.name_of(self._drop)
        for directory in (self._place, quarantine):
            names = self._files.files_below(directory)
            # Nothing of a drop that is not committed counts.
            ours = [name for name in names if self._is_first or self._stamp in name]
            self._files.remove(directory / name for name in ours)
