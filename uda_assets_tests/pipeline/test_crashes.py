"""Single crashes that once went wrong; `test_increments.py` and `integration/test_kills.py` look for others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from uda_assets.basics import moments
from uda_assets.basics.settings import Settings, load_settings
from uda_assets.lake import Lake
from uda_assets.storage import root_of
from uda_assets_tests.support.chain import build, forget

HEADER = "user_id,session_id,platform,activity_time,activity_type\n"
BAD = "u,s,iOS,never,view\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "datasets").mkdir()
    return load_settings({}, data_root=str(tmp_path), threads=2, lock_timeout=0)


def deliver(settings: Settings, drop: str, *users: str, further: str = "") -> None:
    """A drop in which each user has one session."""
    lines = [f"{user},s,iOS,2026-01-01T00:00:00Z,view\n" for user in users]
    part = root_of(settings) / f"datasets/.{drop}"
    part.write_text(HEADER + "".join(lines) + further)
    part.replace(root_of(settings) / "datasets" / drop)


def run(settings: Settings) -> None:
    build(Lake(root_of(settings)), settings)


def dying_at(moment: str, action: Callable[[], object]) -> None:
    def die(passed: str) -> None:
        if passed == moment:
            raise moments.Killed(moment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "on_moment", die)
        with pytest.raises(moments.Killed):
            action()


def users(settings: Settings) -> list[str]:
    lines = (root_of(settings) / "results/Result_top_n_by_platform.csv").read_text().splitlines()
    return [line.split(",")[1] for line in lines[1:]]


@pytest.mark.parametrize("moment", ["drop: parts in place", "drop: summaries in place", "sessions: committed"])
def test_content_forgotten_once_counts_again_after_another_version_whose_run_died(
    settings: Settings, moment: str
) -> None:
    deliver(settings, "a.csv", "first")
    run(settings)
    forget(Lake(root_of(settings)), settings, "a.csv")
    deliver(settings, "a.csv", "second")
    dying_at(moment, lambda: run(settings))
    run(settings)
    assert users(settings) == ["second"]
    deliver(settings, "a.csv", "first")
    run(settings)
    assert users(settings) == ["first"]


@pytest.mark.parametrize(
    "moment", ["forget: committed", "sessions: committed", "publish: files written", "publish: committed"]
)
def test_the_published_quarantine_is_readable_when_forgetting_dies(settings: Settings, moment: str) -> None:
    deliver(settings, "a.csv", "u1", further=BAD)
    deliver(settings, "b.csv", "u2", further=BAD)
    run(settings)
    dying_at(moment, lambda: forget(Lake(root_of(settings)), settings, "a.csv"))
    assert drops_with_quarantine(settings) == ["a.csv", "b.csv"]
    run(settings)
    assert drops_with_quarantine(settings) == ["b.csv"]
    assert [path.name for path in (root_of(settings) / "quarantine").iterdir()] == ["b.csv.parquet"]


def drops_with_quarantine(settings: Settings) -> list[str]:
    with duckdb.connect(root_of(settings) / "uda.duckdb", read_only=True) as warehouse:
        return [drop for (drop,) in warehouse.execute("SELECT drop FROM quarantine ORDER BY drop").fetchall()]


def test_a_drop_delivered_anew_while_forgetting_it_is_unfinished_keeps_its_quarantine(settings: Settings) -> None:
    deliver(settings, "a.csv", "u1", further=BAD)
    run(settings)
    dying_at("sessions: committed", lambda: forget(Lake(root_of(settings)), settings, "a.csv"))
    deliver(settings, "a.csv", "u1", "u2", further=BAD)
    run(settings)
    assert users(settings) == ["u1", "u2"]
    assert drops_with_quarantine(settings) == ["a.csv"]


def test_a_run_with_nothing_to_merge_removes_what_the_one_before_left(settings: Settings) -> None:
    for number in range(3):
        deliver(settings, f"{number}.csv", f"u{number}")
        if number < 2:
            run(settings)
    dying_at("sessions: committed", lambda: run(settings))
    run(settings)
    lake = Lake(root_of(settings))
    state = lake.state()
    assert state.sessions
    there = {lake.below(path) for path in lake.sessions.rglob("*.parquet")}
    counting = [*state.sessions.paths(), *(file.path for file in state.day_files())]
    assert there == {*map(lake.session_path, counting), *state.outdated}
