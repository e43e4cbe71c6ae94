"""The leaderboards of single days."""

import time
import warnings
from datetime import date

import dagster as dg
import polars as pl
from pydantic import Field

from uda_assets.contract.dictionary import DAILY_LEADERBOARD
from uda_assets.defs.common import DAILY_GROUP, DEFAULTS, OWNERS, check_result, file_at, table_metadata, tags
from uda_assets.defs.markdown import leaderboard_table
from uda_assets.defs.resources import LakeResource, WarehouseResource
from uda_assets.lake import DayRule
from uda_assets.pipeline.checks import days_well_formed
from uda_assets.pipeline.days import first_day, publish_days

# It has been beta since 2023, and is the only way to backfill a range in one run.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)

daily_partitions = dg.DailyPartitionsDefinition(start_date=first_day(DEFAULTS).isoformat(), timezone="UTC")

_CHECKS = [
    dg.AssetCheckSpec(
        "daily_leaderboards_well_formed",
        asset="daily_top_n_by_platform",
        description="Each day's leaderboard has its columns and types, is in order, and has at most N users for "
        "each platform. If not, this program is at fault: please report it, with the log of the run.",
    )
]


class DailyConfig(dg.Config):
    """The number of users on each leaderboard."""

    n: int = Field(default=DEFAULTS.n, description="Users for each platform and day, at least 1.")
    exclude_users: str = Field(
        default=DEFAULTS.exclude_users, description="Patterns of users to leave out, separated by commas: test-*, null"
    )


def day_published(day: date, board: pl.DataFrame) -> dg.AssetMaterialization:
    """Return the event that a run of the chain published the leaderboard of a day."""
    return dg.AssetMaterialization(
        asset_key="daily_top_n_by_platform",
        partition=day.isoformat(),
        metadata={
            "dagster/row_count": board.height,
            "sessions_of_the_listed": int(board["session_count"].sum()),
        },
    )


@dg.asset(
    deps=["deduped_sessions"],
    group_name=DAILY_GROUP,
    owners=OWNERS,
    kinds={"duckdb", "csv"},
    tags=tags("published"),
    metadata=table_metadata(DAILY_LEADERBOARD),
    partitions_def=daily_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=_CHECKS,
)
def daily_top_n_by_platform(
    context: dg.AssetExecutionContext, config: DailyConfig, lake: LakeResource, warehouse: WarehouseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The top N users of each platform by the unique sessions that started on a day (UTC).

    **What it is.** A session belongs to the day on which it started, so that a user's daily counts add up to the
    all-time count. Results are in `results/daily/`, and in the warehouse as `daily_top_n_by_platform`.

    **What to do.** Usually nothing: each run of the chain publishes the days whose sessions it changed, and records
    that here. For another N, or for other users to leave out, materialize a day or a range of days, which takes one
    run. These days keep what you chose.
    """
    started = time.perf_counter()
    days = [date.fromisoformat(key) for key in context.partition_keys]
    settings = lake.settings(n=config.n, exclude_users=config.exclude_users)
    usual = DayRule.of(lake.settings())
    with lake.writing(settings) as root:
        boards = publish_days(root, settings, days, warehouse.connect, usual)
    last = max(boards)
    return dg.MaterializeResult(
        metadata={
            **table_metadata(DAILY_LEADERBOARD),
            "dagster/row_count": sum(board.height for board in boards.values()),
            "n": settings.n,
            "days": len(boards),
            "sessions_of_the_listed": int(sum(board["session_count"].sum() for board in boards.values())),
            "last_day": last.isoformat(),
            "leaderboard_of_last_day": dg.MetadataValue.md(leaderboard_table(boards[last])),
            "seconds": round(time.perf_counter() - started, 3),
            "path": file_at(root.daily),
        },
        check_results=[check_result(days_well_formed(boards, settings.n), "daily_leaderboards_well_formed")],
    )
