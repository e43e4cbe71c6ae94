"""Earlier leaderboards, which are kept below ``results/history`` so that later ones can be compared with them."""

from __future__ import annotations

import hashlib
from collections.abc import Set
from datetime import datetime
from pathlib import Path

import duckdb

from uda_assets.basics.settings import Settings
from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.lake import Lake, Publication, PublishedBoard
from uda_assets.storage import Location, hash_file, naming_file
from uda_assets.warehouse.database import parquet_files


def board_of(csv: Path, settings: Settings, published_at: datetime) -> PublishedBoard:
    """Return the leaderboard in a Result CSV. Its name is a hash of its content and parameters."""
    identity = repr((hash_file(csv), settings.n, settings.since, settings.until))
    return PublishedBoard(
        name=hashlib.sha256(identity.encode()).hexdigest()[:32],
        n=settings.n, since=settings.since, until=settings.until, published_at=published_at,
    )  # fmt: skip


def previous_board(
    lake: Lake, published: Publication | None, board: PublishedBoard, damaged: Set[str]
) -> PublishedBoard | None:
    """Return the leaderboard with which a new one is compared: the last published one with another name.

    Publishing the same leaderboard again thus does not change the movement. A leaderboard whose writer died before it
    was in place is none, and neither is one whose file is damaged.
    """
    if published is None:
        return None
    for earlier in (published.board, published.previous):
        if earlier and earlier.name != board.name and lake.below(board_file(lake, earlier)) not in damaged:
            return earlier
    return None


def keep_board(location: Location, kept: Path, parquet: Path) -> None:
    """Copy a leaderboard's Parquet file to ``kept``, the local path of a file that will be at ``location``."""
    with naming_file(location):
        kept.write_bytes(parquet.read_bytes())


def load_board(connection: duckdb.DuckDBPyConnection, lake: Lake, board: PublishedBoard, table: str) -> bool:
    """Make a temporary table of a kept leaderboard. Return whether its file could be read."""
    files = parquet_files([board_file(lake, board)])
    try:
        connection.execute(f"CREATE TEMP TABLE {table} AS SELECT {', '.join(LEADERBOARD_SCHEMA)} FROM {files}")
    except (duckdb.Error, OSError):
        return False
    return True


def board_file(lake: Lake, board: PublishedBoard) -> Location:
    """Return the file of a kept leaderboard."""
    return lake.history / _file_name(board)


def _file_name(board: PublishedBoard) -> str:
    return f"{board.name}.parquet"
