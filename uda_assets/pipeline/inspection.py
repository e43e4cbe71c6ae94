"""One file in, one leaderboard out: the same rules as the chain, without a data root."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl
import pyarrow as pa

from uda_assets.basics.errors import DropRejected, MalformedRecord, UdaError
from uda_assets.basics.limits import block_bytes
from uda_assets.basics.progress import Advance, OnAdvance
from uda_assets.basics.settings import ErrorMode, Settings
from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.platforms import Platforms
from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.ingest import Batch, bounds_of, open_source, read_batches
from uda_assets.lake import PartFile
from uda_assets.warehouse.database import RECORD_COLUMNS, parquet_files, parquet_relation, working_database
from uda_assets.warehouse.ranking import Window, leaderboard

_STREAMED = pa.schema(
    [(name, pa.timestamp("us", "UTC") if name == "activity_time" else pa.string()) for name in COLUMNS[:4]]
)
"""The columns of an accepted record that decide a leaderboard."""


class Inspection(NamedTuple):
    """A leaderboard in ``LEADERBOARD_SCHEMA``, and the number of records behind it."""

    leaderboard: pl.DataFrame
    records: int
    reasons: Counter[str]

    @property
    def quarantined(self) -> int:
        """The number of malformed records, which the leaderboard leaves out."""
        return self.reasons.total()


def inspect_csv(
    path: Path, settings: Settings, platforms: Platforms, on_advance: OnAdvance | None = None
) -> Inspection:
    """Compute the leaderboard of one CSV file.

    Raises:
        DropUnreadable: The file cannot be read as a whole.
        DropRejected: A larger share than ``max_reject_ratio`` is malformed.
        MalformedRecord: A record is malformed, in ``fail_fast`` mode.
    """
    account = _Account(path, settings, on_advance)
    with (
        open_source(path, bounds=bounds_of(settings)) as source,
        tempfile.TemporaryDirectory() as spill,
        working_database(settings, Path(spill)) as connection,
    ):
        read = read_batches(source, platforms, _streamed, threads=settings.threads, block_bytes=block_bytes(settings))
        batches = account.of(read, source.size)
        connection.register("records", pa.RecordBatchReader.from_batches(_STREAMED, batches))
        top = _rank(connection, settings)
    account.close()
    return Inspection(top, account.records, account.reasons)


def _streamed(kept: pa.Table) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = kept.select(_STREAMED.names).cast(_STREAMED).to_batches()
    return batches


class _Account:
    """Counts the records of a file as they pass. In ``fail_fast`` mode the first malformed one stops it."""

    def __init__(self, path: Path, settings: Settings, on_advance: OnAdvance | None) -> None:
        self.records = 0
        self.reasons: Counter[str] = Counter()
        self._path, self._settings, self._on_advance = path, settings, on_advance
        self._fault: Exception | None = None

    def of(self, batches: Iterator[Batch[list[pa.RecordBatch]]], size: int) -> Iterator[pa.RecordBatch]:
        """Yield the accepted records of the batches of a file of ``size`` bytes."""
        try:
            for batch in batches:
                if self._settings.error_mode is ErrorMode.FAIL_FAST and batch.quarantined.height:
                    raise MalformedRecord(self._path.name, *batch.quarantined.row(0))
                self.records += batch.read
                self.reasons.update(batch.quarantined["reason"])
                yield from batch.kept
                if self._on_advance:
                    self._on_advance(Advance(self._path.name, batch.position, size, self.records))
        except Exception as error:
            # DuckDB would turn it into an error of its own. `close` raises this one.
            self._fault = error

    def close(self) -> None:
        """Raise the error that stopped the reading, or that the file as a whole deserves."""
        if self._fault:
            raise self._fault
        if self.records and self.reasons.total() / self.records > self._settings.max_reject_ratio:
            raise DropRejected(
                f"{self._path}: {self.reasons.total()} of {self.records} records are malformed, more than "
                f"max_reject_ratio ({self._settings.max_reject_ratio:g}) allows; mostly "
                f"{self.reasons.most_common(1)[0][0]}"
            )


def inspect_parquet(path: Path, settings: Settings) -> Inspection:
    """Compute the leaderboard of a converted drop: its directory, or any Parquet file with the contract's columns.

    Raises:
        UdaError: There is no such file, or it is not a converted drop.
    """
    if not path.exists():
        raise UdaError(f"{path} does not exist")
    place = path.resolve()  # DuckDB resolves `..` after a link differently from the system.
    files = sorted(place.rglob("part.*.parquet")) if path.is_dir() else [place]
    if not files and not (path / "_metadata").exists():
        raise UdaError(f"{path} is not a converted drop: it holds no part files; name the <drop>.parquet directory")
    with tempfile.TemporaryDirectory() as spill, working_database(settings, Path(spill)) as connection:
        try:
            connection.execute(f"CREATE VIEW records AS FROM {_records(path, files)}")
            _require_columns(connection)
            top = _rank(connection, settings)
            row = connection.execute("SELECT count(*) FROM records").fetchone()
        except duckdb.Error as error:
            raise UdaError(f"{path} is not a converted drop: {str(error).splitlines()[0]}") from None
        except UdaError as error:
            raise UdaError(f"{path} is not a converted drop: {error}") from None
    return Inspection(top, row[0] if row else 0, Counter())


def _rank(connection: duckdb.DuckDBPyConnection, settings: Settings) -> pl.DataFrame:
    query = leaderboard(_sessions_of("records", settings), settings.n, _window(settings))
    return pl.DataFrame(connection.sql(query).pl(), schema=LEADERBOARD_SCHEMA)


def _sessions_of(records: str, settings: Settings) -> str:
    """Return the distinct sessions of records as an SQL relation, with their start if there is a window."""
    started = ", min(activity_time) AS started_at" if _window(settings).bounded else ""
    key = "platform, user_id, session_id"
    return f"(SELECT {key}{started} FROM {records} GROUP BY {key})"


def _records(path: Path, files: list[Path]) -> str:
    """Return converted records as an SQL relation. In a converted drop the platform is in the paths of the files."""
    if path.is_dir():
        return parquet_relation(Path(), [PartFile(str(file), "", 0) for file in files], RECORD_COLUMNS)
    return parquet_files(files)


def _require_columns(connection: duckdb.DuckDBPyConnection) -> None:
    found = {row[0]: row[1] for row in connection.execute("DESCRIBE records").fetchall()}
    for name in ("platform", "user_id", "session_id"):
        if found.get(name) != "VARCHAR":
            raise UdaError(f"it has no column {name} of text")
    if found.get("activity_time") != "TIMESTAMP WITH TIME ZONE":
        raise UdaError("it has no column activity_time of moments in UTC")


def _window(settings: Settings) -> Window:
    return Window(settings.since, settings.until)
