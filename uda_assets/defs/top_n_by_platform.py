"""The leaderboard."""

import dagster as dg
from pydantic import Field

from uda_assets.build import publish_merged
from uda_assets.contract import LEADERBOARD_SCHEMA
from uda_assets.defs.common import DEFAULTS, GROUP, OWNERS, check_result, column_schema, markdown, moment_text
from uda_assets.defs.deduped_sessions import deduped_sessions
from uda_assets.defs.platform_parquet import platform_parquet
from uda_assets.defs.raw_csv import raw_csv
from uda_assets.defs.resources import EngineResource, LakeResource, WarehouseResource, engine_metadata
from uda_assets.quality import leaderboard_recounted, leaderboard_well_formed
from uda_assets.ranking import Window

LEADERBOARD_COLUMNS = {
    "platform": "Canonical platform",
    "user_id": "Opaque user id",
    "session_count": "Unique sessions of the user on the platform",
}


class LeaderboardConfig(dg.Config):
    """How many users, and which sessions count."""

    n: int = Field(default=DEFAULTS.n, description="Users a platform, at least 1.")
    since: str | None = Field(
        default=moment_text(DEFAULTS.since), description="Sessions that started at this time or later"
    )
    until: str | None = Field(default=moment_text(DEFAULTS.until), description="Sessions that started before this time")
    engine: str = Field(
        default=DEFAULTS.engine.value,
        description="What does the heavy work: polars (this machine) or dask (a cluster).",
    )


# The warehouse publishes the drop ledger and the quarantine too, hence the dependency on all three.
_CHECKS = [
    dg.AssetCheckSpec(
        "leaderboard_well_formed", asset="top_n_by_platform", description="Columns, types, order and bound by N."
    ),
    dg.AssetCheckSpec(
        "leaderboard_recounted",
        asset="top_n_by_platform",
        description="The listed users' sessions, counted again by DuckDB from the converted records.",
    ),
]


@dg.asset(
    deps=[raw_csv, platform_parquet, deduped_sessions],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb", "csv"},
    check_specs=_CHECKS,
)
def top_n_by_platform(
    config: LeaderboardConfig, lake: LakeResource, warehouse: WarehouseResource, engine: EngineResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The top N users of each platform by unique sessions: Result CSV and Parquet, and the DuckDB warehouse.

    Ties go to the smaller user id. Same inputs, same bytes.
    """
    settings = lake.settings(n=config.n, since=config.since, until=config.until, engine=config.engine)
    opened = engine.of(settings)
    before = opened.account()
    with lake.writing(settings) as root:
        published = publish_merged(root, settings, lake.platforms(settings), warehouse.connect, opened)
        board = published.leaderboard
        with warehouse.scratch(root, settings) as connection:
            recounted = leaderboard_recounted(root, connection, board, Window(settings.since, settings.until))
    return dg.MaterializeResult(
        metadata={
            "dagster/column_schema": column_schema(LEADERBOARD_SCHEMA, LEADERBOARD_COLUMNS),
            "dagster/row_count": board.height,
            "n": settings.n,
            "leaderboard": markdown(board, rows=100),
            "result_csv": dg.MetadataValue.path(str(published.csv)),
            "result_parquet": dg.MetadataValue.path(str(published.parquet)),
            "warehouse": dg.MetadataValue.path(str(root.warehouse)),
            **engine_metadata(before, opened.account()),
        },
        check_results=[
            check_result(leaderboard_well_formed(board, settings.n))._replace(check_name="leaderboard_well_formed"),
            check_result(recounted)._replace(check_name="leaderboard_recounted"),
        ],
    )
