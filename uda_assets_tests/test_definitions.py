"""The wiring of the whole project as one plain table, so that a change of it shows in review."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg

from uda_assets.definitions import defs

PROJECT = Path(__file__).parents[1]
COMMON = {"group": "leaderboards", "owners": ["team:user-activity"]}
CHAIN = ["deduped_sessions", "leaderboard_report", "platform_parquet", "raw_csv", "top_n_by_platform"]

ASSETS: dict[str, dict[str, Any]] = {
    "raw_csv": COMMON
    | {
        "deps": [],
        "kinds": ["csv"],
        "partitions": None,
        "checks": {"drops_present": "warns", "headers_readable": "warns"},
    },
    "platform_parquet": COMMON
    | {
        "deps": ["raw_csv"],
        "kinds": ["parquet", "polars"],
        "partitions": None,
        "checks": {
            "no_rejected_drops": "warns",
            "platforms_known": "warns",
            "records_accounted": "blocks",
            "reject_ratio_low": "warns",
            "schema_matches_contract": "blocks",
        },
    },
    "deduped_sessions": COMMON
    | {
        "deps": ["platform_parquet"],
        "kinds": ["duckdb", "parquet"],
        "partitions": None,
        "checks": {"events_accounted": "blocks", "session_key_unique": "blocks"},
    },
    "top_n_by_platform": COMMON
    | {
        "deps": ["deduped_sessions", "platform_parquet", "raw_csv"],
        "kinds": ["csv", "duckdb"],
        "partitions": None,
        "checks": {"leaderboard_recounted": "warns", "leaderboard_well_formed": "warns"},
    },
    "leaderboard_report": COMMON
    | {
        "deps": ["top_n_by_platform"],
        "kinds": ["html"],
        "partitions": None,
        "checks": {"report_self_contained": "warns", "report_shows_leaderboard": "warns"},
    },
    "daily_top_n_by_platform": COMMON
    | {
        "deps": ["deduped_sessions"],
        "kinds": ["csv", "duckdb"],
        "partitions": "Daily, starting 2020-01-01 UTC. In a single run.",
        "checks": {"daily_leaderboards_well_formed": "warns"},
    },
}

JOBS = {
    "leaderboard_job": {"assets": CHAIN, "checks": 13, "executor": "in_process", "partitioned": False},
    "daily_leaderboard_job": {
        "assets": ["daily_top_n_by_platform"],
        "checks": 1,
        "executor": "in_process",
        "partitioned": True,
    },
}

SENSORS = {
    "drop_sensor": {"jobs": ["leaderboard_job"], "default": "RUNNING", "seconds": 5},
    "retention_sensor": {"jobs": [], "default": "RUNNING", "seconds": 60},
}

SCHEDULES = {
    "leaderboard_schedule": {"job": "leaderboard_job", "cron": "0 * * * *", "zone": "UTC", "default": "RUNNING"},
    "daily_leaderboard_schedule": {
        "job": "daily_leaderboard_job",
        "cron": "30 0 * * *",
        "zone": "UTC",
        "default": "RUNNING",
    },
}


def assets() -> dict[str, Any]:
    graph = defs.resolve_asset_graph()
    return {
        key.to_user_string(): {
            "group": node.group_name,
            "owners": list(node.owners),
            "deps": sorted(parent.to_user_string() for parent in node.parent_keys),
            "kinds": sorted(node.kinds),
            "partitions": _partitions(node.partitions_def, node.backfill_policy),
            "checks": {
                check.name: "blocks" if graph.get_check_spec(check).blocking else "warns"
                for check in sorted(node.check_keys, key=lambda check: check.name)
            },
        }
        for key in graph.get_all_asset_keys()
        for node in [graph.get(key)]
    }


def _partitions(days: object, policy: dg.BackfillPolicy | None) -> str | None:
    if days is None:
        return None
    single = policy is not None and policy.policy_type.name == "SINGLE_RUN"
    return f"{days} In {'a single run' if single else 'many runs'}."


def jobs() -> dict[str, Any]:
    return {
        job.name: {
            "assets": sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys),
            "checks": len(job.asset_layer.asset_graph.asset_check_keys),
            "executor": job.executor_def.name,
            "partitioned": job.partitions_def is not None,
        }
        for job in defs.get_repository_def().get_all_jobs()
        if not job.name.startswith("__")
    }


def sensors() -> dict[str, Any]:
    return {
        sensor.name: {
            "jobs": [target.job_name for target in sensor.targets],
            "default": sensor.default_status.name,
            "seconds": sensor.minimum_interval_seconds,
        }
        for sensor in defs.get_repository_def().sensor_defs
    }


def schedules() -> dict[str, Any]:
    return {
        schedule.name: {
            "job": schedule.job_name,
            "cron": schedule.cron_schedule,
            "zone": schedule.execution_timezone,
            "default": schedule.default_status.name,
        }
        for schedule in defs.get_repository_def().schedule_defs
    }


def test_the_wiring_is_as_reviewed() -> None:
    assert assets() == ASSETS
    assert jobs() == JOBS
    assert sensors() == SENSORS
    assert schedules() == SCHEDULES


def test_everything_is_described() -> None:
    graph, repository = defs.resolve_asset_graph(), defs.get_repository_def()
    described: dict[str, str | None] = {str(key): graph.get(key).description for key in graph.get_all_asset_keys()}
    described |= {check.name: graph.get_check_spec(check).description for check in graph.asset_check_keys}
    described |= {job.name: job.description for job in repository.get_all_jobs() if not job.name.startswith("__")}
    described |= {sensor.name: sensor.description for sensor in repository.sensor_defs}
    described |= {schedule.name: schedule.description for schedule in repository.schedule_defs}
    assert {name for name, text in described.items() if not text} == set()


def test_dg_lists_the_definitions_without_flags() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_", "UDA_"))}
    listed = subprocess.run(
        [Path(sys.executable).with_name("dg"), "list", "defs", "--json"],
        cwd=PROJECT, env=environment | {"DAGSTER_DISABLE_TELEMETRY": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert listed.returncode == 0, listed.stderr
    found = json.loads(listed.stdout)
    assert {asset["asset_key"] for asset in found["assets"]} == set(ASSETS)
    checks = {(check["asset_key"], check["name"]) for check in found["asset_checks"]}
    assert checks == {(name, check) for name, asset in ASSETS.items() for check in asset["checks"]}
    for kind, expected in (("jobs", JOBS), ("sensors", SENSORS), ("schedules", SCHEDULES)):
        assert {item["name"] for item in found[kind]} == set(expected)
    assert {resource["name"] for resource in found["resources"]} == {"engine", "lake", "warehouse"}
