"""From a drop to Parquet: accepted records by platform, malformed ones to quarantine."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from uda_assets.basics.arrow import numbers_of, rows_of
from uda_assets.basics.errors import MalformedRecord
from uda_assets.basics.progress import Advance, OnAdvance
from uda_assets.contract.platforms import Platforms
from uda_assets.contract.schemas import PARQUET_SCHEMA, QUARANTINE_PARQUET_SCHEMA
from uda_assets.ingest.bounds import DEFAULT_BOUNDS, Bounds
from uda_assets.ingest.reader import BLOCK_BYTES, Batch, read_batches
from uda_assets.ingest.source import open_source
from uda_assets.lake import QUARANTINE, Outputs, PartFile, platform_dir
from uda_assets.storage import Location, hash_file, naming_file, storage_of

CONVERTER_VERSION = "2"
"""Part of every fingerprint: raise it when the same drop would be converted differently."""

PlatformRecords = dict[str, pa.Table]
"""Accepted records by platform, in ``PARQUET_SCHEMA``."""

ROW_GROUP_ROWS = 256_000
_MOST_WAITING = 8 * ROW_GROUP_ROWS
"""Rows that wait for their row group to fill, over all platforms; beyond it, row groups are written as they are."""
_MOST_OPEN = 32
"""Part files of a drop that are kept open; more platforms than that are those of ``keep_unknown_platforms``."""
_MAX_SPELLINGS = 1_000
_COMPRESSION = {"compression": "zstd", "compression_level": 1}
# Session ids hardly repeat within a row group, and time goes on: dictionaries of them cost time and space. Nobody asks
# for ranges of ids, so that only times have statistics.
_PART_OPTIONS = _COMPRESSION | {
    "use_dictionary": ["user_id", "activity_type"],
    "column_encoding": {"activity_time": "DELTA_BINARY_PACKED"},
    "write_statistics": ["activity_time"],
}
# A raw text may be as large as a record may be, and would be copied for either.
_QUARANTINE_OPTIONS = _COMPRESSION | {
    "use_dictionary": ["drop", "reason"],
    "write_statistics": ["drop", "line", "reason"],
}


@dataclass
class Conversion:
    """What a conversion read and wrote.

    Attributes:
        records: Records read, as counted by the tokeniser.
        kept: Rows written to the part files.
        reasons: Quarantined records by reason.
        files: The part files.
        spellings: Records by normalised platform spelling; None where there were too many to list.
        checksums: BLAKE3 of what was written beside the part files: ``quarantine``, and the summaries by name.
        size: Bytes of the plain drop.
        bytes_read: Bytes of it that were read.

    """

    size: int = 0
    bytes_read: int = 0
    records: int = 0
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    files: list[PartFile] = field(default_factory=list)
    spellings: Counter[str] | None = field(default_factory=Counter)
    checksums: dict[str, str] = field(default_factory=dict)

    @property
    def quarantined(self) -> int:
        """Malformed records."""
        return self.reasons.total()

    @property
    def reject_ratio(self) -> float:
        """Share of malformed records, 0 to 1."""
        return self.quarantined / self.records if self.records else 0.0

    def add(self, batch: Batch[PlatformRecords]) -> None:
        """Count a batch."""
        self.records += batch.read
        self.kept += batch.rows
        self.reasons.update(dict(batch.quarantined["reason"].value_counts().iter_rows()))
        self._add_spellings(batch.spellings)

    def join(self, part: Conversion) -> None:
        """Count a part of the drop that was read on its own; its files are not taken over."""
        self.bytes_read += part.bytes_read
        self.records += part.records
        self.kept += part.kept
        self.reasons.update(part.reasons)
        self._add_spellings(part.spellings)

    def _add_spellings(self, spellings: Mapping[str, int] | None) -> None:
        if spellings is None:
            self.spellings = None
        if self.spellings is not None:
            self.spellings.update(spellings)
            if len(self.spellings) > _MAX_SPELLINGS:
                self.spellings = None


class DropJob(NamedTuple):
    """A drop to convert.

    Attributes:
        source: The CSV file.
        drop: The drop's name.
        outputs: Where to write. The directory must be new.
        platforms: The platform table of the contract.
        staged: A directory on the same storage, for temporary files that other machines see too.
        scratch: A directory on this machine, for temporary files.
        fail_fast: Whether to stop at the first malformed record.
        bounds: How much may be decompressed, and how long a record may be.
        beside: How many drops are converted at once, this one included.
    """

    source: Location
    drop: str
    outputs: Outputs
    platforms: Platforms
    staged: Location
    scratch: Path
    fail_fast: bool = False
    bounds: Bounds = DEFAULT_BOUNDS
    beside: int = 1


class Reading(NamedTuple):
    """How a drop is read.

    Attributes:
        threads: Blocks read at once.
        block_bytes: About how much a thread reads at once.
        spill: A directory for decompressed files, or None for the system's own.
    """

    threads: int = 1
    block_bytes: int = BLOCK_BYTES
    spill: Path | None = None


def convert(job: DropJob, reading: Reading, on_advance: OnAdvance | None = None) -> Conversion:
    """Convert a drop. Memory does not grow with its size.

    The outputs are ``platform=P/part.0.parquet`` for each platform, ``_metadata`` and ``_common_metadata``, and a
    quarantine in ``QUARANTINE_SCHEMA``.

    Args:
        job: The drop.
        reading: How to read it.
        on_advance: Called with the progress, in bytes of the decompressed drop.

    Raises:
        DropUnreadable: The drop cannot be read as a whole.
        MalformedRecord: A record is malformed, and ``fail_fast`` is set.
    """
    with open_source(job.source, reading.spill, job.bounds) as plain:
        batches = read_batches(
            plain, job.platforms, by_platform, threads=reading.threads, block_bytes=reading.block_bytes
        )

        def on_progress(position: int, records: int) -> None:
            if on_advance:
                on_advance(Advance(job.drop, position, plain.size, records))

        done = write_batches(
            batches, job.drop, job.outputs, threads=reading.threads, fail_fast=job.fail_fast, on_progress=on_progress
        )
        done.size, done.bytes_read = plain.size, plain.bytes_read
    done.checksums |= write_summaries(job.outputs.parts, done.files)
    return done


def write_batches(
    batches: Iterable[Batch[PlatformRecords]],
    drop: str,
    outputs: Outputs,
    *,
    threads: int = 1,
    fail_fast: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Write the batches of a drop to part files and quarantine, and count the records.

    ``on_progress`` is called with the bytes of the plain drop and the records that were read so far.

    Raises:
        MalformedRecord: A record is malformed, and ``fail_fast`` is set.

    """
    done = Conversion()
    with (
        _PartWriters(outputs, threads) as parts,
        quarantine_writer(outputs.quarantine, done.checksums) as malformed,
    ):
        for batch in batches:
            if fail_fast and batch.quarantined.height:
                line, reason, raw = batch.quarantined.row(0)
                raise MalformedRecord(drop, line, reason, raw)
            done.add(batch)
            parts.write(batch.kept)
            if batch.quarantined.height:
                frame = batch.quarantined.select(pl.lit(drop).alias("drop"), "line", "reason", "raw")
                malformed.write(frame.to_arrow().cast(QUARANTINE_PARQUET_SCHEMA))
            if on_progress:
                on_progress(batch.position, done.records)
    done.files = parts.files
    return done


