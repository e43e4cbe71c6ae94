"""The checks of what is on disk: nothing that changed escapes them, though what has not changed is not read again."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from uda_assets.basics.findings import Finding
from uda_assets.basics.settings import load_settings
from uda_assets.lake import Lake, integrity
from uda_assets.lake.integrity import inspect_drops
from uda_assets.lake.memory import memory_of
from uda_assets.lake.sealed import sealed
from uda_assets.pipeline.checks import parquet_schema_matches, records_accounted
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending

HEADER = "user_id,session_id,platform,activity_time,activity_type\n"
PART = "dataset_parquets/a.csv.parquet/platform=iOS/part.0.parquet"
QUARANTINE = "quarantine/a.csv.parquet"


def line(user: str, platform: str = "iOS") -> str:
    return f"{user},s,{platform},2026-01-01T00:00:00Z,view\n"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Two converted drops, checked, and remembered though they are only just written."""
    monkeypatch.setattr(integrity, "RACY_NANOSECONDS", 0)
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
    manifests = lake.converted.manifests()
    found = inspect_drops(lake, manifests)
    return parquet_schema_matches(found), records_accounted(manifests, found)


def test_what_has_not_changed_is_not_opened_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(path: object) -> None:
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(pq, "read_metadata", opened)
    assert all(finding.passed for finding in checked(Lake(lake.root)))


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


def test_a_file_changed_just_before_it_was_read_is_read_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stat may not tell a further change within the same tick of the file system's clock."""
    monkeypatch.setattr(integrity, "RACY_NANOSECONDS", 3_600_000_000_000)
    assert all(finding.passed for finding in checked(lake))
    opened: list[object] = []
    read_metadata = pq.read_metadata

    def noting(path: object) -> object:
        opened.append(path)
        return read_metadata(path)

    monkeypatch.setattr(pq, "read_metadata", noting)
    assert all(finding.passed for finding in checked(lake))
    assert len(opened) == 5


@pytest.mark.parametrize("note", [b"", b"\xc1nonsense", b"\x81\xa5a.csv\x93\x01\x02\x03"])
@pytest.mark.parametrize("name", ["footers", "manifests"])
def test_notes_that_are_lost_or_damaged_do_no_harm(lake: Lake, name: str, note: bytes) -> None:
    path = lake.root / f".uda/{name}.msgpack"
    assert path.exists()
    path.write_bytes(note)
    assert all(finding.passed for finding in checked(Lake(lake.root)))
    path.unlink()
    assert all(finding.passed for finding in checked(Lake(lake.root)))


def test_noted_manifests_are_those_on_disk(lake: Lake) -> None:
    """In another process, whose memory is empty; a manifest that was written anew counts, one that is gone does not."""
    memory_of.cache_clear()
    path = lake.root / "dataset_parquets/a.csv.parquet/_manifest.json"
    manifest = lake.converted.manifest("a.csv")
    assert manifest
    path.write_bytes(sealed(msgspec.structs.replace(manifest, records=5)))
    (lake.root / "dataset_parquets/b.csv.parquet/_manifest.json").unlink()
    found = Lake(lake.root).converted.manifests()
    assert {drop: manifest.records for drop, manifest in found.items()} == {"a.csv": 5}
    assert not checked(lake)[1].passed
