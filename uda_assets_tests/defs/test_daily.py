"""The leaderboards of single days, one or a range at a time, against DuckDB's own account of the sessions."""

from __future__ import annotations

import errno
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

from uda_assets.basics import moments
from uda_assets.basics.settings import load_settings
from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.lake import open_lake
from uda_assets.pipeline import publishing
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.forgetting import forget
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


def of_days(rows: list[Row], *days: date) -> list[Row]:
    """The rows of some days. The chain publishes every day that has sessions."""
    return [row for row in rows if row[0] in map(str, days)]


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
    for rows in (in_files(root), in_files(root, "parquet"), in_warehouse(root)):
        assert of_days(rows, day) == expected
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

    assert materialize(date(2026, 1, 10), date(2026, 1, 12), n=2).success
    together = published()
    assert materialize(date(2026, 1, 10), date(2026, 1, 12), n=3).success
    for number in (11, 10, 12):
        assert materialize(date(2026, 1, number), n=2).success
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
    assert of_days(in_warehouse(root), day) == []


def test_other_days_and_later_builds_keep_what_is_published(root: Path) -> None:
    assert materialize(date(2026, 1, 2), n=2).success
    assert materialize(date(2026, 1, 4), n=3).success
    expected = true_days(root, date(2026, 1, 2), date(2026, 1, 2), 2)
    expected += true_days(root, date(2026, 1, 4), date(2026, 1, 4), 3)
    chosen = date(2026, 1, 2), date(2026, 1, 4)
    assert of_days(in_warehouse(root), *chosen) == expected
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        before = warehouse.sql("FROM top_n_by_platform ORDER BY ALL").fetchall()
    build()
    assert of_days(in_warehouse(root), *chosen) == of_days(in_files(root), *chosen) == expected
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        assert warehouse.sql("FROM top_n_by_platform ORDER BY ALL").fetchall() == before


HEADER = "user_id,session_id,platform,activity_time,activity_type\n"


def deliver(root: Path, drop: str, *records: str) -> None:
    (root / "datasets" / drop).write_text(HEADER + "".join(f"{record},view\n" for record in records))


def chain() -> tuple[set[str], dict[str, int]]:
    """A run of the chain by Dagster: the days that it records as materialized, and the rows of each."""
    with dg.DagsterInstance.ephemeral() as instance:
        done = defs.resolve_job_def("leaderboard_job").execute_in_process(instance=instance)
        recorded = instance.fetch_materializations(dg.AssetKey("daily_top_n_by_platform"), limit=100).records
    assert {record.run_id for record in recorded} <= {done.run_id}
    assert len({record.partition_key for record in recorded}) == len(recorded), "a day is recorded once"
    rows: dict[str, Any] = {
        str(record.partition_key): record.asset_materialization.metadata["dagster/row_count"].value
        for record in recorded
        if record.asset_materialization
    }
    return set(rows), rows


def recomputed(root: Path, n: int = 50, but: str = "") -> list[Row]:
    """The leaderboards of all days by DuckDB alone, over the raw files, which hold nothing malformed."""
    return duckdb.execute(f"""
        WITH started AS (
            SELECT CASE lower(platform) WHEN 'ios' THEN 'iOS' WHEN 'web' THEN 'Web' ELSE 'Android' END AS platform,
                   user_id, min(activity_time) AS moment
            FROM read_csv('{root}/datasets/*.csv', all_varchar = true)
            WHERE NOT starts_with(user_id, '{but or "?"}') GROUP BY 1, user_id, session_id)
        SELECT left(moment, 10) AS day, platform, user_id, count(*) AS sessions FROM started GROUP BY 1, 2, 3
        QUALIFY row_number() OVER (PARTITION BY day, platform ORDER BY sessions DESC, user_id) <= {n}
        ORDER BY day, platform, sessions DESC, user_id""").fetchall()


