"""A generated file, large where asked for: the chain, the generator's own truth and DuckDB agree to the record.

The recorded run, which prints the peak memory of the chain's process:
``UDA_TEST_RECORDS=10000000 uv run pytest uda_assets_tests/pipeline/test_large.py -n 0 -s``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from uda_assets_tests.support.duckdb_oracle import session_counts

RECORDS = int(os.environ.get("UDA_TEST_RECORDS", "200000"))


def run(*arguments: str, root: Path) -> None:
    environment = os.environ | {"UDA_DATA_ROOT": str(root)}
    subprocess.run([sys.executable, "-m", *arguments], env=environment, capture_output=True, check=True)


@pytest.mark.timeout(1800)
def test_chain_truth_and_duckdb_agree(tmp_path: Path) -> None:
    drop, truth = tmp_path / "datasets/large.csv", tmp_path / "truth"
    drop.parent.mkdir()
    generated = ["--n", str(RECORDS), "--malformed-ratio", "0.005", "--duplicate-ratio", "0.1", "--seed", "3"]
    run("uda_assets", "generator", "--filepath", str(drop), "--truth", str(truth), *generated, root=tmp_path)
    chain = ["dagster", "asset", "materialize", "-m", "uda_assets.definitions", "--select", "+top_n_by_platform"]
    run(*chain, root=tmp_path)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"\n{RECORDS} records; largest process so far: {peak / 1024:.0f} MiB")

    told = json.loads((truth / "truth.json").read_text())
    true_counts = pl.read_csv(truth / "session_counts.csv", schema_overrides={"user_id": pl.String})
    assert session_counts(drop).equals(true_counts)
    with duckdb.connect(tmp_path / "uda.duckdb", read_only=True) as warehouse:
        accounts = warehouse.execute("SELECT records, kept, quarantined FROM drops").fetchall()
        reasons = dict(warehouse.execute("SELECT reason, count(*) FROM quarantine GROUP BY reason").fetchall())
        rows = warehouse.execute(
            "SELECT * FROM session_counts ORDER BY platform, session_count DESC, user_id"
        ).fetchall()
        events = warehouse.execute("SELECT count(*), sum(events) FROM sessions").fetchall()
    assert accounts == [(RECORDS, told["kept"], told["quarantined"])]
    assert reasons == told["reasons"]
    assert rows == true_counts.rows()
    assert events == [(told["sessions"], told["kept"])]
    board = pl.read_csv(tmp_path / "results/Result_top_n_by_platform.csv", schema_overrides={"user_id": pl.String})
    assert board.equals(true_counts.group_by("platform", maintain_order=True).head(50))
