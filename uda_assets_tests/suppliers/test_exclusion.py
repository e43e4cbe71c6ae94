"""Users who are left out of leaderboards by patterns: their records are kept and counted all the same."""

from __future__ import annotations

import csv
import io
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from uda_assets.cli import run as uda
from uda_assets.lake import open_lake
from uda_assets.pipeline.checks import listed_users_plausible
from uda_assets.pipeline.days import publish_days
from uda_assets.warehouse.database import plain_database
from uda_assets.warehouse.exclusion import excluded_by
from uda_assets_tests.support.chain import HEADER, deliver, published, record, run, settings_of


@given(
    pattern=st.text(st.sampled_from("ab-]*?[!^\\.é\n"), min_size=1, max_size=7),
    user=st.text(st.sampled_from("ab-]*?[!^\\.é\n"), max_size=6),
)
@example(pattern="[!a]*", user="ba")
@example(pattern="[a-b]", user="b")
@example(pattern="[]a]", user="]")
@example(pattern="[", user="[")
@settings(max_examples=200, deadline=None)
def test_patterns_mean_what_they_mean_to_fnmatch(pattern: str, user: str) -> None:
    with duckdb.connect() as connection:
        row = connection.execute(f"SELECT {excluded_by(pattern)} FROM (SELECT ? AS user_id)", [user]).fetchone()
    assert row == (fnmatchcase(user, pattern),)


def build(root: Path, **overrides: object) -> None:
    sessions = {"alice": 2, "test-1": 5, "test-2": 4, "null": 9, "bob": 1}
    lines = "".join(record(f"{user}{i}", user=user) for user, count in sessions.items() for i in range(count))
    deliver(root, "a.csv", HEADER + lines)
    run(root, **overrides)


def test_they_are_left_out_everywhere_and_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(tmp_path, exclude_users="test-*, null")
    assert published(tmp_path, "SELECT user_id, session_count FROM top_n_by_platform") == [("alice", 2), ("bob", 1)]
    assert published(tmp_path, "SELECT count(*) FROM sessions") == [(21,)]
    assert published(tmp_path, "FROM excluded_users ORDER BY session_count DESC") == [
        ("null", "iOS", "null", 9), ("test-*", "iOS", "test-1", 5), ("test-*", "iOS", "test-2", 4),
    ]  # fmt: skip
    lake = open_lake(settings_of(tmp_path))
    publication = lake.state().publication
    assert publication
    assert publication.exclude_users == "test-*, null"
    assert [(user.pattern, user.user_id) for user in publication.excluded] == [
        ("null", "null"), ("test-*", "test-1"), ("test-*", "test-2"),
    ]  # fmt: skip
    assert uda(["verify", "--data-root", str(tmp_path)]) == 0
    capsys.readouterr()
    for arguments in (
        ["leaderboard", "--data-root", str(tmp_path)],
        ["inspector", "--filepath", str(tmp_path / "datasets/a.csv")],
    ):
        assert uda([*arguments, "--format", "csv", "--exclude-users", "test-*,null"]) == 0
        rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
        assert rows == [["platform", "user_id", "session_count"], ["iOS", "alice", "2"], ["iOS", "bob", "1"]]
    day = date(2026, 1, 1)
    with lake.writing(0):
        boards = publish_days(lake, settings_of(tmp_path, exclude_users="test-*,null"), [day], plain_database)
    assert set(boards[day]["user_id"]) <= {"alice", "bob"}


def test_without_patterns_nobody_is(tmp_path: Path) -> None:
    build(tmp_path)
    assert published(tmp_path, "SELECT user_id FROM top_n_by_platform LIMIT 2") == [("null",), ("test-1",)]
    assert published(tmp_path, "FROM excluded_users") == []


def test_ids_that_look_like_none_are_named() -> None:
    board = pl.DataFrame(
        {"platform": ["iOS"] * 4 + ["Web"] * 2, "user_id": ["bot", "NULL", "(not set)", "u1", "0", "u2"],
         "session_count": [90_000, 40, 30, 20, 9, 8]}
    )  # fmt: skip
    finding = listed_users_plausible(board)
    assert not finding.passed
    named = " ".join(finding.cases)
    assert all(text in named for text in ("'NULL'", "'(not set)'", "'0'", "'bot' has 90000 sessions"))
    assert "null in suppliers.toml" in finding.summary
    assert "UDA_EXCLUDE_USERS" in finding.summary
    assert listed_users_plausible(board.filter(pl.col("user_id").is_in(["u1", "u2"]))).passed


@pytest.mark.parametrize(
    "user", ["null", "None", "nan", "undefined", "unknown", "anonymous", "(not set)", "\\N", "0", "-1",
             "00000000-0000-0000-0000-000000000000"],
)  # fmt: skip
def test_each_null_like_id_is_found(user: str) -> None:
    board = pl.DataFrame({"platform": ["iOS"], "user_id": [user], "session_count": [1]})
    assert not listed_users_plausible(board).passed
