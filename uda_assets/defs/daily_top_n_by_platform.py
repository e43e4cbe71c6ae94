"""The leaderboards of single days."""

import warnings
from datetime import date

import dagster as dg
import polars as pl
from pydantic import Field

from uda_assets.contract import LEADERBOARD_SCHEMA
from uda_assets.defs.common import DEFAULTS, GROUP, OWNERS, check_result, column_schema, markdown
from uda_assets.defs.deduped_sessions import deduped_sessions
from uda_assets.defs.resources import LakeResource, WarehouseResource
from uda_assets.defs.top_n_by_platform import LEADERBOARD_COLUMNS
from uda_assets.quality import days_well_formed
from uda_assets.warehouse import publish_days

# Beta since 2023, and the only way to backfill a range in one run.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)

daily_partitions = dg.DailyPartitionsDefinition(start_date=DEFAULTS.daily_start, timezone="UTC")

_CHECKS = [
    dg.AssetCheckSpec(
        "daily_leaderboards_well_formed",
        asset="daily_top_n_by_platform",
        description="Columns, types, order and bound by N, for each day.",
    )
]


class DailyConfig(dg.Config):
    """How many users a day."""

    n: int = Field(default=DEFAULTS.n, description="Users a platform and day, at least 1.")


@dg.asset(
    deps=[deduped_sessions],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb", "csv"},
    partitions_def=daily_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=_CHECKS,
)
def daily_top_n_by_platform(
    context: dg.AssetExecutionContext, config: DailyConfig, lake: LakeResource, warehouse: WarehouseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The top N users of each platform by the unique sessions that started on a day (UTC).

    A session belongs to the day it started, so that a user's days add up to the all-time count. Results are in
    `results/daily/`, and in the warehouse as `daily_top_n_by_platform`.
    """
    days = [date.fromisoformat(key) for key in context.partition_keys]
    settings = lake.settings(n=config.n)
    with lake.writing(settings) as root:
        boards = publish_days(root, settings, days, warehouse.connect)
    last = max(boards)
    return dg.MaterializeResult(
        metadata={
            "dagster/column_schema": column_schema(LEADERBOARD_SCHEMA, LEADERBOARD_COLUMNS),
            "dagster/row_count": sum(board.height for board in boards.values()),
            "n": settings.n,
            "days": len(boards),
            "sessions_of_the_listed": int(sum(board["session_count"].sum() for board in boards.values())),
            "leaderboard": markdown(boards[last].select(pl.lit(last).alias("day"), pl.all()), rows=100),
            "path": dg.MetadataValue.path(str(root.results / "daily")),
        },
        check_results=[
            check_result(days_well_formed(boards, settings.n))._replace(check_name="daily_leaderboards_well_formed")
        ],
    )
