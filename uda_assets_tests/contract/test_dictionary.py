"""The data dictionary agrees with the schemas, the tables of the warehouse and the inputs of the assets."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from uda_assets.contract import dictionary
from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.dictionary import Table
from uda_assets.contract.schemas import LEADERBOARD_SCHEMA, QUARANTINE_SCHEMA, RECORD_SCHEMA, SESSION_SCHEMA
from uda_assets_tests.support.chain import HEADER, deliver, published, record, run
from uda_assets_tests.support.definitions import defs

KINDS = {pl.String(): dictionary.TEXT, pl.Int64(): dictionary.WHOLE, pl.Datetime("us", "UTC"): dictionary.MOMENT}
IN_DUCKDB = {dictionary.TEXT: "VARCHAR", dictionary.WHOLE: "BIGINT", dictionary.MOMENT: "TIMESTAMP WITH TIME ZONE"}


@pytest.mark.parametrize(
    ("table", "schema"),
    [
        (dictionary.RECORDS, RECORD_SCHEMA),
        (dictionary.QUARANTINE, QUARANTINE_SCHEMA),
        (dictionary.SESSIONS, SESSION_SCHEMA),
        (dictionary.LEADERBOARD, LEADERBOARD_SCHEMA),
        (dictionary.DAILY_LEADERBOARD, LEADERBOARD_SCHEMA),
    ],
)
def test_tables_are_those_of_the_contract(table: Table, schema: pl.Schema) -> None:
    assert [(column.name, column.kind) for column in table.columns] == [
        (name, KINDS[kind]) for name, kind in schema.items()
    ]


def test_a_delivered_record_has_the_required_columns() -> None:
    assert tuple(column.name for column in dictionary.RAW.columns) == COLUMNS


def test_the_warehouse_has_these_tables(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("s"))
    run(tmp_path)
    for name, table in {
        "sessions": dictionary.SESSIONS,
        "top_n_by_platform": dictionary.LEADERBOARD,
        "drops": dictionary.DROPS,
        "quarantine": dictionary.QUARANTINE,
    }.items():
        described = published(tmp_path, f"SELECT column_name, column_type FROM (DESCRIBE {name})")
        assert described == [(column.name, IN_DUCKDB[column.kind]) for column in table.columns], name


def test_every_origin_is_a_column_of_an_input() -> None:
    graph = defs.resolve_asset_graph()
    parents = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    columns = {(table.name, column.name) for table in dictionary.TABLES for column in table.columns}
    for table in dictionary.TABLES:
        for column, origins in table.origins().items():
            assert set(origins) <= columns, (table.name, column)
            assert {origin.table for origin in origins} <= parents[table.name], (table.name, column)
    boards = [dictionary.LEADERBOARD, dictionary.DAILY_LEADERBOARD]
    assert all(
        origins for table in (dictionary.RECORDS, dictionary.SESSIONS, *boards) for origins in table.origins().values()
    )
