"""`dagster asset materialize` as CI runs it: a fresh process, an ephemeral instance, run config from a YAML file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from uda_assets_tests.support.places import PROJECT, SAMPLE

RESULT = "results/Result_top_n_by_platform.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "datasets").mkdir()
    shutil.copy(SAMPLE, tmp_path / "datasets")
    return tmp_path


def materialize(
    root: Path, config: str | None = None, *, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "uda_assets.definitions"]
    command += ["--select", "+top_n_by_platform"]
    if config:
        (root / "run.yaml").write_text(config)
        command += ["--config", str(root / "run.yaml")]
    settings = {"UDA_DATA_ROOT": str(root), "DAGSTER_DISABLE_TELEMETRY": "1"} | environment
    without_home = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    return subprocess.run(
        command, env=without_home | settings, capture_output=True, text=True, timeout=120, check=False, cwd=cwd or root
    )


def test_the_first_command_ends_with_what_a_person_wants_to_know(root: Path) -> None:
    run = materialize(root, cwd=PROJECT)
    assert run.returncode == 0, run.stderr
    assert "DEBUG" not in run.stderr
    told = run.stderr.splitlines()
    assert len(told) <= 12
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        ((records, kept, malformed),) = warehouse.execute(
            "SELECT sum(records), sum(kept), sum(quarantined) FROM drops"
        ).fetchall()
        counts = warehouse.execute("SELECT reason, count(*) FROM quarantine GROUP BY reason").fetchall()
        listed = warehouse.execute("SELECT platform FROM top_n_by_platform").fetchall()
    assert (records, malformed) == (SAMPLE.read_bytes().count(b"\n") - 1, sum(count for _, count in counts))
    last = {name: text.strip() for name, _, text in (line.partition(":") for line in told[-7:])}
    leading = re.fullmatch(
        rf"{records:,} read = {kept:,} kept \+ {malformed:,} in quarantine \(mostly (.*)\)", last["Records"]
    )
    assert leading
    assert [int(text.split()[1]) for text in leading[1].split(", ")] == sorted((n for _, n in counts), reverse=True)[:3]
    assert set(leading[1].split(", ")) <= {f"{reason} {count}" for reason, count in counts}
    assert last == {
        "Records": last["Records"],
        "Drops": "1 committed, none rejected",
        "Leaderboard": f"{len(listed)} users of {len(set(listed))} platforms, at most 50 of each",
        "Result": f"{root / RESULT} (and .parquet)",
        "Warehouse": str(root / "uda.duckdb"),
        "Report": "not part of this run: uv run uda report",
        "Next": "uv run uda quarantine lists the malformed records; uv run uda dev opens the UI",
    }


def test_run_config_acts_and_fail_fast_leaves_the_earlier_result(root: Path) -> None:
    windowed = """
ops:
  top_n_by_platform: {config: {n: 7, since: "2026-01-10", until: "2026-01-20"}}
"""
    run = materialize(root, windowed)
    assert run.returncode == 0, run.stderr
    board = pl.read_csv(root / RESULT)
    assert board.group_by("platform").len()["len"].to_list() == [7, 7, 7]
    published = (root / RESULT).read_bytes()

    # Other content under the same name, so that the drop is converted again.
    with (root / "datasets/sample.csv").open("a") as file:
        file.write("u,s,iOS,2026-01-15T00:00:00Z,view\n")
    run = materialize(root, "ops: {platform_parquet: {config: {error_mode: fail_fast}}}")
    assert run.returncode != 0
    assert "drop 'sample.csv', line " in run.stderr
    assert (root / RESULT).read_bytes() == published

    run = materialize(root, UDA_N="3")
    assert run.returncode == 0, run.stderr
    assert pl.read_csv(root / RESULT).group_by("platform").len()["len"].to_list() == [3, 3, 3]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("ops: {top_n_by_platform: {config: {n: 0}}}", "n must be at least 1"),
        ("ops: {platform_parquet: {config: {error_mode: strict}}}", "error_mode cannot be 'strict'"),
    ],
)
def test_wrong_run_config_says_what_is_wrong(root: Path, config: str, message: str) -> None:
    run = materialize(root, config)
    assert run.returncode != 0
    assert message in run.stderr
    assert not (root / RESULT).exists()


def test_a_data_root_that_cannot_be_written_is_named(root: Path) -> None:
    (root / "file").touch()
    run = materialize(root, UDA_DATA_ROOT=str(root / "file"))
    assert run.returncode != 0
    assert f"the data root {root / 'file'} is a file; name a directory by UDA_DATA_ROOT" in run.stderr
