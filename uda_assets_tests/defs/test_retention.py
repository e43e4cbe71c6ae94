"""The history of runs on a real instance: what is old goes with all that was kept of it, what is shown stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from uda_assets.cli.dev import own_dagster_home
from uda_assets.defs import retention
from uda_assets.defs.resources import LakeResource
from uda_assets.defs.retention import kept_since, retention_sensor
from uda_assets_tests.support.chain import HEADER, deliver, record, settings_of
from uda_assets_tests.support.definitions import defs

HERE = "this data root"
DAYS = [f"2026-01-0{number}" for number in (1, 2, 3)]


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance as `uda dev` makes it, SQLite in files, and beside it a data root with two sessions."""
    monkeypatch.setenv("UDA_DATA_ROOT", str(tmp_path / "root"))
    deliver(tmp_path / "root", "a.csv", HEADER + record("s1") + record("s2") + "short\n")
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as lasting:
        yield lasting


def tick(instance: dg.DagsterInstance, days: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a tick says that it did."""
    monkeypatch.setenv("UDA_KEEP_RUNS_DAYS", days)
    with dg.build_sensor_context(instance=instance, definitions=defs, resources={"lake": LakeResource()}) as context:
        context._code_location_origin = RegisteredCodeLocationOrigin(HERE)  # as the daemon gives it
        said = retention_sensor(context)
    assert isinstance(said, dg.SkipReason)
    return str(said.skip_message)


def build(instance: dg.DagsterInstance) -> str:
    done = defs.resolve_job_def("leaderboard_job").execute_in_process(instance=instance)
    assert done.success
    return done.run_id


def build_days(instance: dg.DagsterInstance, first: str, last: str) -> str:
    span = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    done = defs.resolve_job_def("daily_leaderboard_job").execute_in_process(instance=instance, tags=span)
    assert done.success
    return done.run_id


def note(
    instance: dg.DagsterInstance, number: int, job: str = "leaderboard_job", location: str | None = None,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.FAILURE,
) -> str:  # fmt: skip
    """A run that ended without result, with events, tags and printed lines of its own."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__") if location else None
    run = dg.DagsterRun(
        job_name=job, run_id=f"00000000-0000-0000-0000-{number:012d}", status=status, tags={"uda/pending": "x"},
        remote_job_origin=RemoteJobOrigin(repository, job) if repository else None,
    )  # fmt: skip
    instance.add_run(run)
    instance.report_engine_event("it began", run)
    with instance.compute_log_manager.capture_logs([run.run_id, "compute_logs", "step"]):
        print("printed")
    return run.run_id


def shown(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What the page tells of assets, partitions, checks and jobs."""
    repository = defs.get_repository_def()
    graph = repository.asset_graph
    keys = sorted(graph.get_all_asset_keys())
    events = instance.event_log_storage
    checks = events.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys))
    return {
        "assets": {key: instance.get_latest_materialization_event(key) for key in keys},
        "partitions": {key: instance.get_materialized_partitions(key) for key in keys},
        "checks": {key: (check.status, check.run_id, check.event) for key, check in checks.items()},
        "jobs": {
            job.name: [(run.run_id, run.status) for run in instance.get_runs(dg.RunsFilter(job_name=job.name), limit=1)]
            for job in repository.get_all_jobs()
        },
    }


def left_of(run: str, home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if run in str(path)]


def rows_of(run: str, home: Path) -> int:
    """Rows of any table of any database that name a run."""
    found = 0
    for path in home.rglob("*.db"):
        with sqlite3.connect(path) as database:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for _, column, *_ in database.execute(f"PRAGMA table_info('{table}')").fetchall():
                    if column == "run_id" and table != "asset_check_executions":
                        found += database.execute(f'SELECT count(*) FROM "{table}" WHERE run_id = ?', [run]).fetchone()[
                            0
                        ]
        database.close()
    return found


def test_what_is_old_goes_and_what_is_shown_stays(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    chain = build(instance)
    third_day, superseded, first_days = (build_days(instance, DAYS[0], last) for last in (DAYS[2], DAYS[1], DAYS[1]))
    old = [note(instance, number, location=HERE if number % 2 else None) for number in range(12)]
    running = note(instance, 100, status=dg.DagsterRunStatus.STARTED)
    foreign = note(instance, 101, job="a_job_of_another_project")
    elsewhere = note(instance, 102, location="another data root")
    newest = [
        note(instance, number, job) for number, job in enumerate(["leaderboard_job", "daily_leaderboard_job"] * 3, 103)
    ]
    assert left_of(old[0], home)
    assert rows_of(old[0], home)
    before = shown(instance)
    assert all(before["assets"].values())
    assert before["partitions"][dg.AssetKey("daily_top_n_by_platform")] == set(DAYS)
    assert before["checks"].keys() == defs.get_repository_def().asset_graph.asset_check_keys

    everything = len(instance.get_runs())
    assert "all runs are kept" in tick(instance, "0", monkeypatch)
    assert tick(instance, "1", monkeypatch).startswith("0 runs")
    assert len(instance.get_runs()) == everything

    monkeypatch.setattr(retention, "BATCH", 5)
    said = [tick(instance, "1e-9", monkeypatch).split()[0] for _ in range(4)]
    assert said == ["5", "5", "3", "0"], "a tick does no more than so many"
    stay = {chain, third_day, first_days, running, foreign, elsewhere, *newest}
    assert {run.run_id for run in instance.get_runs()} == stay
    assert shown(instance) == before
    for gone in (*old, superseded):
        assert not left_of(gone, home)
        assert not rows_of(gone, home)
    for run in stay:
        assert instance.all_logs(run), "a run that stays has its events"
        assert left_of(run, home)


def test_what_dies_while_it_removes_is_done_by_the_next_tick(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, *_ = [note(instance, number) for number in range(4)]

    def die(run_id: str) -> None:
        raise KeyboardInterrupt(run_id)

    with monkeypatch.context() as patch:
        patch.setattr(instance.run_storage, "delete_run", die)
        with pytest.raises(KeyboardInterrupt):
            tick(instance, "1e-9", monkeypatch)
    assert [run.run_id for run in instance.get_runs()].count(old) == 1
    assert tick(instance, "1e-9", monkeypatch).startswith("1 runs")
    assert not left_of(old, tmp_path / "home")


def test_days_of_any_size() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert kept_since(now, 30) == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert kept_since(now, 0.5) == datetime(2026, 1, 31, tzinfo=UTC)
    assert kept_since(now, 0) is None
    assert kept_since(now, 1e6) is None, "more days than there have been keep all"
    assert kept_since(now, float("inf")) is None


def test_the_instance_of_dev_bounds_its_ticks_and_one_that_the_user_changed_is_left(tmp_path: Path) -> None:
    home = own_dagster_home(settings_of(tmp_path))
    config = home / "dagster.yaml"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        kept = instance.get_settings("retention")
        for kind in ("sensor", "schedule"):
            days = kept[kind]["purge_after_days"]
            assert len(days) == 4
            assert all(0 < bound <= 30 for bound in days.values()), "none is kept for ever"
    config.write_text("telemetry: {enabled: false}\n")
    own_dagster_home(settings_of(tmp_path))
    assert config.read_text() == "telemetry: {enabled: false}\n"
