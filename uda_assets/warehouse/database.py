"""DuckDB as this project uses it: bounded in memory, spilling below the data root, names and paths always quoted."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import duckdb

from uda_assets.basics.errors import UsageError
from uda_assets.basics.interruption import watch
from uda_assets.basics.limits import Limits
from uda_assets.storage import Location, filesystem_of, is_remote

Connect = Callable[[Path], AbstractContextManager[duckdb.DuckDBPyConnection]]
"""Opens the database file at a path, making it where there is none."""


def plain_database(path: Path) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    """A database file, opened by DuckDB alone."""
    return duckdb.connect(path)


@contextmanager
def working_database(limits: Limits, spill: Path, root: Location | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory for one piece of work, which spills to ``spill`` beyond the memory limit.

    It can read the files of the data root ``root``, wherever that is.
    """
    with duckdb.connect() as connection:
        configure(connection, limits, spill, root)
        yield connection


def open_published(path: Path) -> duckdb.DuckDBPyConnection:
    """A database, to be read only, at a path where it is replaced by newer ones meanwhile.

    DuckDB opens a file three times: for its kind, for its headers, and for its blocks. Where another file was put in
    its place between these, the headers are not those of the blocks, and it is opened anew.

    Raises:
        OSError: There is no file.
        duckdb.Error: It is no database.

    """
    while True:
        opened = _which(path)
        try:
            connection = duckdb.connect(path, read_only=True)
        except duckdb.Error:
            if _which(path) == opened:
                raise
            continue
        if _which(path) == opened:
            return connection
        connection.close()


def _which(path: Path) -> tuple[int, ...]:
    """Which file is at a path."""
    stat = path.stat()
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def configure(connection: duckdb.DuckDBPyConnection, limits: Limits, spill: Path, root: Location | None = None) -> None:
    """Bound a connection's threads and memory; beyond the memory it spills to the directory ``spill``.

    It can then read the files of the data root ``root``, wherever that is.

    Raises:
        UsageError: The memory limit is none.
    """
    watch(connection)
    try:
        connection.execute(f"SET memory_limit = {literal(limits.memory_limit)}")
    except duckdb.Error:
        raise UsageError(f"memory_limit cannot be {limits.memory_limit!r}; write it like 1GiB") from None
    connection.execute(f"SET threads = {limits.threads}")
    connection.execute(f"SET temp_directory = {literal(spill)}")
    connection.execute("SET preserve_insertion_order = false")
    if root is not None and is_remote(root):
        connection.register_filesystem(filesystem_of(root))


def isolate(connection: duckdb.DuckDBPyConnection, readable: Iterable[Location]) -> None:
    """Shut a connection in, for good: it reads its database, its spill and files below these directories, no others.

    Links and ``..`` that lead out of them are no way, nor are Python's variables, settings and extensions. It could
    still write into these directories by ``COPY``, also as the body of a common table expression, so that what is
    executed must be known to read.
    """
    # DuckDB looks at a path as it is written, and at each file that it finds by it.
    spelled = [one for directory in readable for one in {f"{directory}/", f"{_without_patterns(directory)}/"}]
    directories = ", ".join(map(literal, spelled))
    connection.execute(f"SET allowed_directories = [{directories}]")
    for setting in _SHUT_IN:
        connection.execute(f"SET {setting}")


_SHUT_IN = ("python_enable_replacements = false", "enable_external_access = false", "lock_configuration = true")


def literal(text: str | Location) -> str:
    """An SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


class _Located(Protocol):
    """Anything with a path."""

    @property
    def path(self) -> str: ...


def parquet_relation(base: Location, files: Iterable[_Located], empty: str, *, filename: bool = False) -> str:
    """Parquet files below ``base`` as a relation, ``platform`` taken from their paths.

    Args:
        base: The directory that the files' paths start from.
        files: The files, possibly none.
        empty: The relation's columns and types, for when there is no file.
        filename: Whether to add each row's file as a column of that name.

    """
    paths = [os.path.join(str(base), file.path) for file in files]  # noqa: PTH118 - faster than a Path for each
    return f"(SELECT {_WITH_PLATFORM} FROM {parquet_files(paths, filename=filename)})" if paths else (
        empty_relation(empty)
    )  # fmt: skip


# DuckDB's own reading of Hive-style paths looks at all of a path, and so at what drops and the data root are called.
# The file's name is the same for all rows of a vector, so that this costs next to nothing.
_WITH_PLATFORM = "*, url_decode(regexp_extract(filename, '/platform=([^/]*)/[^/]*$', 1)) AS platform"


def parquet_files(paths: Iterable[Location | str], *, filename: bool = False) -> str:
    """Parquet files as a relation of what is in them, and nothing else: names are neither patterns nor partitions."""
    names = ", ".join(literal(_without_patterns(path)) for path in paths)
    return f"read_parquet([{names}], hive_partitioning = false{', filename = true' if filename else ''})"


def _without_patterns(path: Location | str) -> str:
    """A path as DuckDB takes it where it would take it for a pattern."""
    return _PATTERN.sub(r"[\g<0>]", str(path))


_PATTERN = re.compile(r"[*?[]")


def empty_relation(columns: str) -> str:
    """A relation without rows; ``columns`` are names and types, as in ``a VARCHAR, b BIGINT``."""
    nulls = ", ".join(f"NULL::{kind} AS {name}" for name, kind in (part.split() for part in columns.split(", ")))
    return f"(SELECT {nulls} WHERE false)"


RECORD_COLUMNS = (
    "platform VARCHAR, user_id VARCHAR, session_id VARCHAR, activity_time TIMESTAMPTZ, activity_type VARCHAR"
)
