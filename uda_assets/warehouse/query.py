"""A query by a user over the published warehouse: it reads what is published, and nothing else.

Two fences, each of which would do. In the query's syntax tree, as DuckDB parses it, only nodes that read and functions
that read no file are let through. And DuckDB itself has to take the query for the body of a view, in which nothing is
written, on a connection that is shut in (:func:`uda_assets.warehouse.database.isolate`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from uda_assets.basics.errors import UdaError, UsageError
from uda_assets.basics.settings import Settings
from uda_assets.lake import Lake
from uda_assets.warehouse.answers import Table
from uda_assets.warehouse.database import isolate
from uda_assets.warehouse.lookup import published_warehouse

_FUNCTIONS = frozenset({
    "duckdb_columns", "duckdb_tables", "duckdb_views", "generate_series", "json_each", "json_tree", "range", "repeat",
    "unnest",
})  # fmt: skip
"""The functions that may stand where a table does."""

_ROWS_AT_ONCE = 1_000


@contextmanager
def opened(lake: Lake, settings: Settings) -> Iterator[Asked]:
    """The published warehouse, to be asked; what is published meanwhile does not change it.

    Raises:
        UdaError: Nothing is published.

    """
    with published_warehouse(lake, settings) as connection:
        connection.execute("SET preserve_insertion_order = true")
        connection.execute("SET TimeZone = 'UTC'")
        isolate(connection, [lake.sessions, lake.quarantine])
        yield Asked(connection)


class Asked(NamedTuple):
    """A warehouse that answers one query at a time; times are in UTC.

    A query is one SELECT, or DESCRIBE, SUMMARIZE or SHOW TABLES. Of two columns called ``a`` the second is ``a_1``.
    """

    connection: duckdb.DuckDBPyConnection

    def table(self, sql: str) -> Table:
        """The answer as rows, which come as they are read.

        Raises:
            UsageError: It is no query, names something that there is not, or would read something else.
            UdaError: The files that the warehouse names cannot be read.

        """
        with _explained(self.connection):
            _require_query(self.connection, sql)
            found = self.connection.execute(sql)
            description = found.description or []
        names = _unique([name for name, *_ in description])
        kinds = [int if kind.id in _NUMBERS else str for _, kind, *_ in description]
        return Table(dict(zip(names, kinds, strict=True)), _rows(found, self.connection))

    def write_parquet(self, sql: str, path: Path) -> None:
        """The answer as a Parquet file, with DuckDB's types.

        Raises:
            UsageError: As :meth:`table`.
            UdaError: As :meth:`table`.

        """
        import pyarrow as pa  # noqa: PLC0415 - takes longer to import than most queries do
        import pyarrow.parquet as pq  # noqa: PLC0415

        with _explained(self.connection):
            _require_query(self.connection, sql)
            batches: Any = self.connection.sql(sql).to_arrow_reader()
            fields = zip(batches.schema, _unique(batches.schema.names), strict=True)
            schema = pa.schema([field.with_name(name) for field, name in fields])
            try:
                with pq.ParquetWriter(path, schema, compression="zstd") as file:
                    for batch in _batches(batches):
                        file.write_batch(batch.rename_columns(schema.names))
            except pa.ArrowNotImplementedError as error:
                raise UsageError(f"Parquet cannot hold it: {error}; cast the column to VARCHAR") from None


def _batches(reader: Iterable[Any]) -> Iterator[Any]:
    """Arrow passes on what DuckDB says as an error of the system, which an error in writing is too."""
    try:
        yield from reader
    except OSError as error:
        raise UsageError(" ".join(str(error).split())) from None


def _rows(found: duckdb.DuckDBPyConnection, connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    with _explained(connection):
        while rows := found.fetchmany(_ROWS_AT_ONCE):
            yield from rows


def _unique(names: list[str]) -> list[str]:
    unique: dict[str, None] = {}
    for name in names:
        number, one = 0, name
        while one in unique:
            number += 1
            one = f"{name}_{number}"
        unique[one] = None
    return list(unique)


_NUMBERS = frozenset({
    "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint",
    "float", "double", "decimal",
})  # fmt: skip


def _require_query(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    if "\0" in sql:
        raise UsageError("the query has a NUL character")
    if not sql.isascii() and not _is_text(sql):
        raise UsageError("the query is not UTF-8 text")
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError(f"write one SELECT statement, not {len(statements) or 'an empty text'}")
    parsed = json.loads(connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0])
    if parsed["error"]:
        raise UsageError(f"only SELECT can be asked, not {_kind_of(statements[0])}; nothing was changed")
    for node in _nodes(parsed):
        _require_reading(connection, node)
    require_view(connection, statements[0].query)


def _require_reading(connection: duckdb.DuckDBPyConnection, node: dict[str, Any]) -> None:
    # What has common table expressions is a query, or what stands in the place of one.
    if "cte_map" in node and node["type"] not in _READING:
        kind = node["type"].partition("_")[0]
        raise UsageError(f"only SELECT can be asked, not {kind} within one; nothing was changed")
    if node.get("type") == "TABLE_FUNCTION" and node["function"]["function_name"].lower() not in _FUNCTIONS:
        tables = ", ".join(name for (name,) in connection.execute(_TABLES).fetchall())
        name = node["function"]["function_name"]
        raise UsageError(f"{name}() cannot be asked; read the warehouse's tables {tables}")


def require_view(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Have DuckDB say that a statement only reads: in a view's body, nothing that writes may stand at any depth.

    Raises:
        duckdb.Error: It does not.

    """
    connection.execute(f"CREATE TEMP VIEW {_ASKED} AS {sql}")
    connection.execute(f"DROP VIEW {_ASKED}")


