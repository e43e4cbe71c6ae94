"""The checks of what is on disk: nothing that changed escapes them, though what has not changed is not read again."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from uda_assets.basics.findings import Finding
from uda_assets.basics.settings import load_settings
from uda_assets.lake import Lake, integrity
from uda_assets.lake.integrity import damaged_drops, inspect_drops
from uda_assets.pipeline.checks import parquet_schema_matches, records_accounted
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending

HEADER = "user_id,session_id,platform,activity_time,activity_type\n"
PART = "dataset_parquets/a.csv.parquet/platform=iOS/part.0.parquet"
QUARANTINE = "quarantine/a.csv.parquet"


def line(user: str, platform: str = "iOS") -> str:
    return f"{user},s,{platform},2026-01-01T00:00:00Z,view\n"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two converted drops."""
    (tmp_path / "datasets").mkdir()
    bad = "u,s,iOS,never,view\n"
    (tmp_path / "datasets/a.csv").write_text(HEADER + line("u1") + line("u2") + line("u3", "web") + bad)
    (tmp_path / "datasets/b.csv").write_text(HEADER + line("u1") + line("u2"))
    settings = load_settings({}, data_root=str(tmp_path), threads=2, lock_timeout=0)
    lake = Lake(tmp_path)
    with open_run(lake, settings) as run:
        convert_pending(run)
    assert all(finding.passed for finding in checked(lake))
    return lake


def checked(lake: Lake) -> tuple[Finding, Finding]:
    found = inspect_drops(lake, lake.state())
    return parquet_schema_matches(found), records_accounted(lake.state().drops, found)


def test_what_has_not_changed_is_not_opened_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*arguments: object) -> None:
        raise AssertionError(f"{arguments} was opened")

    monkeypatch.setattr(pq, "read_metadata", opened)
    monkeypatch.setattr(integrity, "read_drop", opened)
    assert all(finding.passed for finding in checked(Lake(lake.root)))


@pytest.mark.parametrize("name", ["_metadata", "_common_metadata", "_manifest.json"])
def test_what_lies_beside_the_part_files_is_checked_too(lake: Lake, name: str) -> None:
    path = lake.root / "dataset_parquets/a.csv.parquet" / name
    content = path.read_bytes()
    assert damaged_drops(inspect_drops(lake, lake.state())) == {}
    path.write_bytes(content[:-1] + b"?")
    assert damaged_drops(inspect_drops(lake, lake.state())) == {"a.csv": (f"a.csv/{name}", "not as it was written")}
    path.unlink()
    assert damaged_drops(inspect_drops(lake, lake.state())) == {"a.csv": (f"a.csv/{name}", "missing")}
    path.write_bytes(content)
    assert damaged_drops(inspect_drops(lake, lake.state())) == {}


@pytest.mark.parametrize("file", [PART, QUARANTINE])
def test_a_file_that_lost_rows_is_found(lake: Lake, file: str) -> None:
    path = lake.root / file
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.slice(1), path)
    schema, accounted = checked(lake)
    assert schema.passed
    assert not accounted.passed
    assert accounted.cases[0].startswith("a.csv: 4 read, but ")
    pq.write_table(table, path)
    assert all(finding.passed for finding in checked(lake))


def test_a_file_put_in_place_with_the_old_times_is_found(lake: Lake) -> None:
    path = lake.root / PART
    stat = path.stat()
    pq.write_table(pq.read_table(path, partitioning=None).slice(1), path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not checked(lake)[1].passed


def test_columns_that_differ_from_the_contract_are_named(lake: Lake) -> None:
    path = lake.root / PART
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["activity_type"]), path)
    for _ in range(2):
        schema, accounted = checked(lake)
        assert schema.cases == [
            "a.csv/platform=iOS/part.0.parquet: its columns are ['user_id', 'session_id', 'activity_time']"
        ]
        assert accounted.passed


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_a_missing_or_damaged_file_is_named(lake: Lake, damage: str) -> None:
    path = lake.root / PART
    content = path.read_bytes()
    path.unlink()
    if damage == "cut off":
        path.write_bytes(content[:-10])
    schema, accounted = checked(lake)
    assert schema.cases == ["a.csv/platform=iOS/part.0.parquet: missing or damaged"]
    assert accounted.cases == ["a.csv: 4 read, but 1 kept and 1 quarantined on disk"]
