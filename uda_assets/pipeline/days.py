"""The leaderboards of single days: which ones must be made, and the warehouse's table of them all.

A run publishes every day whose sessions it changed, together with everything else. The others are taken over from the
warehouse that was published before, so that a run costs the days that it touches. A day follows the N and the excluded
users of the settings, unless a person chose others for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from datetime import date
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl

from uda_assets.basics.errors import UdaError
from uda_assets.basics.settings import Settings
from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.engines import Engine, open_engine
from uda_assets.lake import DayRule, Lake, PublishedDay, State
from uda_assets.lake.integrity import fault_of
from uda_assets.lake.publishing import Publishing, publishing
from uda_assets.pipeline.change import units_of
from uda_assets.pipeline.results import write_board
from uda_assets.pipeline.units import DaysJob, rank_unit_days
from uda_assets.storage import Location, naming_file
from uda_assets.warehouse.database import Connect, literal, plain_database
from uda_assets.warehouse.exclusion import ranked

_SCHEMA = pl.Schema({"day": pl.Date()} | dict(LEADERBOARD_SCHEMA))
_ORDER, _DESCENDING = ["day", "platform", "session_count", "user_id"], [False, False, True, False]
_TABLE = "daily_top_n_by_platform"


class Days(NamedTuple):
    """The days of a publication.

    Attributes:
        all: All days that are published then.
        new: Those of them whose leaderboards must be made.
    """

    all: dict[date, PublishedDay]
    new: list[date]


def days_to_publish(lake: Lake, state: State, rule: DayRule, damaged: Set[str]) -> Days:
    """Return the days to publish with everything else: touched ones, damaged ones, and those that follow another rule.

    Args:
        lake: The data root.
        state: Its state.
        rule: What the settings say.
        damaged: Published files that are not as they were written, by their paths below the data root.
    """
    place = f"{lake.below(lake.daily)}/"
    touched = set(state.stale_days) | {_day_of(path) for path in damaged if path.startswith(place)}
    days = dict(state.days)
    for day in {*days, *touched}:
        before = days.get(day)
        if before is None or (before.rule != rule and not before.chosen):
            days[day] = PublishedDay(rule)
            touched.add(day)
    return Days(dict(sorted(days.items())), sorted(touched))


def publish_days(
    lake: Lake, settings: Settings, days: Iterable[date], connect: Connect = plain_database
) -> dict[date, pl.DataFrame]:
    """Publish the leaderboards of days by the rule in the settings, and return them by day.

    The caller holds the lock of the data root. A day without sessions gets an empty leaderboard.

    Raises:
        UdaError: Nothing is published yet.
    """
    state = lake.state()
    if state.publication is None:
        raise UdaError("nothing is built yet; materialize top_n_by_platform first")
    if fault := fault_of(lake, warehouse := lake.below(lake.warehouse), state.results[warehouse]):
        raise UdaError(f"{lake.warehouse} is {fault}; materialize top_n_by_platform first")
    chosen = dict.fromkeys(days, PublishedDay(DayRule(settings.n, settings.exclude_users), chosen=True))
    published = Days(dict(sorted((state.days | chosen).items())), sorted(chosen))
    with lake.stage() as staged, open_engine(settings) as engine:
        ranked_days = rank_new(engine, lake, state, published, staged.scratch)
    with publishing(lake) as publication:
        new = publication.replacing(lake.warehouse)
        lake.files.fetch(lake.warehouse, new)
        with naming_file(lake.warehouse), connect(new) as connection:
            fill_days(connection, ranked_days, published)
            # DuckDB does not report errors of writing when it closes a database.
            connection.execute("CHECKPOINT")
        boards = by_day(ranked_days, published)
        write_days(lake, publication, boards)
        left = [day for day in state.stale_days if day not in chosen]
        publication.state = state.noting(days=published.all, stale_days=left)
    return boards


def rank_new(engine: Engine, lake: Lake, state: State, days: Days, scratch: Path) -> pl.DataFrame:
    """Return the leaderboards of days that are new: a day, and the columns of a leaderboard, in their order."""
    units = list(units_of(state.sessions).values()) if state.sessions else []
    by_rule: dict[DayRule, list[date]] = defaultdict(list)
    for day in days.new:
        by_rule[days.all[day].rule].append(day)
    found = [_SCHEMA.to_frame()]
    for rule, chosen in by_rule.items():
        jobs = [DaysJob(lake.sessions, unit, chosen, rule.n, ranked(rule.exclude_users)) for unit in units]
        results = zip(jobs, engine.run(rank_unit_days, jobs, scratch), strict=True)
        rows = [(day, job.unit.platform, user, count) for job, answer in results for day, user, count in answer]
        # The first users of a platform are among the first ones of its units.
        frame = pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort(_ORDER, descending=_DESCENDING)
        found.append(frame.group_by("day", "platform", maintain_order=True).head(rule.n))
    return pl.concat(found).sort(_ORDER, descending=_DESCENDING)


def fill_days(connection: duckdb.DuckDBPyConnection, new: pl.DataFrame, days: Days, before: Path | None = None) -> None:
    """Make the table of daily leaderboards.

    Args:
        connection: The warehouse.
        new: The leaderboards that are new.
        days: The days.
        before: The warehouse from which the other days are taken over, or None if this one has them already.
    """
    kept_days = pl.Series("day", sorted(days.all.keys() - days.new), pl.Date()).to_frame()
    table = _TABLE
    if before is not None:
        connection.execute(f"ATTACH {literal(before)} AS before (READ_ONLY)")
        table = f"before.{_TABLE}"
    # With all days new, there may be no table to take others from.
    kept = f"SELECT * FROM {table} SEMI JOIN kept_days USING (day)" if kept_days.height else "FROM new_days LIMIT 0"
    connection.register("new_days", new.to_arrow())
    connection.register("kept_days", kept_days.to_arrow())
    connection.execute(f"""
        CREATE OR REPLACE TABLE {_TABLE} AS
        SELECT * FROM new_days UNION ALL ({kept}) ORDER BY day, platform, session_count DESC, user_id""")
    for name in ("new_days", "kept_days"):
        connection.unregister(name)
    if before is not None:
        connection.execute("DETACH before")


def by_day(new: pl.DataFrame, days: Days) -> dict[date, pl.DataFrame]:
    """Return the leaderboards of days that are new, by day. A day without sessions has an empty one."""
    boards = {day: board for (day,), board in new.partition_by("day", as_dict=True).items()}
    return {day: boards.get(day, _SCHEMA.to_frame()).drop("day") for day in days.new}


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
