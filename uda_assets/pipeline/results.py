"""The files of a leaderboard."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from uda_assets.storage import naming_file


def write_board(board: pl.DataFrame, csv: Path, parquet: Path) -> None:
    """Write a leaderboard, in ``LEADERBOARD_SCHEMA``, as CSV and as Parquet."""
    with naming_file(csv):
        board.write_csv(csv)
    with naming_file(parquet):
        board.write_parquet(parquet)
