"""The leaderboard."""

import time

import dagster as dg
from pydantic import Field

from uda_assets.contract.dictionary import LEADERBOARD
from uda_assets.defs.common import (
    DEFAULTS,
    ENGINE,
    GROUP,
    OWNERS,
    check_result,
    file_at,
    moment_text,
    overdue_after,
    table_metadata,
    tags,
)
from uda_assets.defs.daily_top_n_by_platform import day_published
from uda_assets.defs.markdown import leaderboard_table, ledger_table, picture
from uda_assets.defs.resources import EngineResource, LakeResource, WarehouseResource, engine_metadata
from uda_assets.lake import DayRule
from uda_assets.pipeline.checks import leaderboard_recounted, leaderboard_well_formed, listed_users_plausible
from uda_assets.pipeline.publishing import publish
from uda_assets.pipeline.summary import summary
from uda_assets.report import published_picture
from uda_assets.warehouse.ranking import Window


class LeaderboardConfig(dg.Config):
    """The number of users on the leaderboard, and which sessions count."""

    n: int = Field(default=DEFAULTS.n, description="Users for each platform, at least 1.")
    since: str | None = Field(
        default=moment_text(DEFAULTS.since), description="Sessions that started at this time or later"
    )
    until: str | None = Field(default=moment_text(DEFAULTS.until), description="Sessions that started before this time")
    exclude_users: str = Field(
        default=DEFAULTS.exclude_users, description="Patterns of users to leave out, separated by commas: test-*, null"
    )
    engine: str = Field(default=DEFAULTS.engine.value, description=ENGINE)


_CHECKS = [
    dg.AssetCheckSpec(
        "leaderboard_well_formed",
        asset="top_n_by_platform",
        description="The leaderboard has its columns and types, is in order, and has at most N users for each platform "
        "and no user twice. If not, this program is at fault: please report it, with the log of the run.",
    ),
    dg.AssetCheckSpec(
        "leaderboard_recounted",
        asset="top_n_by_platform",
        description="The listed users' sessions, counted again by DuckDB from what each drop contributed. If the "
        "numbers differ, another program changed files below `sessions/`: delete that directory and materialize "
        "again.",
    ),
    dg.AssetCheckSpec(
        "listed_users_plausible",
        asset="top_n_by_platform",
        description="No listed id looks like a null marker (`null`, `unknown`, `0`, …), and nobody has far more "
        "sessions than all others. If not: state the marker by `null` in `suppliers.toml`, or leave the user out by "
        "`UDA_EXCLUDE_USERS`.",
    ),
]


def _report_follows(context: dg.AssetExecutionContext) -> bool:
    """Return whether the run also makes the report, which then says how it all ended."""
    selected = context.run.asset_selection
    return selected is None or dg.AssetKey("leaderboard_report") in selected


@dg.asset(
    deps=["raw_csv", "platform_parquet", "deduped_sessions"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb", "csv"},
    tags=tags("published"),
    freshness_policy=overdue_after(DEFAULTS.overdue_hours),
    metadata=table_metadata(LEADERBOARD),
    check_specs=_CHECKS,
)
def top_n_by_platform(
    context: dg.AssetExecutionContext,
    config: LeaderboardConfig,
    lake: LakeResource,
    warehouse: WarehouseResource,
    engine: EngineResource,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The top N users of each platform by unique sessions: Result CSV and Parquet, and the DuckDB warehouse.

    **What it is.** `results/Result_top_n_by_platform.csv` (and `.parquet`), and the warehouse `uda.duckdb` with the
    tables `top_n_by_platform`, `daily_top_n_by_platform`, `sessions`, `session_counts`, `drops`, `quarantine`,
    `rank_movement` and `publication`. Among equal counts, the smaller user id comes first. The same inputs give the
    same bytes. A new leaderboard replaces the one before in one step.

    The run that changes the sessions of a day publishes that day's leaderboard too, in the same step.

    **What to do.** For another N or window, set `n`, `since` and `until` in the launchpad, or run
    `uda leaderboard --n 7 --since …`, which publishes nothing. If the UI shows it as overdue, it was not made for
    `UDA_OVERDUE_HOURS`. Then the runs fail, or nothing starts them: look at the last run.
    """
    started = time.perf_counter()
    # An empty bound in run config is a choice, which the environment must not replace.
    window = {"since": config.since or "", "until": config.until or ""}
    settings = lake.settings(n=config.n, engine=config.engine, exclude_users=config.exclude_users, **window)
    opened = engine.of(settings)
    before = opened.account()
    # Run config is about this leaderboard. Those of days follow the settings.
    by_day = DayRule.of(lake.settings())
    with lake.run(settings, opened, connect=warehouse.connect, days=by_day) as run:
        published = publish(run, lambda day, of_day: context.log_event(day_published(day, of_day)))
        board = published.leaderboard
        with warehouse.scratch(run.lake, settings) as connection:
            recounted = leaderboard_recounted(run.lake, connection, board, Window(settings.since, settings.until))
        chart = published_picture(run.lake, board)
    if not _report_follows(context):
        context.log.info(summary(run.lake, board, with_report=False))
    return dg.MaterializeResult(
        metadata={
            **table_metadata(LEADERBOARD),
            "dagster/row_count": board.height,
            "chart": dg.MetadataValue.md(picture(chart, "Sessions of the leading users of each platform")),
            "leaders": dg.MetadataValue.md(leaderboard_table(board, places=3)),
            "leaderboard": dg.MetadataValue.md(leaderboard_table(board)),
            "ledger": dg.MetadataValue.md(ledger_table(published.drops)),
            "n": settings.n,
            "exclude_users": settings.exclude_users,
            "excluded_users": len(publication.excluded) if (publication := run.lake.state().publication) else 0,
            "platforms": board["platform"].n_unique(),
            "sessions_of_the_listed": int(board["session_count"].sum()),
            "days_published": len(published.days),
            "seconds": round(time.perf_counter() - started, 3),
            "result_csv": file_at(published.csv),
            "result_parquet": file_at(published.parquet),
            "warehouse": file_at(run.lake.warehouse),
            **engine_metadata(before, opened.account()),
        },
        check_results=[
            check_result(leaderboard_well_formed(board, settings.n), "leaderboard_well_formed"),
            check_result(recounted, "leaderboard_recounted"),
            check_result(listed_users_plausible(board), "listed_users_plausible", warning=True),
        ],
    )
