"""The command ``uda query``: SQL over the published warehouse."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from uda_assets.basics.errors import UsageError
from uda_assets.cli import options
from uda_assets.cli.files import open_data_root, refuse_directory


@options.command(
    'uda query "SHOW TABLES"',
    'uda query "SELECT reason, count(*) FROM quarantine GROUP BY reason" --format csv',
    'uda query "FROM sessions WHERE events > 2" --output busy.parquet',
    "uda query - --format json < query.sql",
)
@click.argument("sql")
@options.output
@options.form
@options.data_root
@click.pass_context
def query(context: click.Context, sql: str, output: Path | None, form: str | None, data_root: str | None) -> None:
    """Query the published warehouse with SQL; only SELECT is allowed.

    SQL is one statement in DuckDB's dialect; "-" reads it from stdin. Tables: sessions, session_counts,
    top_n_by_platform, daily_top_n_by_platform, rank_movement, drops, quarantine, publication. Times are UTC.
    """
    settings = options.settings_of(context, data_root=data_root)
    from uda_assets.cli.output import Format, output_kind, print_table, write_atomically, write_table

    kind = form or (output_kind(output) if output else "table")
    if output:
        refuse_directory(output)
    lake = open_data_root(settings)
    if sql == "-":
        sql = _read_stdin()
    from uda_assets.warehouse.query import open_warehouse

    with open_warehouse(lake, settings) as warehouse:
        if output is None:
            print_table(warehouse.answer(sql), Format(kind))
        elif kind == "parquet":
            with write_atomically(output) as target:
                warehouse.write_parquet(sql, target)
        else:
            write_table(warehouse.answer(sql), output, Format(kind))


def _read_stdin() -> str:
    if sys.stdin is None:
        raise UsageError("stdin is closed; write the query as an argument")
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise UsageError("the query on stdin is not UTF-8") from None
