"""One file in, one leaderboard out: the same rules as the chain, without a data root."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl

from uda_assets.contract import Platforms
from uda_assets.database import RECORD_COLUMNS, parquet_files, parquet_relation, working_database
from uda_assets.errors import DropRejected, MalformedRecord, UdaError
from uda_assets.ingest import open_source, read_batches
from uda_assets.lake import PartFile
from uda_assets.ranking import MERGE_RECORDS, Window, leaderboard
from uda_assets.settings import ErrorMode, Settings

_KEY = ("platform", "user_id", "session_id")
_COMPACT_ROWS = 1_000_000


class Inspection(NamedTuple):
    """A leaderboard in ``LEADERBOARD_SCHEMA``, and the account of the records behind it."""

    leaderboard: pl.DataFrame
    records: int
    reasons: Counter[str]

    @property
    def quarantined(self) -> int:
        """Malformed records, which the leaderboard leaves out."""
        return self.reasons.total()


def inspect_csv(
    path: Path, settings: Settings, platforms: Platforms, on_progress: Callable[[int], None] | None = None
) -> Inspection:
    """The leaderboard of one CSV file.

    Raises:
        DropUnreadable: The file cannot be read as a whole.
        DropRejected: A larger share than ``max_reject_ratio`` is malformed.
        MalformedRecord: A record is malformed, in ``fail_fast`` mode.
    """
    sessions = _Sessions()
    records, reasons = 0, Counter[str]()
    with open_source(path) as source:
        for batch in read_batches(source, platforms, threads=settings.threads):
            if settings.error_mode is ErrorMode.FAIL_FAST and batch.quarantined.height:
                raise MalformedRecord(path.name, *batch.quarantined.row(0))
            records += batch.read
            reasons.update(dict(batch.quarantined["reason"].value_counts().iter_rows()))
            sessions.add(batch.kept)
            if on_progress:
                on_progress(batch.position)
    if records and reasons.total() / records > settings.max_reject_ratio:
        raise DropRejected(
            f"{path}: {reasons.total()} of {records} records are malformed, more than max_reject_ratio "
            f"({settings.max_reject_ratio:g}) allows; mostly {reasons.most_common(1)[0][0]}"
        )
    merged = sessions.merged().to_arrow()
    with tempfile.TemporaryDirectory() as spill, working_database(settings, Path(spill)) as connection:
        connection.register("merged", merged)
        return Inspection(leaderboard(connection, "merged", settings.n, _window(settings)), records, reasons)


def inspect_parquet(path: Path, settings: Settings) -> Inspection:
    """The leaderboard of a converted drop: its directory, or any Parquet file with the contract's columns.

    Raises:
        UdaError: There is no such file, or it is not a converted drop.
    """
    if not path.exists():
        raise UdaError(f"{path} does not exist")
    files = sorted(path.rglob("part.*.parquet")) if path.is_dir() else [path]
    if not files and not (path / "_metadata").exists():
        raise UdaError(f"{path} is not a converted drop: it holds no part files; name the <drop>.parquet directory")
    with tempfile.TemporaryDirectory() as spill, working_database(settings, Path(spill)) as connection:
        try:
            connection.execute(f"CREATE VIEW records AS FROM {_records(path, files)}")
            _require_columns(connection)
            top = leaderboard(connection, f"({MERGE_RECORDS.format(records='records')})", settings.n, _window(settings))
            row = connection.execute("SELECT count(*) FROM records").fetchone()
        except duckdb.Error as error:
            raise UdaError(f"{path} is not a converted drop: {str(error).splitlines()[0]}") from None
        except UdaError as error:
            raise UdaError(f"{path} is not a converted drop: {error}") from None
    return Inspection(top, row[0] if row else 0, Counter())


def _records(path: Path, files: list[Path]) -> str:
    """Converted records as an SQL relation; in a converted drop the platform is in the files' paths."""
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


class _Sessions:
    """Distinct sessions with the time of their first record; compacted now and then, so that it holds few repeats."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._rows = 0
        self._limit = _COMPACT_ROWS

    def add(self, kept: pl.DataFrame) -> None:
        part = kept.group_by(_KEY).agg(started_at=pl.col("activity_time").min())
        self._parts.append(part)
        self._rows += part.height
        if self._rows > self._limit:
            self._limit = 2 * self.merged().height + _COMPACT_ROWS

    def merged(self) -> pl.DataFrame:
        if not self._parts:
            empty = dict.fromkeys(_KEY, pl.String()) | {"started_at": pl.Datetime("us", "UTC")}
            return pl.DataFrame(schema=empty)
        if len(self._parts) > 1:
            merged = pl.concat(self._parts).group_by(_KEY).agg(pl.col("started_at").min())
            self._parts, self._rows = [merged], merged.height
        return self._parts[0]
