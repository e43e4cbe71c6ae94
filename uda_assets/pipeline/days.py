"""The leaderboards of single days: which ones must be made, their files, and their table in the warehouse.

A run publishes every day whose sessions it changed, together with everything else, so that it costs the days that it
touches. A day follows the N and the excluded users of the settings, unless a person chose others for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import duckdb
import polars as pl

from uda_assets.basics.errors import UdaError
from uda_assets.basics.settings import Settings
from uda_assets.engines import open_engine
from uda_assets.lake import DayRule, Lake, PublishedDay, State, open_lake
from uda_assets.lake.integrity import fault_of
from uda_assets.lake.publishing import Publishing, publishing
from uda_assets.pipeline.day_ranking import BOARDS, DayRanking, boards_of, write_kept
from uda_assets.pipeline.results import write_board
from uda_assets.storage import Location, naming_file
from uda_assets.warehouse.database import Connect, plain_database

_EARLIEST = date(2000, 1, 1)


class Days(NamedTuple):
    """The days of a publication.

    Attributes:
        all: All days that are published then.
        new: Those of them whose leaderboards are published anew.
        uncounted: Those of these of which all sessions must be counted.
    """

    all: dict[date, PublishedDay]
    new: list[date]
    uncounted: list[date]


def days_to_publish(lake: Lake, state: State, rule: DayRule, damaged: Set[str]) -> Days:
    """Return the days to publish with everything else: touched ones, damaged ones, and those that follow another rule.

    Args:
        lake: The data root.
        state: Its state.
        rule: What the settings say.
        damaged: Published files that are not as they were written, by their paths below the data root.
    """
    place = f"{lake.below(lake.daily)}/"
    new = set(state.stale_days) | {_day_of(path) for path in damaged if path.startswith(place)}
    uncounted = set(state.uncounted_days)
    days = dict(state.days)
    for day in {*days, *new}:
        before = days.get(day)
        if before is None or (before.rule != rule and not before.chosen):
            days[day] = PublishedDay(rule)
            uncounted.add(day)
    return Days(dict(sorted(days.items())), sorted(new | uncounted), sorted(uncounted))


def first_day(settings: Settings) -> date:
    """Return the first day that Dagster lists: that of the settings, or else the first one that is published.

    If nothing is published, or the data root cannot be read now, it is a day a year ago.
    """
    if settings.daily_start:
        return date.fromisoformat(settings.daily_start)
    try:
        days = open_lake(settings).state().days
    except Exception:
        # What is wrong with the data root is for the runs to say.
        days = {}
    # A wrong clock may have written any year.
    return max(min(days, default=datetime.now(UTC).date() - timedelta(days=365)), _EARLIEST)


def publish_days(
    lake: Lake,
    settings: Settings,
    days: Iterable[date],
    connect: Connect = plain_database,
    usual: DayRule | None = None,
) -> dict[date, pl.DataFrame]:
    """Publish the leaderboards of days by the rule in the settings, and return them by day.

    The caller holds the lock of the data root. A day without sessions gets an empty leaderboard.

    Args:
        lake: The data root.
        settings: The settings, with the N and the excluded users that a person chose for these days.
        days: The days.
        connect: Opens database files.
        usual: The rule that nobody has to choose. Days by this rule go on following it.

    Raises:
        UdaError: Nothing is published yet.
    """
    state = lake.state()
    if state.publication is None:
        raise UdaError("nothing is built yet; materialize top_n_by_platform first")
    if fault := fault_of(lake, warehouse := lake.below(lake.warehouse), state.results[warehouse]):
        raise UdaError(f"{lake.warehouse} is {fault}; materialize top_n_by_platform first")
    rule = DayRule.of(settings)
    chosen = dict.fromkeys(days, PublishedDay(rule, chosen=rule != usual))
    all_days = dict(sorted((state.days | chosen).items()))
    with lake.stage() as staged, open_engine(settings) as engine:
        kept = DayRanking(engine, lake, state, staged.scratch).kept(all_days, chosen, chosen)
    table = boards_of(kept, all_days)
    with publishing(lake) as publication:
        new = publication.replacing(lake.warehouse)
        lake.files.fetch(lake.warehouse, new)
        with naming_file(lake.warehouse), connect(new) as connection:
            fill_days(connection, table)
            # DuckDB does not report errors of writing when it closes a database.
            connection.execute("CHECKPOINT")
        boards = by_day(table, sorted(chosen))
        write_days(lake, publication, boards)
        publication.state = state.noting(
            days=all_days,
            kept=write_kept(lake, kept),
            stale_days=[day for day in state.stale_days if day not in chosen],
            uncounted_days=[day for day in state.uncounted_days if day not in chosen],
        )
        publication.removing = [lake.session_path(state.kept.path)] if state.kept else []
    return boards


def fill_days(connection: duckdb.DuckDBPyConnection, table: pl.DataFrame) -> None:
    """Make the warehouse's table of daily leaderboards."""
    connection.register("boards", table.to_arrow())
    connection.execute("CREATE OR REPLACE TABLE daily_top_n_by_platform AS FROM boards")
    connection.unregister("boards")


def by_day(table: pl.DataFrame, days: Collection[date]) -> dict[date, pl.DataFrame]:
    """Return the leaderboards of some days, by day. A day without sessions has an empty one."""
    boards = {day: board for (day,), board in table.partition_by("day", as_dict=True).items()}
    return {day: boards.get(day, BOARDS.to_frame()).drop("day") for day in days}


def write_days(lake: Lake, publication: Publishing, boards: Mapping[date, pl.DataFrame]) -> None:
    """Write the files of days that are new."""
    for day, board in boards.items():
        csv, parquet = daily_result(lake, day)
        write_board(board, publication.replacing(csv), publication.replacing(parquet))


def daily_result(lake: Lake, day: date) -> tuple[Location, Location]:
    """Return the CSV and Parquet files of a day's leaderboard."""
    stem = f"{lake.result_csv.stem}_{day.isoformat()}"
    return lake.daily / f"{stem}.csv", lake.daily / f"{stem}.parquet"


def _day_of(path: str) -> date:
    return date.fromisoformat(path.rpartition("_")[2].partition(".")[0])
