"""The leaderboards of days follow from those before and what has changed, and are those of a recomputation."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from uda_assets.lake import DayRule, PublishedDay, open_lake
from uda_assets.pipeline import day_ranking
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.day_ranking import BOARDS, KEPT, boards_of, updated_boards
from uda_assets.pipeline.merging import merge_sessions
from uda_assets.pipeline.publishing import publish
from uda_assets_tests.support.chain import HEADER, deliver, published, record, run, settings_of

DAY = date(2026, 1, 1)
Counts = dict[tuple[str, str], int]
"""Sessions by platform and user."""
Row = tuple[str, str, int]

keys = st.tuples(st.sampled_from(["iOS", "Web"]), st.sampled_from("abcdefghé"))
changes = st.lists(st.dictionaries(keys, st.integers(0, 4), min_size=1), min_size=1, max_size=6)


def first(counts: Counts, n: int) -> list[Row]:
    """By plain Python: the users with the most sessions of each platform, ties by user."""
    board: list[Row] = []
    for platform in ("Web", "iOS"):
        users = sorted((-count, user) for (of, user), count in counts.items() if of == platform and count)
        board += [(platform, user, -count) for count, user in users[:n]]
    return board


def table(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame([(DAY, *row) for row in rows], schema=BOARDS, orient="row")


def kept_of(counts: Counts, limit: int) -> pl.DataFrame:
    """What is kept when all sessions are counted."""
    users = {
        platform: sum(1 for (of, _), count in counts.items() if of == platform and count) for platform, _ in counts
    }
    rows = [(DAY, *row, users[row[0]] <= limit) for row in first(counts, limit)]
    return pl.DataFrame(rows, schema=KEPT, orient="row")


@given(before=st.dictionaries(keys, st.integers(1, 4)), then=changes, n=st.integers(1, 3))
def test_an_updated_leaderboard_is_that_of_a_recomputation(before: Counts, then: list[Counts], n: int) -> None:
    counts, limit = dict(before), 2 * n
    kept = kept_of(counts, limit)
    for changed in then:
        counts |= changed
        listed = {(platform, user) for platform, user in kept.select("platform", "user_id").iter_rows()}
        told = {(row[0], row[1]): row[2] for row in first(changed, limit + 1)}
        told |= {key: count for key, count in changed.items() if key in listed}
        kept, doubtful = updated_boards(kept, table([(*key, count) for key, count in told.items()]), n)
        event("doubtful" if doubtful else "known")
        if doubtful:
            kept = kept_of(counts, limit)
        board = boards_of(kept, {DAY: PublishedDay(DayRule(n, ""))})
        assert board.rows() == [(DAY, *row) for row in first(counts, n)]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A day with four users, of whom two are listed, and three kept."""
    monkeypatch.setattr(day_ranking, "_MOST_SPARE", 1)
    for number, user in enumerate(("u1", "u2", "u3", "u4")):
        deliver(tmp_path, f"{user}.csv", HEADER + "".join(record(f"{user}-{i}", user=user) for i in range(5 - number)))
    run(tmp_path, n=2)
    assert board(tmp_path) == [("u1", 5), ("u2", 4)]
    return tmp_path


def board(root: Path) -> list[tuple[str, int]]:
    return published(root, "SELECT user_id, session_count FROM daily_top_n_by_platform")


def test_a_user_who_was_not_listed_follows_when_others_fall_back(root: Path) -> None:
    deliver(root, "u1.csv", HEADER + record("x", user="u1"))
    run(root, n=2)
    assert board(root) == [("u2", 4), ("u3", 3)]
    deliver(root, "u2.csv", HEADER + record("x", user="u2"))
    run(root, n=2)
    assert board(root) == [("u3", 3), ("u4", 2)], "nobody kept u4"


def test_a_user_rises(root: Path) -> None:
    deliver(root, "more.csv", HEADER + "".join(record(f"more-{i}", user="u4") for i in range(2)))
    run(root, n=2)
    assert board(root) == [("u1", 5), ("u2", 4)], "u4 and u2 have as many sessions, and u2 comes first"
    deliver(root, "again.csv", HEADER + record("again", user="u4"))
    run(root, n=2)
    assert board(root) == [("u1", 5), ("u4", 5)]


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5] + b"XXXXX")


@pytest.mark.parametrize("harm", [damage, Path.unlink])
@pytest.mark.parametrize("kind", ["days", "touched"])
def test_what_was_kept_and_is_damaged_is_made_anew(root: Path, kind: str, harm: Callable[[Path], None]) -> None:
    deliver(root, "u1.csv", HEADER + record("x", user="u1"))
    settings = settings_of(root, n=2)
    with open_run(open_lake(settings), settings) as opened:
        convert_pending(opened)
        merge_sessions(opened)
        (path,) = (root / "sessions" / kind).rglob("*.parquet")
        harm(path)
        publish(opened)
    assert board(root) == [("u2", 4), ("u3", 3)]
    assert run(root, n=2).converted == []
    assert board(root) == [("u2", 4), ("u3", 3)]