def _kind_of(statement: duckdb.Statement) -> str:
    kind = statement.type.name
    return "PIVOT without the values IN (...)" if kind == "MULTI" else kind


_ASKED = "what_was_asked"
_READING = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLES = "SELECT table_name FROM information_schema.tables ORDER BY table_name"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            yield node
            waiting.extend(node.values())


@contextmanager
def _explained(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """What DuckDB says of a query, as our own error; its picture of where in the query is left out."""
    try:
        yield
    except (duckdb.PermissionException, duckdb.IOException) as error:
        if isinstance(error, duckdb.PermissionException) and not _is_of_a_view(connection, error):
            raise UsageError(f"a query reads what is published and nothing else: {_said(error)}") from None
        raise UdaError(
            f"{_said(error)}; if the data root was moved or its files are gone, materialize top_n_by_platform again"
        ) from None
    except (duckdb.OutOfMemoryException, duckdb.InternalException, duckdb.FatalException) as error:
        raise UdaError(_said(error)) from None
    except duckdb.CatalogException as error:
        raise UsageError(f'{_said(error)} (`uda query "SHOW TABLES"` lists the tables)') from None
    except duckdb.Error as error:
        raise UsageError(_said(error)) from None
    except OverflowError:
        raise UsageError("a value is beyond what can be shown; cast it to VARCHAR") from None
    except RecursionError:
        raise UsageError("the query is nested too deeply") from None


def _is_text(sql: str) -> bool:
    """Whether it has no bytes that the command line could not decode."""
    return not any("\ud800" <= character <= "\udfff" for character in sql)


def _said(error: duckdb.Error) -> str:
    return " ".join(str(error).partition("\n\n")[0].split())


def _is_of_a_view(connection: duckdb.DuckDBPyConnection, error: duckdb.Error) -> bool:
    """Whether the file of an error is one that the warehouse's own views name."""
    file = re.search('"(.*)"', str(error))
    views = connection.execute("SELECT sql FROM duckdb_views() WHERE NOT internal").fetchall()
    return any(file[1].replace("'", "''") in sql for (sql,) in views) if file else False
