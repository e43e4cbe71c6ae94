"""The chain in Dagster, on real files, against independent oracles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import dask.dataframe
import duckdb
import polars as pl
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from uda_assets_tests.support.definitions import defs
from uda_assets_tests.support.places import SAMPLE, TRUTH

HEADER = "user_id,session_id,platform,activity_time,activity_type\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "sample.csv").write_bytes(SAMPLE.read_bytes())
    monkeypatch.setenv("UDA_DATA_ROOT", str(tmp_path))
    return tmp_path


def materialize(config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
    ops = {name: {"config": values} for name, values in (config or {}).items()}
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("leaderboard_job")
        return job.execute_in_process(run_config={"ops": ops}, instance=instance, raise_on_error=False)


def true_board(n: int) -> list[tuple[Any, ...]]:
    counts = pl.read_csv(TRUTH / "session_counts.csv", schema_overrides={"user_id": pl.String})
    return counts.group_by("platform", maintain_order=True).head(n).rows()


def result(root: Path) -> list[tuple[Any, ...]]:
    return pl.read_csv(root / "results/Result_top_n_by_platform.csv", schema_overrides={"user_id": pl.String}).rows()


def test_sample_gives_the_right_answer(root: Path) -> None:
    run = materialize()
    assert run.success
    failed = [check.check_name for check in run.get_asset_check_evaluations() if not check.passed]
    assert failed == ["platforms_known"], "the sample has records of unknown platforms, and no other fault"
    (converted,) = run.asset_materializations_for_node("platform_parquet")
    assert converted.metadata["files_read"].value == 1
    assert converted.metadata["rows_written"].value == 5000
    assert result(root) == true_board(50)
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        assert warehouse.sql("SELECT records, kept + quarantined FROM drops").fetchall() == [(5000, 5000)]
        reasons = dict(warehouse.sql("SELECT reason, count(*) FROM quarantine GROUP BY ALL").fetchall())
        assert warehouse.sql("SELECT count(*) FROM session_counts").fetchall()[0][0] == len(true_board(10**6))
        assert warehouse.sql("SELECT sum(events) FROM sessions").fetchall() == [(4900,)]
    assert reasons == json.loads((TRUTH / "truth.json").read_text())["reasons"]


def test_same_inputs_same_bytes_and_a_second_run_converts_nothing(root: Path) -> None:
    assert materialize().success
    before = visible(root)
    assert {root / "results/Result_top_n_by_platform.csv", root / "uda.duckdb"} < before.keys()
    assert materialize().success
    assert visible(root) == before, "a run in which nothing changed leaves even the times"


def visible(root: Path) -> dict[Path, tuple[bytes, int]]:
    """All files but those below .uda, with their times."""
    files = [path for path in root.rglob("*") if path.is_file() and ".uda" not in path.parts]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_n_and_window_act_as_run_config(root: Path) -> None:
    window = {"n": 7, "since": "2026-01-10", "until": "2026-01-20T00:00:00Z"}
    assert materialize({"top_n_by_platform": window}).success
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        expected = warehouse.sql("""
            SELECT platform, user_id, count(*) FROM sessions
            WHERE epoch(started_at) >= epoch(TIMESTAMP '2026-01-10')
              AND epoch(started_at) < epoch(TIMESTAMP '2026-01-20') GROUP BY platform, user_id
            QUALIFY row_number() OVER (PARTITION BY platform ORDER BY count(*) DESC, user_id) <= 7
            ORDER BY 1, 3 DESC, 2""").fetchall()
    assert result(root) == expected
    assert len(expected) == 21


def test_fail_fast_stops_with_drop_line_and_reason_and_leaves_what_was_published(root: Path) -> None:
    (root / "datasets/sample.csv").unlink()
    (root / "datasets/a.csv").write_text(HEADER + "u,s,iOS,2026-01-01T00:00:00Z,view\n")
    assert materialize().success
    before = result(root)
    (root / "datasets/b.csv").write_text(HEADER + "v,s,iOS,2026-01-01T00:00:00Z,view\n")
    (root / "datasets/c.csv").write_text(HEADER + "v,s,iOS,never,view\n")
    run = materialize({"platform_parquet": {"error_mode": "fail_fast"}})
    assert not run.success
    failure = run.failure_data_for_node("platform_parquet")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert "drop 'c.csv', line 2: bad_activity_time" in str(failure.user_failure_data.description)
    assert result(root) == before
    assert not (root / "dataset_parquets/b.csv.parquet").exists()


def test_a_rejected_drop_is_named_and_the_others_go_on(root: Path) -> None:
    (root / "datasets/broken.csv").write_text("user_id,session_id\n1,2\n")
    run = materialize()
    assert run.success
    checks = {check.check_name: check for check in run.get_asset_check_evaluations()}
    assert not checks["no_rejected_drops"].passed
    assert "broken\\.csv" in str(checks["no_rejected_drops"].metadata["cases"].value) or "broken.csv" in str(
        checks["no_rejected_drops"].metadata["cases"].value
    )
    assert result(root) == true_board(50)


def test_a_new_alias_brings_quarantined_records_back(root: Path) -> None:
    line = "u,s,Smart TV,2026-01-01T00:00:00Z,view\n"
    (root / "datasets/tv.csv").write_text(HEADER + line + "u,s2,iOS,2026-01-01T00:00:00Z,view\n")
    assert materialize().success
    untouched = (root / "dataset_parquets/sample.csv.parquet/_manifest.json").read_bytes()
    (root / "platforms.toml").write_text('[platforms]\nTV = ["smart tv"]\n')
    assert materialize().success
    assert ("TV", "u", 1) in result(root)
    assert (root / "dataset_parquets/sample.csv.parquet/_manifest.json").read_bytes() == untouched


def test_converted_drop_is_readable_by_four_readers(root: Path) -> None:
    assert materialize().success
    drop = root / "dataset_parquets/sample.csv.parquet"
    assert pyarrow.dataset.parquet_dataset(drop / "_metadata", partitioning="hive").count_rows() == 4900
    assert pq.read_schema(drop / "_common_metadata").names == [
        "user_id",
        "session_id",
        "activity_time",
        "activity_type",
    ]
    assert len(dask.dataframe.read_parquet(drop)) == 4900
    with duckdb.connect() as connection:
        query = f"SELECT count(DISTINCT platform) FROM '{drop}/*/*.parquet'"
        assert connection.execute(query).fetchall() == [(3,)]
    assert pl.scan_parquet(drop / "*/*.parquet", hive_partitioning=True).select(pl.len()).collect().item() == 4900
