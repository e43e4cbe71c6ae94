"""Clocks that jump and times of files that are wrong: nothing is lost or counted twice, and nothing waits for ever."""

from __future__ import annotations

import os
import random
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from uda_assets.lake import open_lake
from uda_assets.pipeline.status import waiting
from uda_assets_tests.integration.test_kills import Feed, InDirectory, N, assert_complete, assert_no_debris
from uda_assets_tests.support.chain import HEADER, deliver, published, record, run, settings_of

YEAR = 365 * 86_400.0
JUMPS = [0.0, 0.5, -0.5, 3.0, -3.0, 3_600.0, -3_600.0, 2 * 86_400.0, -2 * 86_400.0, 10 * YEAR, -10 * YEAR]
"""Seconds by which a clock may be wrong."""


def set_clock(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let this program's clock be wrong; that of the file system stays, so that the two disagree."""
    real_time, real_ns = time.time, time.time_ns

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=seconds)

    patch.setattr(time, "time", lambda: real_time() + seconds)
    patch.setattr(time, "time_ns", lambda: real_ns() + int(seconds * 1e9))
    for module in ("conversion", "publishing"):
        patch.setattr(f"uda_assets.pipeline.{module}.datetime", Wrong)


@pytest.mark.parametrize("seed", range(int(os.environ.get("UDA_TEST_CLOCKS", "1"))))
def test_runs_under_jumping_clocks_lose_nothing(tmp_path: Path, seed: int) -> None:
    root, feed, chance = tmp_path / "data", Feed(tmp_path / "data", seed), random.Random(seed)
    for _ in range(5):
        feed.change()
        for drop in sorted(feed.sources):
            if chance.random() < 0.5:
                # Times before 1970 too, and the same times for different content.
                moment = chance.choice([time.time() + chance.choice(JUMPS), 0.0, -1e6, 1e9])
                os.utime(root / "datasets" / drop, (moment, moment))
        with pytest.MonkeyPatch.context() as patch:
            set_clock(patch, chance.choice(JUMPS))
            run(root, n=N)
        feed.completed()
        assert_complete(InDirectory(root), feed)
    run(root, n=N)
    run(root, n=N)
    assert_no_debris(InDirectory(root), feed)


@pytest.mark.parametrize("seconds", JUMPS[3:])
def test_no_drop_waits_for_ever_to_settle(tmp_path: Path, seconds: float) -> None:
    """By a clock that is wrong, a file may come from the future; it is taken now or one settling later."""
    deliver(tmp_path, "a.csv", HEADER + record("a"))
    settings = settings_of(tmp_path, settle_seconds=2)
    os.utime(tmp_path / "datasets/a.csv", (time.time() + seconds,) * 2)
    with pytest.MonkeyPatch.context() as patch:
        set_clock(patch, 2.5 if seconds > 0 else 0)
        found = waiting(settings)
    assert found.pending + found.unsettled == ["a.csv"]
    with pytest.MonkeyPatch.context() as patch:
        set_clock(patch, max(seconds, 0) + 2.5)
        assert waiting(settings).pending == ["a.csv"]


def test_a_correction_with_the_old_times_and_size_is_seen(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("first"))
    drop = tmp_path / "datasets/a.csv"
    os.utime(drop, (1e9, 1e9))
    run(tmp_path)
    deliver(tmp_path, "a.csv", HEADER + record("other"))
    os.utime(drop, (1e9, 1e9))
    with pytest.MonkeyPatch.context() as patch:
        set_clock(patch, -10 * YEAR)
        assert waiting(settings_of(tmp_path)).pending == ["a.csv"]
        run(tmp_path)
    assert published(tmp_path, "SELECT session_id FROM sessions") == [("other",)]


def test_what_a_reader_spills_to_stays_though_a_clock_says_that_it_is_old(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("a"))
    run(tmp_path)
    lake = open_lake(settings_of(tmp_path))
    dead = lake.internal / "spill-of a reader that died"
    dead.mkdir()
    with lake.scratch() as spill, pytest.MonkeyPatch.context() as patch:
        (spill / "block").write_bytes(b"needed")
        set_clock(patch, 10 * YEAR)
        run(tmp_path)
        assert (spill / "block").read_bytes() == b"needed"
        assert not dead.exists()
    assert not spill.exists()
