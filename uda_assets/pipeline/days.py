"""The leaderboards of single days: their files, and the warehouse's table of them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl
from blake3 import blake3

from uda_assets.basics.errors import UdaError
from uda_assets.basics.settings import Settings
from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.lake import Lake
from uda_assets.pipeline.results import write_board
from uda_assets.storage import Location, naming_file
from uda_assets.warehouse.database import Connect, plain_database, working_database
from uda_assets.warehouse.exclusion import ranked
from uda_assets.warehouse.ranking import rank_days
from uda_assets.warehouse.relations import sessions_in

_SCHEMA = pl.Schema({"day": pl.Date()} | dict(LEADERBOARD_SCHEMA))
_NOTHING: Mapping[Location, Path] = {}


def publish_days(
    lake: Lake, settings: Settings, days: Sequence[date], connect: Connect = plain_database
) -> dict[date, pl.DataFrame]:
    """Publish a leaderboard for each day, of the sessions that started on it (UTC), and return them by day.

    The caller holds the lock of the data root. The sessions are read once for all days. A day without sessions gets an
    empty leaderboard. All files are complete before the first of them is put in place.

    Raises:
        UdaError: Nothing is built yet.
    """
    boards = _rank(lake, settings, days)
    with lake.published.publishing() as publishing:
        for day, board in boards.items():
            csv, parquet = daily_result(lake, day)
            write_board(board, publishing.replacing(csv), publishing.replacing(parquet))
        if lake.warehouse.exists():
            new_days = dict(publishing.new)
            new_warehouse = publishing.replacing(lake.warehouse)
            lake.files.fetch(lake.warehouse, new_warehouse)
            with naming_file(lake.warehouse), connect(new_warehouse) as connection:
                fill_days(connection, lake, new_days)
                # DuckDB does not report errors of writing when it closes a database.
                connection.execute("CHECKPOINT")
    return boards


def _rank(lake: Lake, settings: Settings, days: Sequence[date]) -> dict[date, pl.DataFrame]:
    manifest = lake.merged.read()
    if manifest is None:
        raise UdaError("nothing is built yet; materialize top_n_by_platform first")
    with lake.scratch() as spill, working_database(settings, spill, lake.root) as connection:
        query = rank_days(
            sessions_in(lake.sessions, manifest), settings.n, min(days), max(days), ranked(settings.exclude_users)
        )
        boards = pl.DataFrame(connection.sql(query).pl(), schema=_SCHEMA)
    return {day: boards.filter(pl.col("day") == day).drop("day") for day in days}


def daily_result(lake: Lake, day: date) -> tuple[Location, Location]:
    """Return the CSV and Parquet files of a day's leaderboard."""
    stem = f"{lake.result_csv.stem}_{day:%Y-%m-%d}"
    return lake.daily / f"{stem}.csv", lake.daily / f"{stem}.parquet"


def fill_days(
    connection: duckdb.DuckDBPyConnection, lake: Lake, new: Mapping[Location, Path] = _NOTHING
) -> dict[str, str]:
    """Make the table ``daily_top_n_by_platform`` of all published days. Days with damaged files are left out.

    Args:
        connection: The warehouse.
        lake: The data root.
        new: The local paths of files that are not in their places yet, by these places.

    Returns:
        BLAKE3, by path below the data root, of files of which nothing is recorded. Days that were published before
        any leaderboard have such files.
    """
    days = list(_published(lake, new))
    boards = [published.board.select(pl.lit(published.day).alias("day"), pl.all()) for published in days]
    connection.register("days", pl.concat([_SCHEMA.to_frame(), *boards]).to_arrow())
    connection.execute("CREATE OR REPLACE TABLE daily_top_n_by_platform AS SELECT * FROM days")
    connection.unregister("days")
    return {path: checksum for published in days for path, checksum in published.unrecorded.items()}


class _Day(NamedTuple):
    """A day's leaderboard, and BLAKE3 of its files if nothing is recorded of them."""

    day: date
    board: pl.DataFrame
    unrecorded: dict[str, str]


def _published(lake: Lake, new: Mapping[Location, Path]) -> Iterator[_Day]:
    recorded = lake.published.files()
    for day in sorted(_days(lake, new)):
        csv, parquet = daily_result(lake, day)
        content = new[parquet].read_bytes() if parquet in new else lake.files.read(parquet)
        checksum = blake3(content).hexdigest()
        expected = checksum if parquet in new else recorded.get(lake.below(parquet))
        board = _read(content) if expected in {None, checksum} else None
        if board is not None:
            yield _Day(day, board, {} if expected else {lake.below(parquet): checksum} | _checksum_of(lake, csv))


def _checksum_of(lake: Lake, path: Location) -> dict[str, str]:
    try:
        return {lake.below(path): lake.files.hash(path)}
    except FileNotFoundError:
        return {}


def _read(content: bytes) -> pl.DataFrame | None:
    """Read a leaderboard from the content of a Parquet file. Return None if it holds none."""
    try:
        board = pl.read_parquet(content)
    except pl.exceptions.PolarsError:
        return None
    return board if board.schema == LEADERBOARD_SCHEMA else None


def _days(lake: Lake, new: Mapping[Location, Path]) -> set[date]:
    names = {*lake.files.files_below(lake.daily), *(path.name for path in new)}
    return {day for name in names if (day := _day_of(lake, name))}


def _day_of(lake: Lake, name: str) -> date | None:
    """Return the day whose leaderboard a file holds, or None for any other file."""
    text = name.removeprefix(f"{lake.result_csv.stem}_").removesuffix(".parquet")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # Python also reads other ways to write a date.
    return day if daily_result(lake, day)[1].name == name else None
