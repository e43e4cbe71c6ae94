"""Writes the files of a drop's converted form: part files by platform, the quarantine, and the summaries."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from uda_assets.contract.schemas import PARQUET_SCHEMA, QUARANTINE_PARQUET_SCHEMA
from uda_assets.lake.names import platform_dir
from uda_assets.lake.staging import Outputs
from uda_assets.lake.state import PartFile
from uda_assets.storage import Location, hash_file, naming_file, storage_of

ROW_GROUP_ROWS = 256_000
_MOST_WAITING = 8 * ROW_GROUP_ROWS
"""Rows that wait for their row group to fill, over all platforms; beyond it, row groups are written as they are."""
_MOST_OPEN = 32
"""Part files of a drop that are kept open; more platforms than that are those of ``keep_unknown_platforms``."""
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


class WrittenFile(NamedTuple):
    """A Parquet file that is complete: its BLAKE3, its footer, read from the file itself, and its size in bytes."""

    checksum: str
    footer: pq.FileMetaData
    size: int


def written_file(path: Path) -> WrittenFile:
    """Look at a file that is complete, while the system still has it in memory."""
    with naming_file(path):
        return WrittenFile(hash_file(path), pq.read_metadata(path), path.stat().st_size)


class NamedWriter:
    """Writes a Parquet file; an error says which file that is.

    Attributes:
        written: The file, once it is complete.
    """

    written: WrittenFile

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
def quarantine_writer(location: Location) -> Iterator[NamedWriter]:
    """Yield a writer of malformed records, in ``QUARANTINE_PARQUET_SCHEMA``."""
    with storage_of(location).replacing(location) as path:
        with parquet_writer(path, location, QUARANTINE_PARQUET_SCHEMA, _QUARANTINE_OPTIONS) as writer:
            yield writer
        writer.written = written_file(path)


def write_summaries(target: Location, files: Iterable[PartFile], footers: Iterable[pq.FileMetaData]) -> dict[str, str]:
    """Write the summaries of part files below a directory, and return their BLAKE3 by name.

    ``_common_metadata`` holds the schema, ``_metadata`` also where each row group is.
    """
    storage, checksums = storage_of(target), {}
    with storage.replacing(target / "_common_metadata") as path, naming_file(target / "_common_metadata"):
        pq.write_metadata(PARQUET_SCHEMA, path)
        checksums["_common_metadata"] = hash_file(path)
    collected = []
    for file, footer in zip(files, footers, strict=True):
        footer.set_file_path(file.path)
        collected.append(footer)
    with storage.replacing(target / "_metadata") as path, naming_file(target / "_metadata"):
        pq.write_metadata(PARQUET_SCHEMA, path, metadata_collector=collected)
        checksums["_metadata"] = hash_file(path)
    return checksums


class PartWriters:
    """One Parquet file a platform, opened when its first record comes; row groups are written by other threads."""

    def __init__(self, outputs: Outputs, threads: int) -> None:
        self._target, self._suffix, self._storage = outputs.parts, outputs.suffix, storage_of(outputs.parts)
        self._stack = ExitStack()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="uda-write")
        self._writers: dict[str, NamedWriter] = {}
        self._waiting: dict[str, list[pa.RecordBatch]] = {}
        self._writing: dict[str, Future[None]] = {}
        self._rows: Counter[str] = Counter()
        self._written: dict[str, WrittenFile] = {}

    def __enter__(self) -> PartWriters:
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
            PartFile(part_path(name, 0, self._suffix), name, self._rows[name], checksum=self._written[name].checksum)
            for name in sorted(self._writers)
        ]

    @property
    def size(self) -> int:
        """The size of the part files in bytes."""
        return sum(written.size for written in self._written.values())

    @property
    def footers(self) -> list[pq.FileMetaData]:
        """The footers of the part files."""
        return [self._written[name].footer for name in sorted(self._writers)]

    def write(self, kept: Mapping[str, pa.RecordBatch]) -> None:
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
        records = pa.Table.from_batches(self._waiting[platform], PARQUET_SCHEMA)
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
            self._stack.enter_context(self._looking_at(platform, path))
            kept_open = len(self._writers) < _MOST_OPEN
            writer = parquet_writer(path, location, PARQUET_SCHEMA, _PART_OPTIONS, kept_open=kept_open)
            self._writers[platform] = self._stack.enter_context(writer)
        return self._writers[platform]

    @contextmanager
    def _looking_at(self, platform: str, path: Path) -> Iterator[None]:
        yield
        self._written[platform] = written_file(path)


def part_path(platform: str, number: int = 0, suffix: str = "") -> str:
    """A part file's path below its drop's directory."""
    return f"{platform_dir(platform)}/part.{number}{suffix}.parquet"
