"""Committing converted drops, a batch of them in one step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from uda_assets.basics.errors import DropBusy
from uda_assets.ingest.convert import Conversion
from uda_assets.lake import (
    NOTHING,
    DropFiles,
    DropManifest,
    FileFault,
    Lake,
    Listing,
    Rejection,
    StagedDrop,
    Version,
)
from uda_assets.lake.integrity import FRESH, key_of, misfit_of

_SECONDS = 3.0
"""How long a drop that is done waits for others with which it is committed, so that a kill costs little."""
_MOST_COSTLY = 1 / 20
"""The share of the time that committing may take, where it takes long because there are many drops."""


@dataclass
class Work:
    """What a conversion cost, counted so that a change of the code cannot make it grow unseen.

    Attributes:
        drops: Drops that were read. A drop that changed meanwhile counts again.
        size: Bytes in them, decompressed.
        bytes_read: Bytes of them that were read.
        rows_written: Rows in part files and quarantine.
    """

    drops: int = 0
    size: int = 0
    bytes_read: int = 0
    rows_written: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def passes(self) -> float:
        """How often each byte was read, on average."""
        return self.bytes_read / self.size if self.size else 0.0

    def add(self, done: Conversion) -> None:
        """Count a drop."""
        with self._lock:
            self.drops += 1
            self.size += done.size
            self.bytes_read += done.bytes_read
            self.rows_written += done.kept + done.quarantined


class ConversionReport(NamedTuple):
    """What a run converted, rejected whole, and put off because it was just changing, and what that cost.

    ``listing`` is what was there when it began to look for pending drops.
    """

    converted: list[DropManifest]
    rejected: dict[str, Rejection]
    put_off: dict[str, str]
    work: Work
    listing: Listing = NOTHING


class Converted(NamedTuple):
    """A drop that is converted and not committed yet.

    Attributes:
        manifest: The drop.
        done: What was read and written.
        version: Its raw file, as it was read.
        staged: Its files.
    """

    manifest: DropManifest
    done: Conversion
    version: Version
    staged: StagedDrop


class Rejected(NamedTuple):
    """A drop that is rejected whole, and its raw file, as it was read."""

    rejection: Rejection
    version: Version


Outcome = Converted | Rejected | DropBusy


class Batch:
    """Drops that are done and not committed yet."""

    def __init__(self, lake: Lake, report: ConversionReport) -> None:
        self._lake, self._report = lake, report
        self._done: dict[str, Outcome] = {}
        self._due = 0.0
        self._last_commit = 0.0

    def add(self, drop: str, outcome: Outcome) -> None:
        """Add a drop."""
        if not self._done:
            self._due = time.monotonic() + max(_SECONDS, self._last_commit / _MOST_COSTLY)
        self._done[drop] = outcome

    @property
    def seconds_left(self) -> float | None:
        """How long the batch can still wait, or None if it is empty."""
        return max(0.0, self._due - time.monotonic()) if self._done else None

    def commit(self) -> None:
        """Commit the batch in one step."""
        started = time.monotonic()
        converted = {drop: done for drop, done in self._done.items() if isinstance(done, Converted)}
        rejected = {drop: done for drop, done in self._done.items() if isinstance(done, Rejected)}
        busy = {drop: str(done) for drop, done in self._done.items() if isinstance(done, DropBusy)}
        if converted or rejected:
            self._report.converted.extend(self._commit(converted, rejected))
        self._report.rejected.update({drop: done.rejection for drop, done in rejected.items()})
        self._report.put_off.update(busy)
        self._done, self._last_commit = {}, time.monotonic() - started

    def _commit(self, converted: dict[str, Converted], rejected: dict[str, Rejected]) -> list[DropManifest]:
        lake, state = self._lake, self._lake.state()
        # The files get their final names before the commit. What has a fixed name follows it.
        arranged = lake.access.side_by_side(lambda one: one.staged.arrange(one.manifest), list(converted.values()))
        manifests = {manifest.drop: manifest for _, manifest in arranged}
        files = {drop: _files_of(lake, manifests[drop], done) for drop, done in converted.items()}
        replaced = [state.drops[drop] for drop in converted if drop in state.drops]
        others = {drop: rejection for drop, rejection in state.rejections.items() if drop not in converted}
        lake.commit(
            state.changed(
                raw=state.raw | {drop: done.version for drop, done in (converted | rejected).items()},
                drops=dict(sorted((state.drops | manifests).items())),
                files=state.files | files,
                rejections=others | {drop: done.rejection for drop, done in rejected.items()},
                forgotten={drop: content for drop, content in state.forgotten.items() if drop not in converted},
                obsolete=[*state.obsolete, *(path for before in replaced for path in lake.part_paths(before))],
                superseded=[*state.superseded, *map(lake.quarantine_path, replaced)],
            )
        )
        for drop, done in converted.items():
            done.staged.follow(manifests[drop])
        return list(manifests.values())


def _files_of(lake: Lake, manifest: DropManifest, converted: Converted) -> DropFiles:
    """Return what the files of a drop hold, according to the footers of the files that were written."""
    footers = converted.done.footers
    misfits = [
        FileFault(f"{manifest.drop}/{file.path}", misfit)
        for file, footer in zip(manifest.files, footers, strict=True)
        if (misfit := misfit_of(footer))
    ]
    kept = sum(footer.num_rows for footer in footers)
    key = key_of(lake, manifest, lake.files.signature_lookup()) if converted.staged.is_complete else FRESH
    return DropFiles(None if misfits else key, kept, converted.done.rows_quarantined, misfits)
