"""What a run says at its end."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from uda_assets.lake import open_lake
from uda_assets.pipeline.summary import summary
from uda_assets_tests.support.chain import HEADER, deliver, record, run, settings_of


def told(root: Path) -> dict[str, str]:
    board = pl.read_parquet(root / "results/Result_top_n_by_platform.parquet")
    lines = summary(open_lake(settings_of(root)), board, with_report=True).splitlines()[1:]
    return {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}


def test_the_n_is_that_of_the_leaderboard(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + "".join(record("s", user=f"u{number}") for number in range(3)))
    run(tmp_path, n=2)
    assert told(tmp_path)["Leaderboard"] == "2 users of 1 platforms, at most 2 of each"


def test_rejected_drops_come_first(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("s"))
    deliver(tmp_path, "b.csv", "no,header\n")
    run(tmp_path)
    assert told(tmp_path)["Records"] == "1 read = 1 kept + 0 in quarantine"
    assert told(tmp_path)["Drops"] == "1 committed, 1 rejected, such as b.csv: missing_column"
    assert told(tmp_path)["Next"] == "uv run uda drops says how to mend the rejected drops"