class NamedWriter:
    """Writes a Parquet file; an error says which file that is."""

    def __init__(
        self, file: Path | IO[bytes], location: Location, schema: pa.Schema, options: Mapping[str, object]
    ) -> None:
        self._location = location
        with naming_file(location):
            self._writer = pq.ParquetWriter(file, schema, **options)

    def write(self, records: pa.Table | pa.RecordBatch) -> None:
        """Add records, in row groups of a bounded size."""
        with naming_file(self._location):
            self._writer.write(records, row_group_size=ROW_GROUP_ROWS)

    def close(self) -> None:
        """Write the footer."""
        with naming_file(self._location):
            self._writer.close()


class _Appending(io.RawIOBase):
    """A file that is open only while something is written, as a process may not have thousands of them open."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        with self._path.open("ab") as file:
            return file.write(content)


@contextmanager
def parquet_writer(
    path: Path, location: Location, schema: pa.Schema, options: Mapping[str, object], *, kept_open: bool = True
) -> Iterator[NamedWriter]:
    """A writer of a file that is to be at a location; without an error of another's it is complete at the end."""
    file = path if kept_open else cast("IO[bytes]", _Appending(path))
    writer = NamedWriter(file, location, schema, options)
    try:
        yield writer
    except BaseException:
        with suppress(Exception):
            writer.close()
        raise
    writer.close()


@contextmanager
def quarantine_writer(location: Location, checksums: dict[str, str]) -> Iterator[NamedWriter]:
    """Writes malformed records, in ``QUARANTINE_PARQUET_SCHEMA``, and puts the file's BLAKE3 among the checksums."""
    with storage_of(location).replacing(location) as path:
        with parquet_writer(path, location, QUARANTINE_PARQUET_SCHEMA, _QUARANTINE_OPTIONS) as writer:
            yield writer
        checksums[QUARANTINE] = hash_file(path)


