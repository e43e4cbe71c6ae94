"""The files that a leaderboard is published as."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from uda_assets.storage import naming

RESULT_NAME = "Result_top_n_by_platform"
"""Name of the result files, without what tells their kind."""


def write_board(board: pl.DataFrame, csv: Path, parquet: Path) -> None:
    """Write a leaderboard, in ``LEADERBOARD_SCHEMA``, as CSV and as Parquet."""
    with naming(csv):
        board.write_csv(csv)
    with naming(parquet):
        board.write_parquet(parquet)
