"""The leaderboards of single days: their files, and the warehouse's table of them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
from blake3 import blake3

from uda_assets.contract import LEADERBOARD_SCHEMA
from uda_assets.database import Connect, plain_database, working_database
from uda_assets.errors import UdaError
from uda_assets.lake import Lake
from uda_assets.ranking import rank_days
from uda_assets.results import RESULT_NAME, write_board
from uda_assets.sessions import sessions_relation
from uda_assets.settings import Settings
from uda_assets.storage import Location, naming

_SCHEMA = pl.Schema({"day": pl.Date()} | dict(LEADERBOARD_SCHEMA))
_NOTHING: Mapping[Location, Path] = {}


def publish_days(
    lake: Lake, settings: Settings, days: Sequence[date], connect: Connect | None = None
) -> dict[date, pl.DataFrame]:
    """Publish a leaderboard for each day, of the sessions that started on it (UTC); the caller holds the lake's lock.

    The sessions are read once for all days. A day without sessions gets an empty leaderboard. All files are complete
    before the first of them is put in place.

    Raises:
        UdaError: No sessions were ever merged.

    """
    boards = _rank(lake, settings, days)
    with lake.publishing() as replacing:
        new: dict[Location, Path] = {}
        for day, board in boards.items():
            csv, parquet = daily_result(lake, day)
            new[parquet] = replacing(parquet)
            write_board(board, replacing(csv), new[parquet])
        if lake.warehouse.exists():
            new_warehouse = replacing(lake.warehouse)
            lake.files.fetch(lake.warehouse, new_warehouse)
            with naming(lake.warehouse), (connect or plain_database)(new_warehouse) as connection:
                fill_days(connection, lake, new)
                # On closing it would be written without a word of what fails.
                connection.execute("CHECKPOINT")
    return boards


def _rank(lake: Lake, settings: Settings, days: Sequence[date]) -> dict[date, pl.DataFrame]:
    manifest = lake.sessions_manifest()
    if manifest is None:
        raise UdaError("nothing is built yet; materialize top_n_by_platform first")
    with lake.scratch() as spill, working_database(settings, spill, lake.root) as connection:
        query = rank_days(sessions_relation(lake, manifest), settings.n, min(days), max(days))
        ranked = pl.DataFrame(connection.sql(query).pl(), schema=_SCHEMA)
    return {day: ranked.filter(pl.col("day") == day).drop("day") for day in days}


def daily_result(lake: Lake, day: date) -> tuple[Location, Location]:
    """The CSV and Parquet files of a day's leaderboard."""
    stem = f"{RESULT_NAME}_{day:%Y-%m-%d}"
    return lake.results / "daily" / f"{stem}.csv", lake.results / "daily" / f"{stem}.parquet"


def fill_days(connection: duckdb.DuckDBPyConnection, lake: Lake, new: Mapping[Location, Path] = _NOTHING) -> None:
    """The table ``daily_top_n_by_platform``: the leaderboards of all days that were published.

    Without those whose files are damaged, and whatever else lies beside them. ``new`` are files of this machine that
    are not in their places yet.
    """
    boards = [board.select(pl.lit(day).alias("day"), pl.all()) for day, board in _published(lake, new)]
    connection.register("days", pl.concat([_SCHEMA.to_frame(), *boards]).to_arrow())
    connection.execute("CREATE OR REPLACE TABLE daily_top_n_by_platform AS SELECT * FROM days")
    connection.unregister("days")


def _published(lake: Lake, new: Mapping[Location, Path]) -> Iterator[tuple[date, pl.DataFrame]]:
    recorded = lake.published_files()
    for day in sorted(_days(lake, new)):
        _, path = daily_result(lake, day)
        content = new[path].read_bytes() if path in new else lake.files.read(path)
        # Before the first leaderboard is published, nothing is recorded of a day.
        expected = None if path in new else recorded.get(lake.below(path))
        if expected in {None, blake3(content).hexdigest()} and (board := _read(content)) is not None:
            yield day, board


def _read(content: bytes) -> pl.DataFrame | None:
    """A leaderboard's Parquet file; None where it is none."""
    try:
        board = pl.read_parquet(content)
    except pl.exceptions.PolarsError:
        return None
    return board if board.schema == LEADERBOARD_SCHEMA else None


def _days(lake: Lake, new: Mapping[Location, Path]) -> set[date]:
    names = {*lake.files.files_below(lake.results / "daily"), *(path.name for path in new)}
    return {day for name in names if (day := _day_of(lake, name))}


def _day_of(lake: Lake, name: str) -> date | None:
    """The day whose leaderboard a file is; None for any other file."""
    text = name.removeprefix(f"{RESULT_NAME}_").removesuffix(".parquet")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # Python knows other ways to write a date.
    return day if daily_result(lake, day)[1].name == name else None
