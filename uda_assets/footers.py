"""What the Parquet files of the drops hold, as their own footers say, remembered by the files' stat.

Opening the footers of ten thousand drops takes seconds. A file whose size, times and inode are as they were when its
footer was read is not opened again; so that a run opens what came or changed, and still looks at every file there is.
What is remembered can be lost without harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from uda_assets.ingest.convert import PARQUET_SCHEMA
from uda_assets.lake import DropManifest, Lake
from uda_assets.storage import RACY_NANOSECONDS, Location, Signature


class Footers(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a drop's files hold.

    Attributes:
        mark: Hash of the files' stat; None where one is missing.
        kept, quarantined: Rows in the part files, and in the quarantine.
        faults: Part files that are missing or damaged, or differ from the contract's schema.
    """

    mark: int | None
    kept: int
    quarantined: int
    faults: list[str] = []


def read_footers(lake: Lake, manifests: Mapping[str, DropManifest]) -> dict[str, Footers]:
    """What the files of the committed drops, all of them, hold, by drop."""
    known = lake.noted("footers", dict[str, Footers]) or {}
    found, trusted = {}, {}
    trusted_until = time.time_ns() - RACY_NANOSECONDS
    look = lake.looking()

    def one(manifest: DropManifest) -> tuple[Footers, int]:
        mark, changed = _look(lake, manifest, look)
        footers = known.get(manifest.drop)
        if footers is None or mark is None or footers.mark != mark:
            footers = _read(lake, manifest, mark)
        return footers, changed

    for manifest, (footers, changed) in lake.side_by_side(one, list(manifests.values())):
        found[manifest.drop] = footers
        # A fault is looked at anew each time, and so is what may yet change without its stat telling.
        if not footers.faults and changed < trusted_until:
            trusted[manifest.drop] = footers
    if trusted != known:
        lake.note("footers", trusted)
    return found


def _look(lake: Lake, manifest: DropManifest, look: Callable[[str], Signature | None]) -> tuple[int | None, int]:
    """A hash of the signatures of a drop's files, and when the last one changed (ns); none where one is missing."""
    marks = tuple([look(path) for path in lake.files_of(manifest)])
    if None in marks:
        return None, 0
    # The hash of integers is the same in every process; with another version of Python the files are opened again.
    return hash(marks), max(mark.changed for mark in marks if mark)


def _read(lake: Lake, manifest: DropManifest, mark: int | None) -> Footers:
    """Open the footers of all files of a drop; the numbers that the manifest has of them are not looked at."""
    directory = lake.parquet_dir(manifest.drop)
    kept, faults = 0, []
    for file in manifest.files:
        footer = _footer(directory / file.path)
        if footer is None:
            faults.append(f"{manifest.drop}/{file.path}: missing or damaged")
            continue
        kept += footer.num_rows
        schema = footer.schema.to_arrow_schema()
        if not schema.equals(PARQUET_SCHEMA):
            faults.append(f"{manifest.drop}/{file.path}: {schema.names}")
    malformed = _footer(lake.located(lake.quarantine_of(manifest)))
    return Footers(mark, kept, malformed.num_rows if malformed else 0, faults)


def _footer(path: Location) -> pq.FileMetaData | None:
    """A Parquet file's footer; None where it is missing or damaged."""
    try:
        with path.open("rb") as file:
            return pq.read_metadata(file)
    except (OSError, pa.ArrowException):
        return None
