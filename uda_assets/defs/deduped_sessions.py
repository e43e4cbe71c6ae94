"""The sessions, one row each."""

import time

import dagster as dg
from pydantic import Field

from uda_assets.basics.progress import Log
from uda_assets.contract.dictionary import SESSIONS
from uda_assets.defs.common import DEFAULTS, ENGINE, GROUP, OWNERS, check_result, file_at, table_metadata, tags
from uda_assets.defs.markdown import sessions_table
from uda_assets.defs.resources import EngineResource, LakeResource, WarehouseResource, engine_metadata
from uda_assets.pipeline.checks import events_accounted, session_key_unique
from uda_assets.pipeline.merging import merge_sessions
from uda_assets.warehouse.lookup import sample_sessions


class SessionsConfig(dg.Config):
    """How sessions are merged."""

    engine: str = Field(default=DEFAULTS.engine.value, description=ENGINE)
    threads: int = Field(default=DEFAULTS.threads, description="Threads of the merge.")
    memory_limit: str = Field(default=DEFAULTS.memory_limit, description="Memory before the merge spills to disk.")


_CHECKS = [
    dg.AssetCheckSpec(
        "session_key_unique",
        asset="deduped_sessions",
        blocking=True,
        description="No (platform, user_id, session_id) has two rows, so that no session counts twice. If not, another "
        "program changed files below `sessions/`, and no leaderboard is made: delete that directory and materialize "
        "again.",
    ),
    dg.AssetCheckSpec(
        "events_accounted",
        asset="deduped_sessions",
        blocking=True,
        description="Records kept over all drops = sum of events over sessions, both counted on disk, so that no "
        "record is lost. If not, files were lost or another program changed them, and no leaderboard is made: delete "
        "the directory `sessions/` and materialize again.",
    ),
]


@dg.asset(
    deps=["platform_parquet"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb", "parquet"},
    tags=tags("core"),
    metadata=table_metadata(SESSIONS),
    check_specs=_CHECKS,
)
def deduped_sessions(
    config: SessionsConfig,
    lake: LakeResource,
    warehouse: WarehouseResource,
    engine: EngineResource,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """One row for each (platform, user_id, session_id): when it started and ended, and how many records it has.

    **What it is.** Records that name the same session, in one drop or in several, are one session. It belongs to the
    moment of its first record. New drops are merged in at the cost of what they change.

    **What to do.** Usually nothing: the next run rebuilds what is missing or damaged. Query them as `sessions` in the
    warehouse.
    """
    started = time.perf_counter()
    settings = lake.settings(engine=config.engine, threads=config.threads, memory_limit=config.memory_limit)
    opened = engine.of(settings)
    before = opened.account()
    with lake.run(settings, opened) as run:
        opened.on_progress = Log(dg.get_dagster_logger().info).tasks
        try:
            merged = merge_sessions(run)
        finally:
            opened.on_progress = None
        with warehouse.scratch(run.lake, settings) as connection:
            preview = sample_sessions(run.lake, connection, merged.manifest)
            checks = [
                check_result(session_key_unique(run.lake, connection), "session_key_unique"),
                check_result(events_accounted(run.lake, connection), "events_accounted"),
            ]
    return dg.MaterializeResult(
        metadata={
            **table_metadata(SESSIONS),
            "dagster/row_count": merged.manifest.sessions,
            "preview": dg.MetadataValue.md(sessions_table(preview)),
            "records": merged.manifest.records,
            "drops": len(merged.manifest.drops),
            "drops_added": len(merged.added),
            "drops_removed": len(merged.removed),
            "rebuilt": merged.rebuilt,
            "generation": merged.manifest.generation,
            "files": len(merged.manifest.paths()),
            "path": file_at(run.lake.sessions),
            "seconds": round(time.perf_counter() - started, 3),
            "rows_read": merged.rows_read,
            "rows_compared": merged.rows_compared,
            "rows_written": merged.rows_written,
            "buckets": merged.manifest.buckets,
            **engine_metadata(before, opened.account()),
        },
        check_results=checks,
    )