@pytest.fixture
def three_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three days with sessions of a few users, which the chain has published."""
    monkeypatch.setenv("UDA_DATA_ROOT", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    for day in (1, 2, 3):
        moments = [f"u{number},s{day}-{number},ios,2026-01-0{day}T10:00:00Z" for number in range(4)]
        deliver(tmp_path, f"{day}.csv", *moments)
    assert chain()[0] == {"2026-01-01", "2026-01-02", "2026-01-03"}
    assert in_files(tmp_path) == in_warehouse(tmp_path) == recomputed(tmp_path)
    return tmp_path


def times(root: Path) -> dict[str, int]:
    """When the files of days were written, by their names. A file that is replaced gets a new time."""
    return {path.name: path.stat().st_mtime_ns for path in (root / "results/daily").iterdir()}


def csv_files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "results/daily").glob("*.csv")}


def csv_files_of(rows: list[Row]) -> dict[str, bytes]:
    """The CSV files of days that have sessions, byte for byte. No value here needs quotes."""
    files: dict[str, bytes] = {}
    for day, *values in rows:
        name = f"Result_top_n_by_platform_{day}.csv"
        line = ",".join(map(str, values))
        files[name] = files.get(name, b"platform,user_id,session_count\n") + f"{line}\n".encode()
    return files


def files_of(*days: str) -> set[str]:
    return {f"Result_top_n_by_platform_{day}.{kind}" for day in days for kind in ("csv", "parquet")}


def test_a_late_drop_republishes_its_days_and_no_other(three_days: Path) -> None:
    assert materialize(date(2026, 1, 2), n=50).success
    before = times(three_days)
    deliver(three_days, "late.csv", "u3,late1,web,2026-01-02T23:59:59Z", "u3,late2,ios,2026-01-02T00:00:00Z")
    days, rows = chain()
    assert days == {"2026-01-02"}
    assert rows == {"2026-01-02": 5}
    assert csv_files(three_days) == csv_files_of(recomputed(three_days))
    assert in_files(three_days) == in_files(three_days, "parquet") == in_warehouse(three_days) == recomputed(three_days)
    assert {name for name, time in times(three_days).items() if time != before[name]} == files_of("2026-01-02")
    assert chain() == (set(), {})


def test_a_new_day_writes_its_own_files_alone(three_days: Path) -> None:
    before = times(three_days)
    deliver(three_days, "4.csv", "u1,new,web,2026-01-04T00:00:00Z")
    assert chain() == ({"2026-01-04"}, {"2026-01-04": 1})
    after = times(three_days)
    assert after.keys() - before.keys() == files_of("2026-01-04")
    assert {name: after[name] for name in before} == before
    assert csv_files(three_days) == csv_files_of(recomputed(three_days))
    assert in_files(three_days) == in_files(three_days, "parquet") == in_warehouse(three_days) == recomputed(three_days)


def test_a_day_that_was_empty_gets_the_sessions_of_a_late_drop(three_days: Path) -> None:
    empty = date(2025, 12, 31)
    assert materialize(empty, n=1).success
    deliver(three_days, "late.csv", "u2,a,web,2025-12-31T10:00:00Z", "u1,b,web,2025-12-31T23:59:59Z")
    assert chain() == ({str(empty)}, {str(empty): 1})
    assert of_days(in_files(three_days), empty) == of_days(recomputed(three_days, 1), empty)
    assert in_files(three_days) == in_warehouse(three_days)


@pytest.mark.parametrize("moment", ["publish: files written", "publish: committed", "publish: files in place"])
def test_a_day_that_a_failed_run_published_is_recorded_by_the_next_one(
    three_days: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    deliver(three_days, "late.csv", "u3,late,ios,2026-01-02T10:00:00Z")

    def fail(reached: str) -> None:
        if reached == moment:
            raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(moments, "on_moment", fail)
        with pytest.raises(dg.Failure, match="Input/output error"):
            chain()
    days, rows = chain()
    assert rows["2026-01-02"] == 4
    # Between the commit and the new files, the state names a warehouse that is not there. Then all days are made again.
    assert days == {"2026-01-02"} or moment == "publish: committed"
    assert csv_files(three_days) == csv_files_of(recomputed(three_days))
    assert in_files(three_days, "parquet") == in_warehouse(three_days) == recomputed(three_days)
    assert chain() == (set(), {})


def test_a_day_outside_the_partitions_is_published_all_the_same(three_days: Path) -> None:
    deliver(three_days, "odd.csv", "u1,past,ios,1969-12-31T10:00:00Z", "u1,future,ios,2200-02-28T10:00:00Z")
    chain()
    assert in_files(three_days) == in_warehouse(three_days) == recomputed(three_days)
    assert chain() == (set(), {})


def test_a_correction_that_moves_a_session_republishes_both_days(three_days: Path) -> None:
    deliver(three_days, "4.csv", "u9,moving,ios,2026-01-03T12:00:00Z")
    assert chain()[0] == {"2026-01-03"}
    deliver(three_days, "4.csv", "u9,moving,ios,2026-01-03T12:00:00Z", "u9,moving,ios,2026-01-02T12:00:00Z")
    assert chain() == ({"2026-01-02", "2026-01-03"}, {"2026-01-02": 5, "2026-01-03": 4})
    assert in_files(three_days) == in_warehouse(three_days) == recomputed(three_days)
    deliver(three_days, "4.csv", "u9,moving,ios,2026-01-03T12:00:00Z")
    assert chain() == ({"2026-01-02", "2026-01-03"}, {"2026-01-02": 4, "2026-01-03": 5})
    assert in_files(three_days) == in_warehouse(three_days) == recomputed(three_days)


def test_an_earlier_record_in_another_drop_moves_a_session(three_days: Path) -> None:
    deliver(three_days, "late.csv", "u0,s3-0,ios,2026-01-01T12:00:00Z")
    assert chain()[0] == {"2026-01-01", "2026-01-03"}
    assert in_files(three_days) == in_warehouse(three_days) == recomputed(three_days)


def test_a_day_whose_sessions_are_forgotten_becomes_empty(three_days: Path) -> None:
    settings = load_settings()
    with open_run(open_lake(settings), settings) as run:
        published = forget(run, "2.csv")
    assert published.days == [date(2026, 1, 2)]
    (three_days / "datasets/2.csv").unlink()
    assert chain() == (set(), {}), "it is published already"
    assert in_files(three_days) == in_warehouse(three_days) == recomputed(three_days)
    path = three_days / "results/daily/Result_top_n_by_platform_2026-01-02.csv"
    assert path.read_text() == "platform,user_id,session_count\n"


def test_a_changed_rule_republishes_the_days_of_the_drops_that_it_affects(three_days: Path) -> None:
    deliver(three_days, "4.csv", "u1,tv,smarttv,2026-01-03T12:00:00Z", "u1,x,ios,2026-01-01T12:00:00Z")
    assert chain()[0] == {"2026-01-01"}
    (three_days / "platforms.toml").write_text('[platforms]\nAndroid = ["smarttv"]\n')
    assert chain() == ({"2026-01-01", "2026-01-03"}, {"2026-01-01": 4, "2026-01-03": 5})
    assert ("2026-01-03", "Android", "u1", 1) in in_files(three_days)
    assert in_files(three_days) == in_warehouse(three_days) == recomputed(three_days)


def test_days_follow_the_settings_unless_a_person_chose_otherwise(
    three_days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert materialize(date(2026, 1, 3), n=2).success
    before = times(three_days)
    monkeypatch.setenv("UDA_EXCLUDE_USERS", "u0*")
    assert chain()[0] == {"2026-01-01", "2026-01-02"}
    chosen = [row for row in recomputed(three_days, 2) if row[0] == "2026-01-03"]
    followed = [row for row in recomputed(three_days, but="u0") if row[0] != "2026-01-03"]
    assert in_files(three_days) == in_warehouse(three_days) == followed + chosen
    untouched = {name for name, time in times(three_days).items() if time == before[name]}
    assert untouched == files_of("2026-01-03")
    deliver(three_days, "late.csv", "u3,late,ios,2026-01-03T10:00:00Z")
    assert chain()[0] == {"2026-01-03"}
    assert of_days(in_files(three_days), date(2026, 1, 3)) == [
        row for row in recomputed(three_days, 2) if row[0] == "2026-01-03"
    ]


def test_a_day_that_the_schedule_published_follows_the_settings(
    three_days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert materialize(date(2026, 1, 3)).success
    monkeypatch.setenv("UDA_N", "2")
    assert chain() == ({"2026-01-01", "2026-01-02", "2026-01-03"}, dict.fromkeys(csv_days(three_days), 2))
    assert in_files(three_days) == in_warehouse(three_days) == recomputed(three_days, 2)


def csv_days(root: Path) -> set[str]:
    return {path.stem[-10:] for path in (root / "results/daily").glob("*.csv")}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_damaged_day_is_made_again(three_days: Path, harm: str, kind: str) -> None:
    assert materialize(date(2026, 1, 2), n=2).success
    directory = three_days / "results/daily"
    before, sound = times(three_days), {path.name: path.read_bytes() for path in directory.iterdir()}
    path = directory / f"Result_top_n_by_platform_2026-01-02.{kind}"
    path.unlink() if harm == "gone" else path.write_text("platform,user_id,session_count\niOS,x,9\n")
    assert chain() == ({"2026-01-02"}, {"2026-01-02": 2}), "by the rule that was chosen for it"
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == sound
    assert {name for name, time in times(three_days).items() if time != before[name]} == files_of("2026-01-02")


def test_a_day_is_recorded_though_its_sources_could_not_be_archived(
    three_days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("UDA_CLEAN_SOURCE", "archive")
    deliver(three_days, "late.csv", "u3,late,ios,2026-01-03T10:00:00Z")
    with dg.DagsterInstance.ephemeral() as instance, monkeypatch.context() as patch:
        patch.setattr(publishing, "archive_sources", fail)
        job = defs.resolve_job_def("leaderboard_job")
        assert not job.execute_in_process(instance=instance, raise_on_error=False).success
        recorded = instance.fetch_materializations(dg.AssetKey("daily_top_n_by_platform"), limit=100).records
    assert [record.partition_key for record in recorded] == ["2026-01-03"]
    assert chain() == (set(), {})
    assert not list((three_days / "datasets").iterdir())


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
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    assert of_days(in_files(root), *days) == of_days(in_warehouse(root), *days) == expected
    assert len({row[0] for row in expected}) == (last - first).days + 1
