"""Published leaderboards that are kept so that the next ones can be compared with them: below ``results/history``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import duckdb

from uda_assets.basics.settings import Settings
from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.lake import Lake, PublicationManifest, PublishedBoard
from uda_assets.storage import Location, hash_file, naming
from uda_assets.warehouse.database import parquet_files


def board_of(csv: Path, settings: Settings, published_at: datetime) -> PublishedBoard:
    """The leaderboard in a Result CSV, named after what is in it and its parameters."""
    mark = repr((hash_file(csv), settings.n, settings.since, settings.until))
    return PublishedBoard(
        name=hashlib.sha256(mark.encode()).hexdigest()[:32],
        n=settings.n, since=settings.since, until=settings.until, published_at=published_at,
    )  # fmt: skip


def previous_board(published: PublicationManifest | None, board: PublishedBoard) -> PublishedBoard | None:
    """The leaderboard that a new one is compared with: the last published one that differs, in content or parameters.

    A publication that changes nothing thus keeps the movement that is known.
    """
    if published is None or published.board is None:
        return None
    return published.previous if published.board.name == board.name else published.board


def keep_board(location: Location, kept: Path, parquet: Path) -> None:
    """Write a leaderboard's Parquet file once more, to ``kept``, which is to be at a location."""
    with naming(location):
        kept.write_bytes(parquet.read_bytes())


def load_board(connection: duckdb.DuckDBPyConnection, lake: Lake, board: PublishedBoard, table: str) -> bool:
    """Make a temporary table of a kept leaderboard, unless its file is lost or damaged: then nothing is known of it."""
    files = parquet_files([board_file(lake, board)])
    try:
        connection.execute(f"CREATE TEMP TABLE {table} AS SELECT {', '.join(LEADERBOARD_SCHEMA)} FROM {files}")
    except (duckdb.Error, OSError):
        return False
    return True


def boards_but(lake: Lake, kept: Iterable[PublishedBoard | None]) -> list[Location]:
    """The files of leaderboards that nothing will be compared with any more."""
    names = {_file_name(board) for board in kept if board}
    below = lake.files.files_below(lake.history)
    return [lake.history / name for name in below if name.endswith(".parquet") and name not in names]


def board_file(lake: Lake, board: PublishedBoard) -> Location:
    """Where a leaderboard is kept."""
    return lake.history / _file_name(board)


def _file_name(board: PublishedBoard) -> str:
    return f"{board.name}.parquet"
