"""A supplier beside `uda dev`: new leaderboards by themselves, equal to a recomputation over all that was delivered."""

from __future__ import annotations

from pathlib import Path

from uda_assets_tests.integration.feed import feed_becomes_leaderboard


def test_drops_become_leaderboards_by_themselves(tmp_path: Path) -> None:
    feed_becomes_leaderboard(tmp_path)
