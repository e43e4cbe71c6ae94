"""The Definitions: everything in ``defs/``, and the resources."""

from __future__ import annotations

import dagster as dg

from uda_assets.defs import (
    automation,
    daily_top_n_by_platform,
    deduped_sessions,
    leaderboard_report,
    platform_parquet,
    raw_csv,
    retention,
    top_n_by_platform,
)
from uda_assets.defs.common import DEFAULTS
from uda_assets.defs.resources import EngineResource, LakeResource, WarehouseResource
from uda_assets.defs.source_code import with_source_code

_MODULES = [raw_csv, platform_parquet, deduped_sessions, top_n_by_platform, leaderboard_report, daily_top_n_by_platform]
_ASSETS = [one for one in dg.load_assets_from_modules(_MODULES) if isinstance(one, dg.AssetsDefinition)]

defs = dg.Definitions(
    assets=with_source_code(_ASSETS, DEFAULTS),
    asset_checks=dg.load_asset_checks_from_modules(_MODULES),
    jobs=[automation.leaderboard_job, automation.daily_leaderboard_job],
    schedules=[automation.leaderboard_schedule, automation.daily_leaderboard_schedule],
    sensors=[automation.drop_sensor, retention.retention_sensor],
    resources={"lake": LakeResource(), "warehouse": WarehouseResource(), "engine": EngineResource()},
    executor=dg.in_process_executor,
)
