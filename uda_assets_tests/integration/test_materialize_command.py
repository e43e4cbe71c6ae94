"""`dagster asset materialize` as CI runs it: a fresh process, an ephemeral instance, run config from a YAML file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from uda_assets_tests.support.places import SAMPLE

RESULT = "results/Result_top_n_by_platform.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "datasets").mkdir()
    shutil.copy(SAMPLE, tmp_path / "datasets")
    return tmp_path


def materialize(root: Path, config: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "uda_assets.definitions"]
    command += ["--select", "+top_n_by_platform"]
    if config:
        (root / "run.yaml").write_text(config)
        command += ["--config", str(root / "run.yaml")]
    settings = {"UDA_DATA_ROOT": str(root), "DAGSTER_DISABLE_TELEMETRY": "1"} | environment
    without_home = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    return subprocess.run(
        command, env=without_home | settings, capture_output=True, text=True, timeout=120, check=False, cwd=root
    )


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
