"""DuckDB as this project uses it: bounded in memory, spilling below the data root, names and paths always quoted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import duckdb

from uda_assets.errors import UsageError
from uda_assets.settings import Settings


@contextmanager
def working_database(settings: Settings, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory for one piece of work, which spills to ``spill`` beyond the memory limit."""
    with duckdb.connect() as connection:
        configure(connection, settings, spill)
        yield connection


def configure(connection: duckdb.DuckDBPyConnection, settings: Settings, spill: Path) -> None:
    """Bound a connection's threads and memory; beyond the memory it spills to the directory ``spill``.

    Raises:
        UsageError: The memory limit is none.
    """
    try:
        connection.execute(f"SET memory_limit = {literal(settings.memory_limit)}")
    except duckdb.Error:
        raise UsageError(f"memory_limit cannot be {settings.memory_limit!r}; write it like 1GiB") from None
    connection.execute(f"SET threads = {settings.threads}")
    connection.execute(f"SET temp_directory = {literal(spill)}")
    connection.execute("SET preserve_insertion_order = false")


def literal(text: str | Path) -> str:
    """An SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


class _Located(Protocol):
    """Anything with a path."""

    @property
    def path(self) -> str: ...


def parquet_relation(base: Path, files: Iterable[_Located], empty: str, *, filename: bool = False) -> str:
    """Parquet files below ``base`` as a relation, ``platform`` taken from their paths.

    Args:
        base: The directory that the files' paths start from.
        files: The files, possibly none.
        empty: The relation's columns and types, for when there is no file.
        filename: Whether to add each row's file as a column of that name.

    """
    paths = ", ".join(literal(base / file.path) for file in files)
    if not paths:
        return empty_relation(empty)
    options = "hive_partitioning = true, hive_types = {'platform': VARCHAR}" + (", filename = true" if filename else "")
    # As a query of its own: DuckDB cannot tell the columns of two bare read_parquet in one join apart.
    return f"(SELECT * FROM read_parquet([{paths}], {options}))"


def empty_relation(columns: str) -> str:
    """A relation without rows; ``columns`` are names and types, as in ``a VARCHAR, b BIGINT``."""
    nulls = ", ".join(f"NULL::{kind} AS {name}" for name, kind in (part.split() for part in columns.split(", ")))
    return f"(SELECT {nulls} WHERE false)"


RECORD_COLUMNS = (
    "platform VARCHAR, user_id VARCHAR, session_id VARCHAR, activity_time TIMESTAMPTZ, activity_type VARCHAR"
)
