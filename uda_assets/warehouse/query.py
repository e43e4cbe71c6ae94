"""SQL queries by users over the published warehouse: a query can read what is published, and nothing else.

Two independent barriers enforce this. First, DuckDB parses the query, and its syntax tree may contain only nodes that
read and table functions that read no file. Second, DuckDB must accept the query as the body of a view, in which nothing
may write, on a connection that is isolated (:func:`uda_assets.warehouse.database.isolate`).
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
from uda_assets.warehouse.answers import Answer
from uda_assets.warehouse.database import isolate
from uda_assets.warehouse.lookup import published_warehouse

_TABLE_FUNCTIONS = frozenset({
    "duckdb_columns", "duckdb_tables", "duckdb_views", "generate_series", "json_each", "json_tree", "range", "repeat",
    "unnest",
})  # fmt: skip
"""The functions that a query may use in place of a table."""

_READING_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_NUMBER_TYPES = frozenset({
    "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint",
    "float", "double", "decimal",
})  # fmt: skip
_TABLE_NAMES = "SELECT table_name FROM information_schema.tables ORDER BY table_name"
_VIEW_NAME = "query_to_check"
_ROWS_PER_FETCH = 1_000


@contextmanager
def open_warehouse(lake: Lake, settings: Settings) -> Iterator[QueryableWarehouse]:
    """Open the published warehouse for queries; it stays as it is even if a newer one is published meanwhile.

    Raises:
        UdaError: Nothing is published.
    """
    with published_warehouse(lake, settings) as connection:
        connection.execute("SET preserve_insertion_order = true")
        connection.execute("SET TimeZone = 'UTC'")
        isolate(connection, [lake.sessions, lake.quarantine])
        yield QueryableWarehouse(connection)


class QueryableWarehouse(NamedTuple):
    """A published warehouse that answers one query at a time, with times in UTC.

    A query is a single SELECT, DESCRIBE, SUMMARIZE or SHOW TABLES. If two columns of the answer are both called ``a``,
    the second one becomes ``a_1``.
    """

    connection: duckdb.DuckDBPyConnection

    def answer(self, sql: str) -> Answer:
        """Answer a query; its rows are fetched only while the answer is read.

        Raises:
            UsageError: The text is not a query, names something that does not exist, or would read anything else.
            UdaError: The files that the warehouse names cannot be read.
        """
        with _explained_errors(self.connection):
            _require_query(self.connection, sql)
            result = self.connection.execute(sql)
            description = result.description or []
        names = _unique([name for name, *_ in description])
        types = [int if column_type.id in _NUMBER_TYPES else str for _, column_type, *_ in description]
        return Answer(dict(zip(names, types, strict=True)), _rows(result, self.connection))

    def write_parquet(self, sql: str, path: Path) -> None:
        """Write the answer to a query as a Parquet file with DuckDB's types.

        Raises:
            UsageError: The text is not a valid query (see :meth:`answer`), or Parquet cannot hold a column's type.
            UdaError: The files that the warehouse names cannot be read.
        """
        import pyarrow as pa  # noqa: PLC0415 - importing it takes longer than most queries
        import pyarrow.parquet as pq  # noqa: PLC0415

        with _explained_errors(self.connection):
            _require_query(self.connection, sql)
            reader: Any = self.connection.sql(sql).to_arrow_reader()
            fields = zip(reader.schema, _unique(reader.schema.names), strict=True)
            schema = pa.schema([field.with_name(name) for field, name in fields])
            try:
                with pq.ParquetWriter(path, schema, compression="zstd") as file:
                    for batch in _batches(reader):
                        file.write_batch(batch.rename_columns(schema.names))
            except pa.ArrowNotImplementedError as error:
                raise UsageError(
                    f"Parquet cannot hold a column of the answer: {error}; cast the column to VARCHAR"
                ) from None


def _batches(reader: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches of an Arrow reader.

    Arrow reports an error in the query as an OSError, which here could not be told from an error in writing the file.
    """
    try:
        yield from reader
    except OSError as error:
        raise UsageError(" ".join(str(error).split())) from None