def write_summaries(target: Location, files: Iterable[PartFile]) -> dict[str, str]:
    """``_common_metadata`` holds the schema, ``_metadata`` also where each row group is; gives BLAKE3 by name."""
    storage, checksums = storage_of(target), {}
    with storage.replacing(target / "_common_metadata") as path, naming_file(target / "_common_metadata"):
        pq.write_metadata(PARQUET_SCHEMA, path)
        checksums["_common_metadata"] = hash_file(path)
    footers = []
    for file in files:
        with naming_file(target / file.path), (target / file.path).open("rb") as written:
            footer = pq.read_metadata(written)
        footer.set_file_path(file.path)
        footers.append(footer)
    with storage.replacing(target / "_metadata") as path, naming_file(target / "_metadata"):
        pq.write_metadata(PARQUET_SCHEMA, path, metadata_collector=footers)
        checksums["_metadata"] = hash_file(path)
    return checksums


class _PartWriters:
    """One Parquet file a platform, opened when its first record comes; row groups are written by other threads."""

    def __init__(self, outputs: Outputs, threads: int) -> None:
        self._target, self._suffix, self._storage = outputs.parts, outputs.suffix, storage_of(outputs.parts)
        self._stack = ExitStack()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="uda-write")
        self._writers: dict[str, NamedWriter] = {}
        self._waiting: dict[str, list[pa.Table]] = {}
        self._writing: dict[str, Future[None]] = {}
        self._rows: Counter[str] = Counter()
        self._checksums: dict[str, str] = {}

    def __enter__(self) -> _PartWriters:
        self._stack.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except BaseException as failed:
            self._pool.shutdown()
            # So that no file that is not complete gets its name.
            self._stack.__exit__(type(failed), failed, failed.__traceback__)
            raise
        self._pool.shutdown()
        self._stack.__exit__(kind, error, trace)

    def _finish(self) -> None:
        for platform in self._waiting:
            self._flush(platform)
        for written in self._writing.values():
            written.result()

    @property
    def files(self) -> list[PartFile]:
        """The part files, by platform."""
        return [
            PartFile(part_path(name, 0, self._suffix), name, self._rows[name], checksum=self._checksums[name])
            for name in sorted(self._writers)
        ]

    def write(self, kept: PlatformRecords) -> None:
        """Add records; row groups are written as they fill."""
        for platform, records in kept.items():
            waiting = self._waiting.setdefault(platform, [])
            waiting.append(records)
            if self._rows_waiting(platform) >= ROW_GROUP_ROWS:
                self._flush(platform)
        while (fullest := self._fullest()) and sum(map(self._rows_waiting, self._waiting)) > _MOST_WAITING:
            self._flush(fullest)

    def _rows_waiting(self, platform: str) -> int:
        return sum(part.num_rows for part in self._waiting[platform])

    def _fullest(self) -> str | None:
        """The platform with most rows that wait to be written."""
        return max(self._waiting, key=self._rows_waiting, default=None)

    def _flush(self, platform: str) -> None:
        if not self._waiting[platform]:
            return
        records = pa.concat_tables(self._waiting[platform])
        self._waiting[platform] = []
        self._rows[platform] += records.num_rows
        # One row group a platform is on its way at a time, which bounds memory and keeps their order.
        if before := self._writing.get(platform):
            before.result()
        writer = self._writer(platform)
        self._writing[platform] = self._pool.submit(writer.write, records)

    def _writer(self, platform: str) -> NamedWriter:
        if platform not in self._writers:
            location = self._target / part_path(platform, 0, self._suffix)
            path = self._stack.enter_context(self._storage.replacing(location))
            self._stack.enter_context(self._hashing(platform, path))
            kept_open = len(self._writers) < _MOST_OPEN
            writer = parquet_writer(path, location, PARQUET_SCHEMA, _PART_OPTIONS, kept_open=kept_open)
            self._writers[platform] = self._stack.enter_context(writer)
        return self._writers[platform]

    @contextmanager
    def _hashing(self, platform: str, path: Path) -> Iterator[None]:
        """Hash a file when it is complete, while the system still has it in memory."""
        yield
        self._checksums[platform] = hash_file(path)


def by_platform(kept: pa.Table) -> PlatformRecords:
    """Records by platform, without that column."""
    parts: dict[str, list[pa.Table]] = {}
    for chunk in kept.to_batches():
        platforms = chunk.column("platform")
        codes = numbers_of(platforms.indices)
        records = pa.Table.from_batches([chunk]).drop_columns("platform").cast(PARQUET_SCHEMA)
        for code, platform in enumerate(platforms.dictionary.to_pylist()):
            rows = np.flatnonzero(codes == code)
            if len(rows):
                parts.setdefault(platform, []).append(records.take(rows_of(rows)))
    return {platform: pa.concat_tables(tables) for platform, tables in parts.items()}


def part_path(platform: str, number: int = 0, suffix: str = "") -> str:
    """A part file's path below its drop's directory."""
    return f"{platform_dir(platform)}/part.{number}{suffix}.parquet"
