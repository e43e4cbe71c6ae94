"""Rank movement, compared with an oracle in plain Python, and what a publication keeps of the previous one."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda_assets.lake import open_lake
from uda_assets.warehouse.movement import MOVEMENT_TABLE, Against, Ranking, movement, period_before
from uda_assets.warehouse.ranking import Window, rank
from uda_assets_tests.cli.test_cli import uda
from uda_assets_tests.pipeline.test_crashes import dying_at
from uda_assets_tests.support.chain import HEADER, deliver, published, record, run, settings_of

Counts = dict[tuple[str, str], int]
Row = tuple[Any, ...]

counts = st.dictionaries(
    st.tuples(st.sampled_from(["Web", "iOS"]), st.sampled_from(["a", "b", "c", "d", "É'", "f"])),
    st.integers(1, 4),
)
ns = st.integers(1, 7)


def ranks(counted: Counts) -> dict[tuple[str, str], int]:
    """The ranks of all users, not only of the first n."""
    places: dict[tuple[str, str], int] = {}
    for platform in {key[0] for key in counted}:
        ordered = sorted((-count, user) for (name, user), count in counted.items() if name == platform)
        places |= {(platform, user): place for place, (_, user) in enumerate(ordered, 1)}
    return places


def moved(now: Counts, n: int, before: Counts, previous_n: int, *, before_known: bool) -> list[Row]:
    """The expected movement, worked out user by user from what the two leaderboards show."""
    rows: list[Row] = []
    later, earlier = ranks(now), ranks(before)
    for key in later.keys() | earlier.keys():
        place, last = later.get(key), earlier.get(key)
        place = place if place and place <= n else None
        last = last if last and last <= previous_n else None
        if place and last:
            how = "same" if place == last else "up" if place < last else "down"
        elif place:
            # New only if the earlier leaderboard had room for this rank.
            full = sum(platform == key[0] for platform, _ in earlier) >= previous_n
            if full and place > previous_n:
                continue
            how = "new"
        elif last:
            full = sum(platform == key[0] for platform, _ in later) >= n
            if full and last > n:
                continue
            how = "out"
        else:
            continue
        known = before.get(key, 0) if before_known else (before[key] if last else None)
        rows.append((*key, place, last, now.get(key, 0), known, how))
    return sorted(rows, key=repr)


@settings(deadline=None)
@given(now=counts, n=ns, before=counts, previous_n=ns, known=st.booleans())
def test_movement_is_what_is_known_of_each_user(
    now: Counts, n: int, before: Counts, previous_n: int, known: bool
) -> None:
    with duckdb.connect() as connection:
        for name, counted, places in (("now", now, n), ("before", before, previous_n)):
            connection.execute(f"CREATE TABLE {name} (platform VARCHAR, user_id VARCHAR, session_count BIGINT)")
            for key, count in counted.items():
                connection.execute(f"INSERT INTO {name} VALUES (?, ?, ?)", [*key, count])
            connection.execute(f"CREATE TABLE {name}_top AS {rank(name, places)}")
        query = movement(
            Against.PERIOD, Ranking("now_top", n, "now"), Ranking("before_top", previous_n, "before" if known else None)
        )
        found = connection.execute(query).fetchall()
    assert {row[0] for row in found} <= {"previous period"}
    assert sorted((row[1:] for row in found), key=repr) == moved(now, n, before, previous_n, before_known=known)


def sessions(user: str, count: int, day: int = 1, platform: str = "iOS") -> str:
    return "".join(f"{user},{user}{day}-{i},{platform},2026-01-{day:02}T00:00:00Z,view\n" for i in range(count))


def board(root: Path, against: str = "previous publication") -> list[Row]:
    columns = "platform, user_id, rank, previous_rank, session_count, previous_count, movement"
    return published(root, f"SELECT {columns} FROM rank_movement WHERE against = '{against}'")


def test_the_first_publication_has_nothing_to_compare_with_and_a_rerun_keeps_what_moved(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + sessions("u1", 5) + sessions("u2", 4) + sessions("u3", 3))
    for _ in range(2):
        run(tmp_path, n=2)
        assert board(tmp_path) == []
    deliver(tmp_path, "b.csv", HEADER + sessions("u3", 3, day=2))
    moves = [
        ("iOS", "u3", 1, None, 6, None, "new"),
        ("iOS", "u1", 2, 1, 5, 5, "down"),
        ("iOS", "u2", None, 2, 4, 4, "out"),
    ]
    for _ in range(3):
        run(tmp_path, n=2)
        assert board(tmp_path) == moves
    # A leaderboard with another N is compared with the previous one as far as that one reached.
    run(tmp_path, n=3)
    assert board(tmp_path) == [("iOS", "u3", 1, 1, 6, 6, "same"), ("iOS", "u1", 2, 2, 5, 5, "same")]
    run(tmp_path, n=1)
    assert board(tmp_path) == [("iOS", "u3", 1, 1, 6, 6, "same")]


def test_a_window_is_compared_with_the_one_before_it(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + sessions("u1", 2, 3) + sessions("u2", 3, 3) + sessions("u9", 9, 2)
            + sessions("u1", 4, 5) + sessions("u2", 1, 5) + sessions("u3", 2, 6) + sessions("u9", 9, 7))  # fmt: skip
    run(tmp_path, n=2, since="2026-01-05", until="2026-01-07")
    assert board(tmp_path, "previous period") == [
        ("iOS", "u1", 1, 2, 4, 2, "up"),
        ("iOS", "u3", 2, None, 2, 0, "new"),
        ("iOS", "u2", None, 1, 1, 3, "out"),
    ]
    assert board(tmp_path) == []
    run(tmp_path, n=2, since="2026-01-05")
    assert board(tmp_path, "previous period") == []


def test_the_period_before_has_the_same_length() -> None:
    since, until = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 8, 12, tzinfo=UTC)
    assert period_before(Window(since, until)) == Window(datetime(2026, 2, 21, 12, tzinfo=UTC), since)
    assert period_before(Window(since, None)) is None
    assert period_before(Window(None, until)) is None
    assert period_before(Window(datetime(1, 1, 1, tzinfo=UTC), until)) is None


@pytest.mark.parametrize("moment", ["sessions: committed", "publish: files written", "publish: committed"])
def test_a_publication_that_dies_is_none(tmp_path: Path, moment: str) -> None:
    deliver(tmp_path, "a.csv", HEADER + sessions("u1", 2) + sessions("u2", 1))
    run(tmp_path, n=2)
    deliver(tmp_path, "b.csv", HEADER + sessions("u2", 2, day=2))
    settings = settings_of(tmp_path, n=2)
    dying_at(moment, lambda: run(tmp_path, n=2))
    run(tmp_path, n=2)
    assert board(tmp_path) == [("iOS", "u2", 1, 2, 3, 1, "up"), ("iOS", "u1", 2, 1, 2, 2, "down")]
    publication = open_lake(settings).state().publication
    assert publication is not None
    assert publication.board is not None
    assert publication.previous is not None
    kept = sorted(path.name for path in (tmp_path / "results/history").iterdir())
    assert kept == sorted(f"{board.name}.parquet" for board in (publication.board, publication.previous))


@pytest.mark.parametrize("harm", ["removed", "damaged"])
def test_a_lost_leaderboard_is_no_obstacle(tmp_path: Path, harm: str) -> None:
    deliver(tmp_path, "a.csv", HEADER + sessions("u1", 2))
    run(tmp_path)
    (path,) = (tmp_path / "results/history").iterdir()
    path.unlink() if harm == "removed" else path.write_bytes(b"PAR1 or not")
    deliver(tmp_path, "b.csv", HEADER + sessions("u2", 3))
    run(tmp_path)
    assert board(tmp_path) == []
    assert published(tmp_path, "SELECT user_id FROM top_n_by_platform") == [("u2",), ("u1",)]


def test_movement_on_the_command_line(tmp_path: Path) -> None:
    done = uda("leaderboard", "--movement", root=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing is built yet" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    deliver(tmp_path, "a.csv", HEADER + record("s1", user='=cmd|" /C"!A0'.replace('"', "'")) + record("s2", "Web"))
    run(tmp_path)
    deliver(tmp_path, "b.csv", HEADER + record("s3", user="u2") + record("s4", user="u2"))
    run(tmp_path)
    printed = uda("leaderboard", "--movement", "--platform", "IOS", "--format", "csv", root=tmp_path).stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert list(rows[0]) == [column.split()[0] for column in MOVEMENT_TABLE.split(", ")]
    assert [(row["user_id"], row["rank"], row["previous_rank"], row["movement"]) for row in rows] == [
        ("u2", "1", "", "new"),
        ("=cmd|' /C'!A0", "2", "1", "down"),
    ]
    objects = json.loads(uda("leaderboard", "--movement", "--format", "json", root=tmp_path).stdout)
    assert [(row["platform"], row["movement"]) for row in objects] == [("Web", "same"), ("iOS", "new"), ("iOS", "down")]
    table = uda("leaderboard", "--movement", root=tmp_path).stdout.splitlines()
    assert len(table) == 5
    output = tmp_path / "moves.parquet"
    assert uda("leaderboard", "--movement", "--output", output, root=tmp_path).returncode == 0
    assert pl.read_parquet(output).height == 3
    done = uda("leaderboard", "--movement", "--n", "3", root=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--n cannot go with it" in done.stderr