def _rows(result: duckdb.DuckDBPyConnection, connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    with _explained_errors(connection):
        while rows := result.fetchmany(_ROWS_PER_FETCH):
            yield from rows


def _unique(names: list[str]) -> list[str]:
    """Make column names unique by adding numbers."""
    unique: dict[str, None] = {}
    for name in names:
        number, candidate = 0, name
        while candidate in unique:
            number += 1
            candidate = f"{name}_{number}"
        unique[candidate] = None
    return list(unique)


def _require_query(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise an error unless a text is a single statement that only reads what is published."""
    if "\0" in sql:
        raise UsageError("the query contains a NUL character; remove it")
    try:
        sql.encode()
    except UnicodeEncodeError:
        # Python decodes bytes of the command line that are not UTF-8 to characters that cannot be encoded.
        raise UsageError("the query is not UTF-8 text") from None
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError(f"write one SELECT statement, not {len(statements) or 'an empty text'}")
    parsed = json.loads(connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0])
    if parsed["error"]:
        raise UsageError(f"only SELECT is allowed, not {_statement_kind(statements[0])}; nothing was changed")
    for node in _nodes(parsed):
        _require_reading(connection, node)
    require_view_body(connection, statements[0].query)


def _require_reading(connection: duckdb.DuckDBPyConnection, node: dict[str, Any]) -> None:
    # Every node that can have common table expressions is a query, or a statement in the place of one.
    if "cte_map" in node and node["type"] not in _READING_NODES:
        kind = node["type"].partition("_")[0]
        raise UsageError(f"only SELECT is allowed, and no {kind} within one; nothing was changed")
    if node.get("type") == "TABLE_FUNCTION" and node["function"]["function_name"].lower() not in _TABLE_FUNCTIONS:
        tables = ", ".join(name for (name,) in connection.execute(_TABLE_NAMES).fetchall())
        name = node["function"]["function_name"]
        raise UsageError(f"{name}() is not allowed; read the warehouse's tables {tables}")


def require_view_body(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Have DuckDB check that a statement is valid as the body of a view, which may not write at any depth.

    Raises:
        duckdb.Error: It is not.
    """
    connection.execute(f"CREATE TEMP VIEW {_VIEW_NAME} AS {sql}")
    connection.execute(f"DROP VIEW {_VIEW_NAME}")


def _statement_kind(statement: duckdb.Statement) -> str:
    kind = statement.type.name
    return "PIVOT without the values IN (...)" if kind == "MULTI" else kind


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield all JSON objects of a syntax tree."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            yield node
            waiting.extend(node.values())


@contextmanager
def _explained_errors(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Turn DuckDB's errors into our own, without the excerpt of the query that DuckDB adds."""
    try:
        yield
    except (duckdb.PermissionException, duckdb.IOException) as error:
        if isinstance(error, duckdb.PermissionException) and not _is_about_a_view(connection, error):
            raise UsageError(f"a query can read what is published and nothing else: {_message(error)}") from None
        raise UdaError(
            f"{_message(error)}; if the data root was moved or its files are gone, materialize top_n_by_platform again"
        ) from None
    except (duckdb.OutOfMemoryException, duckdb.InternalException, duckdb.FatalException) as error:
        raise UdaError(_message(error)) from None
    except duckdb.CatalogException as error:
        raise UsageError(f'{_message(error)} (`uda query "SHOW TABLES"` lists the tables)') from None
    except duckdb.Error as error:
        raise UsageError(_message(error)) from None
    except OverflowError:
        raise UsageError("the answer contains a value that is too large to show; cast it to VARCHAR") from None
    except RecursionError:
        raise UsageError("the query is nested too deeply; simplify it") from None


def _message(error: duckdb.Error) -> str:
    return " ".join(str(error).partition("\n\n")[0].split())


def _is_about_a_view(connection: duckdb.DuckDBPyConnection, error: duckdb.Error) -> bool:
    """Return whether an error names a file that one of the warehouse's own views reads."""
    file = re.search('"(.*)"', str(error))
    views = connection.execute("SELECT sql FROM duckdb_views() WHERE NOT internal").fetchall()
    return any(file[1].replace("'", "''") in sql for (sql,) in views) if file else False
