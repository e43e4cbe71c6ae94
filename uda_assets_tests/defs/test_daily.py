"""The leaderboards of single days, one or a range at a time, against DuckDB's own account of the sessions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pytest

from uda_assets.basics.settings import load_settings
from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.lake import open_lake
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.publishing import publish_committed
from uda_assets_tests.support.definitions import defs
from uda_assets_tests.support.places import SAMPLE

FIRST, LAST = date(2026, 1, 1), date(2026, 1, 30)
EVERYONE = 1_000_000
Row = tuple[str, str, str, int]
"""Day, platform, user, sessions."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root on which the sample is built."""
    monkeypatch.setenv("UDA_DATA_ROOT", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    shutil.copy(SAMPLE, tmp_path / "datasets")
    build()
    return tmp_path


def build() -> None:
    settings = load_settings()
    lake = open_lake(settings)
    with open_run(lake, settings) as run:
        convert_pending(run)
        publish_committed(run)


def materialize(first: date, last: date | None = None, **config: Any) -> dg.ExecuteInProcessResult:
    """One run for a day, or for all days of a range."""
    chosen: dict[str, Any] = {"partition_key": str(first)}
    if last:
        chosen = {"tags": {"dagster/asset_partition_range_start": str(first),
                           "dagster/asset_partition_range_end": str(last)}}  # fmt: skip
    with dg.DagsterInstance.ephemeral() as instance:
        return defs.resolve_job_def("daily_leaderboard_job").execute_in_process(
            run_config={"ops": {"daily_top_n_by_platform": {"config": config}}},
            instance=instance,
            raise_on_error=False,
            **chosen,
        )


def true_days(root: Path, first: date, last: date, n: int) -> list[Row]:
    """By the calendar of DuckDB's timestamps, rank by rank."""
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        return warehouse.execute(
            """
            WITH started AS (
                SELECT platform, user_id, session_id,
                       strftime(make_timestamp(epoch_us(started_at)), '%Y-%m-%d') AS day FROM sessions),
            counted AS (
                SELECT day, platform, user_id, count(DISTINCT session_id) AS sessions FROM started
                WHERE day BETWEEN ? AND ? GROUP BY ALL),
            ranked AS (
                SELECT a.*, (
                    SELECT count(*) FROM counted b WHERE (b.day, b.platform) = (a.day, a.platform)
                    AND (b.sessions > a.sessions OR b.sessions = a.sessions AND b.user_id < a.user_id)) AS above
                FROM counted a)
            SELECT day, platform, user_id, sessions FROM ranked WHERE above < ?
            ORDER BY day, platform, sessions DESC, user_id""",
            [str(first), str(last), n],
        ).fetchall()


def in_files(root: Path, kind: str = "csv") -> list[Row]:
    rows: list[Row] = []
    for path in sorted((root / "results/daily").glob(f"*.{kind}")):
        day = path.stem.removeprefix("Result_top_n_by_platform_")
        text = {"user_id": pl.String, "platform": pl.String}
        table = pl.read_csv(path, schema_overrides=text) if kind == "csv" else pl.read_parquet(path)
        rows += [(day, platform, user, count) for platform, user, count in table.rows()]
    return rows


def in_warehouse(root: Path) -> list[Row]:
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        return warehouse.sql(
            "SELECT strftime(day, '%Y-%m-%d'), platform, user_id, session_count FROM daily_top_n_by_platform "
            "ORDER BY day, platform, session_count DESC, user_id"
        ).fetchall()


def test_one_day(root: Path) -> None:
    day = date(2026, 1, 15)
    run = materialize(day, n=3)
    assert run.success
    assert [check.passed for check in run.get_asset_check_evaluations()] == [True]
    expected = true_days(root, day, day, 3)
    assert len(expected) == 9
    assert in_files(root) == in_files(root, "parquet") == in_warehouse(root) == expected
    path = root / "results/daily/Result_top_n_by_platform_2026-01-15.csv"
    assert path.read_bytes().startswith(b"platform,user_id,session_count\n")
    assert b"\r" not in path.read_bytes()
    assert pl.read_parquet_schema(path.with_suffix(".parquet")) == LEADERBOARD_SCHEMA


def test_thirty_days_in_one_run(root: Path) -> None:
    run = materialize(FIRST, LAST, n=5)
    assert run.success
    materialized = run.asset_materializations_for_node("daily_top_n_by_platform")
    assert [event.partition for event in materialized] == [str(FIRST + timedelta(days=n)) for n in range(30)]
    assert materialized[0].metadata["days"].value == 30
    expected = true_days(root, FIRST, LAST, 5)
    assert {row[0] for row in expected} == {event.partition for event in materialized}
    assert in_files(root) == in_files(root, "parquet") == in_warehouse(root) == expected


def test_a_day_alone_and_in_a_range_has_the_same_bytes(root: Path) -> None:
    def published() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (root / "results/daily").glob("*.csv")}

    assert materialize(date(2026, 1, 10), date(2026, 1, 12)).success
    together = published()
    shutil.rmtree(root / "results/daily")
    for number in (11, 10, 12):
        assert materialize(date(2026, 1, number)).success
    assert published() == together


