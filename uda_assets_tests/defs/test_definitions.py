"""The wiring of the whole project as one plain table, so that a change of it shows in review."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from uda_assets.basics.errors import UsageError
from uda_assets.basics.settings import load_settings
from uda_assets.defs.automation import example_config
from uda_assets.defs.common import overdue_after
from uda_assets.defs.source_code import with_source_code
from uda_assets.defs.top_n_by_platform import top_n_by_platform
from uda_assets_tests.support.definitions import defs
from uda_assets_tests.support.places import PROJECT

COMMON = {"group": "leaderboards", "owners": ["team:user-activity"], "overdue": None}
TABLE = ["dagster/column_lineage", "dagster/column_schema"]
CHAIN = ["deduped_sessions", "leaderboard_report", "platform_parquet", "raw_csv", "top_n_by_platform"]

ASSETS: dict[str, dict[str, Any]] = {
    "raw_csv": COMMON
    | {
        "deps": [],
        "kinds": ["csv"],
        "layer": "raw",
        "metadata": TABLE,
        "partitions": None,
        "checks": {
            "all_files_are_drops": "warns",
            "drops_present": "warns",
            "headers_readable": "warns",
            "suppliers_deliver": "warns",
        },
    },
    "platform_parquet": COMMON
    | {
        "deps": ["raw_csv"],
        "kinds": ["parquet", "polars"],
        "layer": "clean",
        "metadata": TABLE,
        "partitions": None,
        "checks": {
            "drop_volume_usual": "warns",
            "files_as_written": "warns",
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
        "layer": "core",
        "metadata": TABLE,
        "partitions": None,
        "checks": {"events_accounted": "blocks", "session_key_unique": "blocks"},
    },
    "top_n_by_platform": COMMON
    | {
        "deps": ["deduped_sessions", "platform_parquet", "raw_csv"],
        "kinds": ["csv", "duckdb"],
        "layer": "published",
        "metadata": TABLE,
        "overdue": "warns after 12 hours, fails after 24 hours",
        "partitions": None,
        "checks": {
            "leaderboard_recounted": "warns",
            "leaderboard_well_formed": "warns",
            "listed_users_plausible": "warns",
        },
    },
    "leaderboard_report": COMMON
    | {
        "deps": ["top_n_by_platform"],
        "kinds": ["html"],
        "layer": "published",
        "metadata": [],
        "partitions": None,
        "checks": {"report_self_contained": "warns", "report_shows_leaderboard": "warns"},
    },
    "daily_top_n_by_platform": COMMON
    | {
        "group": "daily_leaderboards",
        "deps": ["deduped_sessions"],
        "kinds": ["csv", "duckdb"],
        "layer": "published",
        "metadata": TABLE,
        "partitions": "Daily, starting 2020-01-01 UTC. In a single run.",
        "checks": {"daily_leaderboards_well_formed": "warns"},
    },
}

JOBS = {
    "leaderboard_job": {"assets": CHAIN, "checks": 18, "executor": "in_process", "partitioned": False},
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
            "layer": node.tags.get("layer"),
            "metadata": sorted(name for name in node.metadata if name.startswith("dagster/column")),
            "overdue": _overdue(node.freshness_policy),
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


def _overdue(policy: object) -> str | None:
    if policy is None:
        return None
    for fail in (24, 6):
        windows = {"fail_window": timedelta(hours=fail), "warn_window": timedelta(hours=fail / 2)}
        if policy == dg.FreshnessPolicy.time_window(**windows):
            return f"warns after {fail / 2:g} hours, fails after {fail:g} hours"
    return repr(policy)


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


def test_the_launchpad_begins_with_what_silence_would_mean() -> None:
    """The example names every value that is the default of its field, so that to launch it unedited changes nothing."""
    for name, ops in {
        "leaderboard_job": ["deduped_sessions", "platform_parquet", "top_n_by_platform"],
        "daily_leaderboard_job": ["daily_top_n_by_platform"],
    }.items():
        job = defs.resolve_job_def(name)
        partitioned = job.partitioned_config
        config = job.run_config or (partitioned and partitioned.get_run_config_for_partition_key("2026-01-01")) or {}
        assert sorted(config["ops"]) == ops
        for op, given in config["ops"].items():
            definition: Any = job.graph.node_named(op).definition
            fields = definition.config_field.config_type.fields
            for key, value in given["config"].items():
                default = fields[key].default_value if fields[key].default_provided else None
                assert default == value, (op, key)


def test_the_example_follows_the_environment() -> None:
    environment = {"UDA_N": "7", "UDA_SINCE": "2026-01-10", "UDA_ERROR_MODE": "fail_fast", "UDA_ENGINE": "dask"}
    ops = example_config(load_settings(environment))["ops"]
    assert ops["top_n_by_platform"]["config"] == {
        "engine": "dask", "n": 7, "since": "2026-01-10T00:00:00+00:00", "until": None,
    }  # fmt: skip
    assert ops["platform_parquet"]["config"]["error_mode"] == "fail_fast"


def test_everything_is_described() -> None:
    graph, repository = defs.resolve_asset_graph(), defs.get_repository_def()
    described: dict[str, str | None] = {str(key): graph.get(key).description for key in graph.get_all_asset_keys()}
    described |= {check.name: graph.get_check_spec(check).description for check in graph.asset_check_keys}
    described |= {job.name: job.description for job in repository.get_all_jobs() if not job.name.startswith("__")}
    described |= {sensor.name: sensor.description for sensor in repository.sensor_defs}
    described |= {schedule.name: schedule.description for schedule in repository.schedule_defs}
    assert {name for name, text in described.items() if not text} == set()


def test_what_a_newcomer_reads_says_what_to_do() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        assert "**What it is.**" in (graph.get(key).description or ""), key
        assert "**What to do.**" in (graph.get(key).description or ""), key
    for check in graph.asset_check_keys:
        assert re.search(r"If (not|one|some|the)\b", graph.get_check_spec(check).description or ""), check


def _references(asset: dg.AssetsDefinition) -> list[str]:
    (metadata,) = asset.metadata_by_key.values()
    return [one.source for one in metadata["dagster/code_references"].code_references]


def test_each_asset_names_its_source() -> None:
    made = [asset for asset in defs.resolve_asset_graph().assets_defs if asset.keys]
    assert {asset.key.to_user_string() for asset in made} == set(ASSETS)
    for asset in made:
        (reference,) = _references(asset)
        path, line = reference.rsplit(":", 1)
        following = Path(path).read_text(encoding="utf-8").splitlines()[int(line) - 1 :]
        assert any(text.startswith(f"def {asset.key.to_user_string()}(") for text in following[:20]), reference


@pytest.mark.parametrize(
    ("url", "before"),
    [
        ("https://github.com/a/b", "https://github.com/a/b/tree/v1/"),
        ("https://gitlab.example.org/a/b.git/", "https://gitlab.example.org/a/b/-/tree/v1/"),
    ],
)
def test_the_source_is_a_link_where_the_repository_is_known(url: str, before: str) -> None:
    settings = load_settings({"UDA_GIT_URL": url, "UDA_GIT_BRANCH": "v1"})
    (asset,) = with_source_code(dg.Definitions(assets=[top_n_by_platform]), settings).assets or ()
    assert isinstance(asset, dg.AssetsDefinition)
    (reference,) = _references(asset)
    assert re.fullmatch(re.escape(f"{before}uda_assets/defs/top_n_by_platform.py#L") + r"\d+", reference)


@pytest.mark.parametrize(
    "url", ["github.com/a/b", "https://example.org/a", "file:///etc/github/x", "https://github.com/"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="UDA_GIT_URL must be a repository's address at GitHub or GitLab"):
        load_settings({"UDA_GIT_URL": url})


def test_overdue_is_a_setting() -> None:
    assert overdue_after(load_settings({"UDA_OVERDUE_HOURS": "0"}).overdue_hours) is None
    policy = overdue_after(load_settings({"UDA_OVERDUE_HOURS": "6"}).overdue_hours)
    assert _overdue(policy) == "warns after 3 hours, fails after 6 hours"
    assert overdue_after(1e-6) is not None, "Dagster takes no less than a minute"


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


def test_an_installed_package_finds_its_definitions(tmp_path: Path) -> None:
    subprocess.run(["uv", "build", "--quiet", "--wheel", "--out-dir", tmp_path, PROJECT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = "import uda_assets.definitions as d; print(d.__file__, len(d.defs().resolve_all_asset_keys()))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == [str(tmp_path / "installed/uda_assets/definitions.py"), str(len(ASSETS))], done.stderr
