"""DuckDB connections with bounded memory, and Parquet files as SQL relations whose names and paths are quoted."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import duckdb

from uda_assets.basics.errors import UsageError
from uda_assets.basics.interruption import interruptible
from uda_assets.basics.limits import Limits
from uda_assets.storage import Location, filesystem_for_duckdb, is_remote

Connect = Callable[[Path], AbstractContextManager[duckdb.DuckDBPyConnection]]
"""Opens the database file at a path, and creates the file if it is missing."""


def plain_database(path: Path) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    """Open a database file with DuckDB's default settings."""
    return duckdb.connect(path)


@contextmanager
def working_database(limits: Limits, spill: Path, root: Location | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an in-memory database for one task.

    Args:
        limits: The limits on threads and memory.
        spill: The directory that takes what exceeds the memory limit.
        root: The data root that the database must be able to read; needed if it is in a bucket.
    """
    with duckdb.connect() as connection:
        configure(connection, limits, spill, root)
        yield connection


def open_published(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a published database read-only, even while newer ones replace it.

    DuckDB opens a file three times: for its type, for its headers and for its blocks. If the file is replaced in
    between, headers and blocks do not match; therefore the file is opened again until its signature is the same before
    and after.

    Raises:
        OSError: The file does not exist.
        duckdb.Error: The file is not a database.
    """
    while True:
        signature = _signature(path)
        try:
            connection = duckdb.connect(path, read_only=True)
        except duckdb.Error:
            if _signature(path) == signature:
                raise
            continue
        if _signature(path) == signature:
            return connection
        connection.close()


def _signature(path: Path) -> tuple[int, ...]:
    """Return the identity, size and modification time of a file."""
    stat = path.stat()
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def configure(connection: duckdb.DuckDBPyConnection, limits: Limits, spill: Path, root: Location | None = None) -> None:
    """Apply limits to a connection, and let it be interrupted when the program is asked to stop.

    Args:
        connection: The connection to configure.
        limits: The limits on threads and memory.
        spill: The directory that takes what exceeds the memory limit.
        root: The data root that the connection must be able to read; needed if it is in a bucket.

    Raises:
        UsageError: The memory limit is not a size.
    """
    interruptible(connection)
    try:
        connection.execute(f"SET memory_limit = {literal(limits.memory_limit)}")
    except duckdb.Error:
        raise UsageError(f"memory_limit cannot be {limits.memory_limit!r}; write a size such as 1GiB") from None
    connection.execute(f"SET threads = {limits.threads}")
    connection.execute(f"SET temp_directory = {literal(spill)}")
    connection.execute("SET preserve_insertion_order = false")
    if root is not None and is_remote(root):
        connection.register_filesystem(filesystem_for_duckdb(root))


def isolate(connection: duckdb.DuckDBPyConnection, readable: Iterable[Location]) -> None:
    """Restrict a connection for good to its database, its spill directory and the files below some directories.

    Symbolic links and ``..`` cannot lead out of these directories, and the connection can no longer read Python
    variables, change settings or load extensions. ``COPY`` could still write into the directories, even from within a
    common table expression, so the caller must make sure that each statement only reads.
    """
    # DuckDB checks a path as the query spells it (with patterns escaped) and each file that it matches.
    spellings = [
        spelling for directory in readable for spelling in {f"{directory}/", f"{_escape_patterns(directory)}/"}
    ]
    connection.execute(f"SET allowed_directories = [{', '.join(map(literal, spellings))}]")
    for setting in _ISOLATION_SETTINGS:
        connection.execute(f"SET {setting}")


_ISOLATION_SETTINGS = (
    "python_enable_replacements = false", "enable_external_access = false", "lock_configuration = true"
)  # fmt: skip


def literal(text: str | Location) -> str:
    """Return a text as an SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


class _HasPath(Protocol):
    @property
    def path(self) -> str: ...


def parquet_relation(base: Location, files: Iterable[_HasPath], empty: str, *, filename: bool = False) -> str:
    """Return Parquet files as an SQL relation, with a column ``platform`` taken from their paths.

    Args:
        base: The directory that the files' paths are relative to.
        files: The files, possibly none.
        empty: The columns and types of the relation if there are no files.
        filename: Whether to add a column ``filename``.
    """
    paths = [os.path.join(str(base), file.path) for file in files]  # noqa: PTH118 - faster than a Path for each
    if not paths:
        return empty_relation(empty)
    return f"(SELECT {_COLUMNS_AND_PLATFORM} FROM {parquet_files(paths, filename=filename)})"


# DuckDB's own Hive partitioning would parse the whole path, including the names of drops and of the data root. All rows
# of a vector have the same file name, so that this expression costs next to nothing.
_COLUMNS_AND_PLATFORM = "*, url_decode(regexp_extract(filename, '/platform=([^/]*)/[^/]*$', 1)) AS platform"


def parquet_files(paths: Iterable[Location | str], *, filename: bool = False) -> str:
    """Return Parquet files as an SQL relation; their names are read as neither patterns nor partitions."""
    names = ", ".join(literal(_escape_patterns(path)) for path in paths)
    return f"read_parquet([{names}], hive_partitioning = false{', filename = true' if filename else ''})"


def _escape_patterns(path: Location | str) -> str:
    """Return a path in which DuckDB sees no pattern."""
    return _PATTERN_CHARACTER.sub(r"[\g<0>]", str(path))


_PATTERN_CHARACTER = re.compile(r"[*?[]")


def empty_relation(columns: str) -> str:
    """Return a relation without rows; ``columns`` holds names and types, as in ``a VARCHAR, b BIGINT``."""
    nulls = ", ".join(f"NULL::{kind} AS {name}" for name, kind in (part.split() for part in columns.split(", ")))
    return f"(SELECT {nulls} WHERE false)"


RECORD_COLUMNS = (
    "platform VARCHAR, user_id VARCHAR, session_id VARCHAR, activity_time TIMESTAMPTZ, activity_type VARCHAR"
)
"""The columns of converted records, for an empty relation."""