def test_days_add_up_to_all_time(root: Path) -> None:
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        all_time = warehouse.sql("SELECT platform, user_id, session_count FROM session_counts").fetchall()
        first, last = warehouse.sql(
            "SELECT min(make_timestamp(epoch_us(started_at)))::DATE, max(make_timestamp(epoch_us(started_at)))::DATE "
            "FROM sessions"
        ).fetchall()[0]
    assert materialize(first - timedelta(days=1), last + timedelta(days=1), n=EVERYONE).success
    added: dict[tuple[str, str], int] = {}
    for _, platform, user, count in in_warehouse(root):
        added[platform, user] = added.get((platform, user), 0) + count
    assert added == {(platform, user): count for platform, user, count in all_time}


def test_a_session_belongs_to_the_day_it_started_in_utc(root: Path) -> None:
    (root / "datasets/sample.csv").rename(root / "sample.csv")
    (root / "datasets/night.csv").write_text(
        "user_id,session_id,platform,activity_time,activity_type\n"
        "u,night,Web,2031-05-01T23:59:59.999999Z,view\n"
        "u,night,Web,2031-05-02T00:30:00Z,view\n"
        "u,midnight,Web,2031-05-02T00:00:00Z,view\n"
        "u,offset,Web,2031-05-03T01:00:00+02:00,view\n"
    )
    # The future is partitioned when it comes; the days are asked for by the kernel.
    build()
    from uda_assets.pipeline.days import publish_days

    settings = load_settings()
    lake = open_lake(settings)
    days = [date(2031, 5, number) for number in (1, 2, 3)]
    with lake.writing(0):
        boards = publish_days(lake, settings, days)
    assert [board.rows() for board in boards.values()] == [[("Web", "u", 1)], [("Web", "u", 2)], []]


def test_a_day_without_sessions_is_empty_and_known_to_be(root: Path) -> None:
    day = date(2024, 2, 29)
    run = materialize(day)
    assert run.success
    path = root / "results/daily/Result_top_n_by_platform_2024-02-29.csv"
    assert path.read_text() == "platform,user_id,session_count\n"
    assert in_warehouse(root) == []


def test_other_days_and_later_builds_keep_what_is_published(root: Path) -> None:
    assert materialize(date(2026, 1, 2), n=2).success
    assert materialize(date(2026, 1, 4), n=3).success
    expected = true_days(root, date(2026, 1, 2), date(2026, 1, 2), 2)
    expected += true_days(root, date(2026, 1, 4), date(2026, 1, 4), 3)
    assert in_warehouse(root) == expected
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        before = warehouse.sql("FROM top_n_by_platform ORDER BY ALL").fetchall()
    build()
    assert in_warehouse(root) == in_files(root) == expected
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        assert warehouse.sql("FROM top_n_by_platform ORDER BY ALL").fetchall() == before


def test_late_activity_counts_when_the_day_is_materialized_again(root: Path) -> None:
    day = date(2026, 1, 2)
    assert materialize(day, n=1).success
    late = "".join(f"late,{number},Android,2026-01-02T12:00:00Z,view\n" for number in range(500))
    (root / "datasets/late.csv").write_text("user_id,session_id,platform,activity_time,activity_type\n" + late)
    build()
    assert materialize(day, n=1).success
    assert in_warehouse(root)[0] == ("2026-01-02", "Android", "late", 500)
    assert in_warehouse(root) == in_files(root) == true_days(root, day, day, 1)


def test_before_anything_is_built_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UDA_DATA_ROOT", str(tmp_path))
    run = materialize(date(2026, 1, 2))
    assert not run.success
    failure = run.failure_data_for_node("daily_top_n_by_platform")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.description == "nothing is built yet; materialize top_n_by_platform first"
    assert not (tmp_path / "results").exists()


def test_wrong_n_is_said(root: Path) -> None:
    run = materialize(date(2026, 1, 2), n=0)
    assert not run.success
    failure = run.failure_data_for_node("daily_top_n_by_platform")
    assert failure is not None
    assert "n must be at least 1" in str(failure.user_failure_data or failure.error)


@pytest.mark.parametrize(
    ("option", "first", "last"),
    [("--partition", FIRST, FIRST), ("--partition-range", FIRST, LAST)],
    ids=["day", "range"],
)
def test_the_command_needs_no_instance(root: Path, option: str, first: date, last: date) -> None:
    value = str(first) if first == last else f"{first}...{last}"
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "uda_assets.definitions"]
    command += ["--select", "daily_top_n_by_platform", option, value]
    environment = {name: text for name, text in os.environ.items() if name != "DAGSTER_HOME"}
    run = subprocess.run(
        command, env=environment | {"UDA_N": "4", "DAGSTER_DISABLE_TELEMETRY": "1"}, cwd=root,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("RUN_SUCCESS") == 1, "one run, whatever the range"
    expected = true_days(root, first, last, 4)
    assert in_files(root) == in_warehouse(root) == expected
    assert len({row[0] for row in expected}) == (last - first).days + 1
