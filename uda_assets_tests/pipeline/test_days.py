"""Leaderboards of days beside the main one: who dies while they are published loses none, and nothing else is one."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from uda_assets.basics import moments
from uda_assets.basics.errors import UdaError
from uda_assets.basics.settings import Settings
from uda_assets.lake import open_lake
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.days import daily_result, publish_days
from uda_assets.pipeline.merging import merge_sessions
from uda_assets.pipeline.publishing import publish
from uda_assets.pipeline.verification import verify
from uda_assets_tests.support.chain import HEADER, deliver, dying, published, record, run, settings_of

DAY = date(2026, 1, 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    deliver(tmp_path, "a.csv", HEADER + record("a"))
    run(tmp_path)
    publish_two_days(tmp_path)
    return tmp_path


def publish_two_days(root: Path) -> None:
    settings = settings_of(root)
    lake = open_lake(settings)
    with lake.writing(0):
        publish_days(lake, settings, [DAY, date(2026, 1, 2)])


def counts(root: Path) -> list[tuple[int]]:
    return published(root, "SELECT session_count FROM daily_top_n_by_platform ORDER BY ALL")


def test_who_dies_while_days_are_published_leaves_each_as_it_was_or_is_to_be(root: Path) -> None:
    deliver(root, "b.csv", HEADER + record("b"))
    with open_run(open_lake(settings_of(root)), settings_of(root)) as opened:
        convert_pending(opened)
        merge_sessions(opened)
    assert counts(root) == [(1,)]
    before = root.with_name("before")
    shutil.copytree(root, before)
    moment = 0
    while dying(moment := moment + 1, lambda: publish_two_days(root)):
        assert sound(root), moment
        assert counts(root) in ([(1,)], [(2,)])
        run(root)
        _, parquet = daily_result(open_lake(settings_of(root)), DAY)
        in_file = pl.read_parquet(Path(str(parquet)))["session_count"].to_list()
        assert counts(root) == [(count,) for count in in_file] == [(2,)], moment
        assert sound(root), moment
        assert not [*root.rglob("*.tmp")], moment
        shutil.rmtree(root)
        shutil.copytree(before, root)
    assert moment > 7, "two files of each day, the warehouse, and the states before and after"
    publish_two_days(root)
    assert counts(root) == [(2,)]


def sound(root: Path) -> bool:
    settings = settings_of(root)
    return not verify(open_lake(settings), settings).damage


@pytest.mark.parametrize("name", ["2026-01-01 (1)", "20260101", "2026-W01-4", "latest"])
def test_what_lies_beside_the_leaderboards_of_days_is_none(root: Path, name: str) -> None:
    _, parquet = daily_result(open_lake(settings_of(root)), DAY)
    shutil.copy(str(parquet), str(parquet).replace("2026-01-01", name))
    run(root)
    assert counts(root) == [(1,)]


def test_a_file_that_is_no_leaderboard_is_left_out(root: Path) -> None:
    directory = root / "results/daily"
    (directory / "Result_top_n_by_platform_2026-01-03.parquet").write_bytes(b"not Parquet")
    pl.DataFrame({"a": [1]}).write_parquet(directory / "Result_top_n_by_platform_2026-01-04.parquet")
    deliver(root, "b.csv", HEADER + record("b"))
    run(root)
    assert counts(root) == [(2,)]


def test_without_the_warehouse_all_days_are_made_again(root: Path) -> None:
    (root / "uda.duckdb").unlink()
    with pytest.raises(UdaError, match=r"uda\.duckdb is missing; materialize top_n_by_platform first"):
        publish_two_days(root)
    run(root)
    assert counts(root) == [(1,)]
    assert sound(root)


def test_who_dies_while_he_publishes_leaves_nothing_that_seems_damaged(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("a"))
    run(tmp_path)
    deliver(tmp_path, "b.csv", HEADER + record("b", user="u2"))
    settings = settings_of(tmp_path, n=1)
    lake = open_lake(settings)
    with open_run(lake, settings) as opened:
        convert_pending(opened)
        merge_sessions(opened)
    moment = 0

    def publish_all() -> None:
        with open_run(lake, settings) as opened:
            publish(opened)

    while dying(moment := moment + 1, publish_all):
        assert sound(tmp_path), moment
    assert moment > 8, "each of four files, and the notes before and after"
    assert sound(tmp_path)


def merge_two_changed_days(root: Path) -> Settings:
    """A drop that changes two days, converted and merged by a run that ended before it published."""
    deliver(root, "b.csv", HEADER + record("b") + record("c").replace("2026-01-01", "2026-01-03"))
    settings = settings_of(root)
    with open_run(open_lake(settings), settings) as opened:
        convert_pending(opened)
        merge_sessions(opened)
    return settings


def test_days_that_changed_before_a_death_are_published_by_the_next_run(root: Path) -> None:
    settings = merge_two_changed_days(root)
    assert open_lake(settings).state().stale_days == [DAY, date(2026, 1, 3)]
    with open_run(open_lake(settings), settings) as opened:
        assert list(publish(opened).days) == [DAY, date(2026, 1, 3)]
        assert list(publish(opened).days) == []
    assert open_lake(settings).state().stale_days == []
    assert counts(root) == [(1,), (2,)]


def test_a_day_that_somebody_publishes_is_not_stale_and_the_others_are(root: Path) -> None:
    settings = merge_two_changed_days(root)
    publish_two_days(root)
    with open_run(open_lake(settings), settings) as opened:
        assert list(publish(opened).days) == [date(2026, 1, 3)]
    assert counts(root) == [(1,), (2,)]


def test_another_n_is_for_the_days_that_nobody_chose(root: Path) -> None:
    deliver(root, "b.csv", HEADER + "".join(record("b", user=user).replace("01-01", "01-03") for user in ("u1", "u2")))
    run(root)
    run(root, n=1)
    query = "SELECT day::VARCHAR, count(*) FROM daily_top_n_by_platform GROUP BY ALL ORDER BY ALL"
    assert published(root, query) == [("2026-01-01", 1), ("2026-01-03", 1)]
    rules = {day: (one.rule.n, one.chosen) for day, one in open_lake(settings_of(root)).state().days.items()}
    assert rules == {DAY: (50, True), date(2026, 1, 2): (50, True), date(2026, 1, 3): (1, False)}


def test_who_lost_the_lock_puts_nothing_in_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in [*root.glob("results/daily/*"), root / "uda.duckdb"]}
    deliver(root, "b.csv", HEADER + record("b"))
    settings = settings_of(root)
    lake = open_lake(settings)

    def lose(moment: str) -> None:
        if moment == "publish: files written":
            monkeypatch.setattr(lake.access, "require_lock", _lost)

    with open_run(lake, settings) as opened:
        convert_pending(opened)
        merge_sessions(opened)
        monkeypatch.setattr(moments, "on_moment", lose)
        with pytest.raises(UdaError, match="the lock was lost"):
            publish_days(lake, settings, [DAY])
    assert {path: path.read_bytes() for path in before} == before
    monkeypatch.undo()
    assert sound(root)


def _lost() -> None:
    raise UdaError("the lock was lost")
