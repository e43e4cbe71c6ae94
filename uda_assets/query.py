"""A query by a user over the published warehouse: it reads what is published, and nothing else.

Two fences, each of which would do: in the query's syntax tree, as DuckDB parses it, only functions that read no file
are let through; and the connection is shut in by DuckDB itself (:func:`uda_assets.database.isolate`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from uda_assets.database import isolate
from uda_assets.errors import UdaError, UsageError
from uda_assets.lake import Lake
from uda_assets.lookup import published_warehouse
from uda_assets.output import Table
from uda_assets.settings import Settings

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
        with _explained():
            _require_query(self.connection, sql)
            found = self.connection.execute(sql)
            description = found.description or []
        names = _unique([name for name, *_ in description])
        kinds = [int if kind.id in _NUMBERS else str for _, kind, *_ in description]
        return Table(dict(zip(names, kinds, strict=True)), _rows(found))

    def write_parquet(self, sql: str, path: Path) -> None:
        """The answer as a Parquet file, with DuckDB's types.

        Raises:
            UsageError: As :meth:`table`.
            UdaError: As :meth:`table`.

        """
        import pyarrow as pa  # noqa: PLC0415 - takes longer to import than most queries do
        import pyarrow.parquet as pq  # noqa: PLC0415

        with _explained():
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


def _rows(found: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    with _explained():
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
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError(f"write one SELECT statement, not {len(statements) or 'an empty text'}")
    parsed = json.loads(connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0])
    if parsed["error"]:
        raise UsageError(f"only SELECT can be asked, not {statements[0].type.name}; nothing was changed")
    for name in _table_functions(parsed):
        if name.lower() not in _FUNCTIONS:
            tables = ", ".join(name for (name,) in connection.execute(_TABLES).fetchall())
            raise UsageError(f"{name}() cannot be asked; read the warehouse's tables {tables}")


_TABLES = "SELECT table_name FROM information_schema.tables ORDER BY table_name"


def _table_functions(tree: Any) -> Iterator[str]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            if node.get("type") == "TABLE_FUNCTION":
                yield node["function"]["function_name"]
            waiting.extend(node.values())


@contextmanager
def _explained() -> Iterator[None]:
    """What DuckDB says of a query, as our own error; its picture of where in the query is left out."""
    try:
        yield
    except duckdb.PermissionException as error:
        raise UsageError(f"a query reads what is published and nothing else: {_said(error)}") from None
    except duckdb.IOException as error:
        raise UdaError(
            f"{_said(error)}; if the data root was moved or its files are gone, materialize top_n_by_platform again"
        ) from None
    except (duckdb.OutOfMemoryException, duckdb.InternalException, duckdb.FatalException) as error:
        raise UdaError(_said(error)) from None
    except duckdb.CatalogException as error:
        raise UsageError(f'{_said(error)} (`uda query "SHOW TABLES"` lists the tables)') from None
    except duckdb.Error as error:
        raise UsageError(_said(error)) from None
    except RecursionError:
        raise UsageError("the query is nested too deeply") from None


def _said(error: duckdb.Error) -> str:
    return " ".join(str(error).partition("\n\n")[0].split())
