"""The comparison of records can fail, and says what differs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
import pytest

from uda_assets_tests import digests


def record(counts: dict[str, int]) -> digests.Record:
    table = pl.DataFrame({"user_id": list(counts), "session_count": list(counts.values())})
    return {"sample: session_counts": sorted(digests.rows(table))}


def test_equal_records_have_no_differences() -> None:
    assert list(digests.differences(record({"u1": 3, "u2": 2}), record({"u2": 2, "u1": 3}))) == []


def test_a_changed_row_is_named() -> None:
    assert list(digests.differences(record({"u1": 3, "u2": 2}), record({"u1": 3, "u2": 1}))) == [
        "sample: session_counts: 3 rows before, 3 now",
        '  - ["u2", 2]',
        '  + ["u2", 1]',
    ]


def test_a_row_that_is_there_twice_is_named() -> None:
    once, twice = {"output": ["row"]}, {"output": ["row", "row"]}
    assert list(digests.differences(once, twice)) == ["output: 1 rows before, 2 now", "  + row"]


def test_an_output_that_one_record_lacks_is_named() -> None:
    assert list(digests.differences({"old": []}, {"new": []})) == ["new: only now", "old: only before"]


def test_long_rows_differ_by_their_digests() -> None:
    long = "x" * 1000
    assert list(digests.differences(record({long + "a": 1}), record({long + "b": 1})))


@pytest.mark.parametrize(("count", "code"), [(3, 0), (4, 1)])
def test_comparing_exits_with_1_if_anything_differs(
    count: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tmp_path / "digests.json"
    before.write_text(json.dumps(record({"u1": 3})))
    monkeypatch.setattr(digests, "record_of", lambda checkout: record({"u1": count}))
    monkeypatch.setattr(sys, "argv", ["digests", "--compare", str(before)])
    assert digests.main() == code
    assert ('+ ["u1", 4]' in capsys.readouterr().out) == bool(code)
