"""What the Parquet files of the drops hold, as their own footers say, and whether they are as they were written.

Opening the files of ten thousand drops takes seconds. A file whose size, times and inode are as they were when it was
last read is not opened again; so that a run opens what came or changed, and still looks at every file there is. What
changed under the same stat, as by a disk that decays, only `uda verify` finds. What is remembered can be lost without
harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

from uda_assets.contract.schemas import PARQUET_SCHEMA
from uda_assets.lake import QUARANTINE, DropManifest, Lake
from uda_assets.lake.integrity import ALTERED, compared
from uda_assets.storage import RACY_NANOSECONDS, Location, Signature

_READ_AT_ONCE = 4 << 20
"""A smaller file is read once, for its checksum and its footer."""
_NOTE = "footers"


class Footers(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a drop's files hold.

    Attributes:
        mark: Hash of the files' stat; None where one is missing.
        kept, quarantined: Rows in the part files, and in the quarantine.
        faults: Part files that cannot be read, or differ from the contract's schema.
        damaged: Files that are missing, or not as they were written: path and what is wrong.
        made: When what was read was committed, in microseconds since 1970.
    """

    mark: int | None
    kept: int
    quarantined: int
    faults: list[str] = []
    damaged: list[str] = []
    made: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong with the files."""
        return not self.faults and not self.damaged


def read_footers(lake: Lake, manifests: Mapping[str, DropManifest]) -> dict[str, Footers]:
    """What the files of committed drops hold, by drop."""
    known = lake.noted(_NOTE, dict[str, Footers]) or {}
    found, trusted = {}, {}
    trusted_until = time.time_ns() - RACY_NANOSECONDS
    look = lake.looking()

    def one(manifest: DropManifest) -> tuple[Footers, int]:
        mark, changed = _look(lake, manifest, look)
        before = known.get(manifest.drop)
        if before is not None and before.made != _made(manifest):
            before = None
        if before is not None and mark is not None and before.mark == mark:
            return before, changed
        # A bucket compares what it is given with a checksum itself, so that what is seen first is as it was put.
        return read_drop(lake, manifest, mark, compare=before is not None or not lake.files.remote), changed

    for manifest, (footers, changed) in lake.side_by_side(one, list(manifests.values())):
        found[manifest.drop] = footers
        # A fault is looked at anew each time, and so is what may yet change without its stat telling.
        if footers.sound and changed < trusted_until:
            trusted[manifest.drop] = footers
        elif not footers.sound and lake.files.remote:
            # There, what is not noted is trusted.
            trusted[manifest.drop] = msgspec.structs.replace(footers, mark=None)
    kept = {drop: footers for drop, footers in known.items() if drop not in manifests}
    if kept:
        committed = lake.manifests()
        kept = {drop: footers for drop, footers in kept.items() if drop in committed}
    if trusted | kept != known:
        lake.note(_NOTE, trusted | kept)
    return found


def damaged_drops(lake: Lake, manifests: Mapping[str, DropManifest]) -> dict[str, str]:
    """The committed drops of which a file is missing or not as it was written, as far as stats tell, with one such."""
    found = read_footers(lake, manifests)
    return {drop: [*footers.damaged, *footers.faults][0] for drop, footers in found.items() if not footers.sound}


def distrust(lake: Lake, manifests: Iterable[DropManifest]) -> None:
    """Let the next one who asks read all files of these drops again, whatever their stat says."""
    known = lake.noted(_NOTE, dict[str, Footers]) or {}
    for manifest in manifests:
        known[manifest.drop] = Footers(None, 0, 0, made=_made(manifest))
    lake.note(_NOTE, known)


def _made(manifest: DropManifest) -> int:
    return int(manifest.converted_at.timestamp() * 1_000_000)


def _look(lake: Lake, manifest: DropManifest, look: Callable[[str], Signature | None]) -> tuple[int | None, int]:
    """A hash of the signatures of a drop's files, and when the last one changed (ns); none where one is missing."""
    marks = tuple([look(path) for path in lake.files_of(manifest)])
    if None in marks:
        return None, 0
    # The hash of integers is the same in every process; with another version of Python the files are opened again.
    return hash(marks), max(mark.changed for mark in marks if mark)


def read_drop(lake: Lake, manifest: DropManifest, mark: int | None = None, *, compare: bool = True) -> Footers:
    """Read all files of a drop; the numbers of rows that the manifest has of them are not looked at.

    Args:
        lake: The data root.
        manifest: The drop.
        mark: Hash of the files' stat.
        compare: Whether to read the files in full and compare their checksums, where the manifest has them.

    """
    name, checksums = lake.name_of(manifest.drop), manifest.checksums if compare else {}
    kept, quarantined = 0, 0
    faults, damaged = [], []
    for file in manifest.files:
        told = f"{manifest.drop}/{file.path}"
        footer, wrong = _read(lake, lake.parquets / name / file.path, file.checksum if compare else "")
        damaged += [f"{told}: {wrong}"] if wrong else []
        if footer is None:
            faults.append(f"{told}: missing or damaged")
            continue
        kept += footer.num_rows
        schema = footer.schema.to_arrow_schema()
        if not schema.equals(PARQUET_SCHEMA):
            faults.append(f"{told}: {schema.names}")
    footer, wrong = _read(lake, lake.located(lake.quarantine_of(manifest)), checksums.get(QUARANTINE, ""))
    damaged += [f"{manifest.drop}, its quarantine: {wrong}"] if wrong else []
    quarantined = footer.num_rows if footer else 0
    for summary in checksums.keys() - {QUARANTINE}:
        wrong = compared(lake, f"{lake.parquets.name}/{name}/{summary}", checksums[summary])
        damaged += [f"{manifest.drop}/{summary}: {wrong}"] if wrong else []
    return Footers(mark, kept, quarantined, faults, sorted(damaged), _made(manifest))


def _read(lake: Lake, path: Location, checksum: str) -> tuple[pq.FileMetaData | None, str]:
    """A Parquet file's footer, None where it has none that can be read; and what is wrong with the file, if anything.

    Without a checksum only the footer is read.
    """
    try:
        if not checksum:
            with path.open("rb") as file:
                return pq.read_metadata(file), ""
        if path.stat().st_size > _READ_AT_ONCE:
            altered = lake.files.hash(path) != checksum
            with path.open("rb") as file:
                return pq.read_metadata(file), ALTERED if altered else ""
        content = lake.files.read(path)
        altered = blake3(content).hexdigest() != checksum
        return _footer_in(content), ALTERED if altered else ""
    except FileNotFoundError:
        return None, "missing"
    except OSError as error:
        return None, f"cannot be read ({error.strerror or error})"
    except pa.ArrowException:
        return None, ALTERED


def _footer_in(content: bytes) -> pq.FileMetaData | None:
    try:
        return pq.read_metadata(pa.BufferReader(content))
    except (pa.ArrowException, OSError):
        return None
