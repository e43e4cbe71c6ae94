"""A warehouse that is replaced while it is being opened: the reader gets one of the two, and never a mixture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from uda_assets.warehouse.database import open_published


def database(path: Path, tables: int) -> Path:
    with duckdb.connect(path) as connection:
        for number in range(tables):
            connection.execute(
                f"CREATE TABLE t{number} AS SELECT range AS value, 'x' || range AS name FROM range(1000)"
            )
    return path


@pytest.fixture
def replacing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], list[str]]:
    """Replace the warehouse while it is opened for the first time, which then may fail."""
    connect = duckdb.connect

    def arm(error: Exception | None) -> list[str]:
        opened: list[str] = []

        def replaced(path: Path, **options: Any) -> duckdb.DuckDBPyConnection:
            opened.append(str(path))
            connection = connect(path, **options)
            if len(opened) == 1:
                (tmp_path / "new.duckdb").replace(path)
                if error:
                    connection.close()
                    raise error
            return connection

        monkeypatch.setattr(duckdb, "connect", replaced)
        return opened

    return arm


@pytest.mark.parametrize("error", [None, duckdb.IOException("No more data remaining in MetadataReader")])
def test_it_is_opened_again(
    tmp_path: Path, replacing: Callable[[Exception | None], list[str]], error: Exception | None
) -> None:
    path = database(tmp_path / "uda.duckdb", 1)
    database(tmp_path / "new.duckdb", 3)
    opened = replacing(error)
    with open_published(path) as connection:
        assert len(connection.execute("SHOW TABLES").fetchall()) == 3
        with pytest.raises(duckdb.InvalidInputException, match="read-only"):
            connection.execute("DROP TABLE t0")
    assert len(opened) == 2


def test_a_file_that_is_not_a_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "uda.duckdb"
    path.write_bytes(b"no database, and never was one" * 1000)
    with pytest.raises(duckdb.Error):
        open_published(path)
