"""One file in, one leaderboard out: the same rules as the chain, without a data root."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import duckdb

from uda_assets.basics.errors import DropRejected, UdaError
from uda_assets.basics.limits import block_bytes
from uda_assets.basics.progress import Advance, OnAdvance
from uda_assets.basics.settings import ErrorMode, Settings
from uda_assets.contract.advice import advice_about_records
from uda_assets.contract.dialects import CSV, Dialect
from uda_assets.contract.platforms import Platforms
from uda_assets.contract.reasons import MalformedRecord
from uda_assets.ingest import Batch, PlatformNames, Wanted, bounds_of, open_source, read_batches
from uda_assets.kernel import Exported, Kernel, describe_sessions
from uda_assets.kernel.stream import ColumnStream
from uda_assets.warehouse.answers import Answer
from uda_assets.warehouse.database import RECORD_COLUMNS, parquet_files, parquet_relation, working_database
from uda_assets.warehouse.exclusion import ranked
from uda_assets.warehouse.ranking import Window, count_sessions, leaderboard, rank


class Inspection(NamedTuple):
    """A leaderboard, and the number of records behind it."""

    leaderboard: Answer
    records: int
    reasons: Counter[str]

    @property
    def quarantined(self) -> int:
        """The number of malformed records, which the leaderboard leaves out."""
        return self.reasons.total()


def inspect_csv(
    path: Path,
    settings: Settings,
    platforms: Platforms,
    dialect: Dialect = CSV,
    on_advance: OnAdvance | None = None,
) -> Inspection:
    """Compute the leaderboard of one file of delimited text.

    The reader drops most repetitions of a session while it reads a block; DuckDB drops the others.

    Raises:
        DropUnreadable: The file cannot be read as a whole.
        DropRejected: A larger share than ``max_reject_ratio`` is malformed.
        MalformedRecord: A record is malformed, in ``fail_fast`` mode.
    """
    account, names = _Account(path, settings, on_advance), PlatformNames(platforms)
    with (
        open_source(path, bounds=bounds_of(settings), dialect=dialect) as source,
        tempfile.TemporaryDirectory() as spill,
        working_database(settings, Path(spill)) as connection,
    ):
        read = read_batches(
            source, names, Wanted.SESSIONS, _take_sessions, dialect=dialect, threads=settings.threads,
            block_bytes=block_bytes(settings),
        )  # fmt: skip
        stream = ColumnStream(account.of(read, source.size), describe_sessions)
        with ThreadPoolExecutor(1, thread_name_prefix="uda-count") as pool:
            # The main thread handles signals; an exception from there could not pass through the stream's callbacks.
            pool.submit(_count, connection, stream, settings).result()
        if stream.error:
            raise stream.error
        connection.execute("CREATE TEMP TABLE names AS SELECT unnest($1) AS name", [names.names or [""]])
        named = "(SELECT name AS platform, user_id, session_count FROM counts JOIN names ON platform = names.rowid)"
        top = _fetch(connection, rank(named, settings.n, ranked(settings.exclude_users)))
    account.require_few_malformed()
    return Inspection(top, account.records, account.reasons)


def _count(connection: duckdb.DuckDBPyConnection, stream: ColumnStream, settings: Settings) -> None:
    """Make the table ``counts``: the number of sessions by platform (its number) and user."""
    connection.register("records", stream)
    counts = count_sessions(_sessions_of("records", settings), _window(settings))
    connection.execute(f"CREATE TEMP TABLE counts AS {counts}")
    connection.unregister("records")


def _take_sessions(kernel: Kernel, _: PlatformNames) -> Exported | None:
    return kernel.sessions()


class _Account:
    """Counts the records of a file as they pass. In ``fail_fast`` mode the first malformed one stops it."""

    def __init__(self, path: Path, settings: Settings, on_advance: OnAdvance | None) -> None:
        self.records = 0
        self.reasons: Counter[str] = Counter()
        self._path, self._settings, self._on_advance = path, settings, on_advance

    def of(self, batches: Iterator[Batch[Exported | None]], size: int) -> Iterator[Exported]:
        """Yield the sessions in the batches of a file of ``size`` bytes."""
        for batch in batches:
            if self._settings.error_mode is ErrorMode.FAIL_FAST and batch.first_fault:
                raise MalformedRecord(self._path.name, *batch.first_fault)
            self.records += batch.read
            self.reasons.update(batch.reasons)
            if batch.kept:
                yield batch.kept
            if self._on_advance:
                self._on_advance(Advance(self._path.name, batch.position, size, self.records))

    def require_few_malformed(self) -> None:
        """Check the share of malformed records.

        Raises:
            DropRejected: It is larger than ``max_reject_ratio``.
        """
        if self.records and self.reasons.total() / self.records > self._settings.max_reject_ratio:
            raise DropRejected(
                f"{self._path}: {self.reasons.total()} of {self.records} records are malformed, more than "
                f"max_reject_ratio ({self._settings.max_reject_ratio:g}) allows; mostly "
                f"{self.reasons.most_common(1)[0][0]}; {advice_about_records(self.reasons)}"
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
            renamed = "(SELECT *, activity_time AS started_at FROM records)"
            top = _fetch(
                connection,
                leaderboard(
                    _sessions_of(renamed, settings), settings.n, _window(settings), ranked(settings.exclude_users)
                ),
            )
            row = connection.execute("SELECT count(*) FROM records").fetchone()
        except duckdb.Error as error:
            raise UdaError(f"{path} is not a converted drop: {str(error).splitlines()[0]}") from None
        except UdaError as error:
            raise UdaError(f"{path} is not a converted drop: {error}") from None
    return Inspection(top, row[0] if row else 0, Counter())


def _fetch(connection: duckdb.DuckDBPyConnection, query: str) -> Answer:
    columns = {"platform": str, "user_id": str, "session_count": int}
    return Answer(columns, connection.execute(query).fetchall())


def _sessions_of(records: str, settings: Settings) -> str:
    """Return the distinct sessions of records, or of parts of sessions, as an SQL relation.

    Their start is among the columns if there is a window.
    """
    key = "platform, user_id, session_id"
    if not _window(settings).bounded:
        return f"(SELECT DISTINCT {key} FROM {records})"
    return f"(SELECT {key}, min(started_at) AS started_at FROM {records} GROUP BY {key})"


class _File(NamedTuple):
    path: str


def _records(path: Path, files: list[Path]) -> str:
    """Return converted records as an SQL relation. In a converted drop the platform is in the paths of the files."""
    if path.is_dir():
        return parquet_relation(Path(), [_File(str(file)) for file in files], RECORD_COLUMNS)
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
