"""Polluted files: each ends in the exact answer, with every record accounted for, or in a clear rejection.

``uv run pytest -n 0 -m heavy -s uda_assets_tests/corpus/test_corpus.py`` judges all of them and prints the figures.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from pathlib import Path

import pytest

from uda_assets_tests.corpus.chain import REASONS, deliver, promise
from uda_assets_tests.corpus.judging import Figures, judge_all, judge_corpus
from uda_assets_tests.corpus.pollutions import Polluted, corpus
from uda_assets_tests.support.chain import ledger, published, run

LARGE = 200_000


def spread(each: int) -> list[Polluted]:
    """Some files of each kind, from its first to its last, and none that takes long."""
    files = (file for file in corpus() if len(file.data) < LARGE)
    chosen = []
    for _, group in groupby(sorted(files, key=attrgetter("kind")), key=attrgetter("kind")):
        of_kind = list(group)
        count = min(each, len(of_kind))
        chosen += [of_kind[place * len(of_kind) // count] for place in range(count)]
    return chosen


def require_agreement(figures: Figures, files: int) -> None:
    print(f"\n{figures}")
    assert (figures.disagreements[:10], figures.losses[:10]) == ([], [])
    assert figures.files == files
    assert 0 not in (figures.kept, figures.quarantined, figures.rejections.total())


def test_some_of_each_kind_agree_with_the_reference() -> None:
    files = spread(7)
    require_agreement(judge_all(files), len(files))


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_all_agree_with_the_reference() -> None:
    files = sum(1 for _ in corpus())
    assert files > 20_000
    require_agreement(judge_corpus(), files)


def through_the_chain(files: list[Polluted], root: Path) -> None:
    drops = deliver(files, root)
    promised = promise(drops, n=1000)
    report = run(root, n=1000)
    entries = ledger(root)
    assert set(entries) == set(drops)
    found = {
        drop: (entry.records, entry.kept, entry.quarantined)
        for drop, entry in entries.items()
        if entry.status == "committed"
    }
    assert found == promised.committed
    named = {drop: (entry.reason or "").partition(": ") for drop, entry in entries.items() if drop not in found}
    assert {
        drop: reason for drop, (reason, _, _) in named.items() if reason not in REASONS[promised.rejected[drop]]
    } == {}
    assert all(len(advice) > 20 for _, _, advice in named.values()), "each rejection says what to do"
    assert set(report.rejected) == set(promised.rejected)
    malformed = published(root, 'SELECT "drop", line, reason, raw FROM quarantine')
    assert sorted(malformed) == promised.quarantine
    board = (root / "results/Result_top_n_by_platform.csv").read_text(encoding="utf-8")
    assert board == promised.leaderboard
    print(
        f"\n{len(drops)} drops through the chain: {len(found)} committed, {len(named)} rejected, "
        f"{sum(kept for _, kept, _ in promised.committed.values())} records kept, {len(malformed)} quarantined, "
        f"{len(board.splitlines()) - 1} rows of the leaderboard as the reference has them"
    )


def test_some_go_through_the_whole_chain(tmp_path: Path) -> None:
    through_the_chain(spread(2), tmp_path)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_many_go_through_the_whole_chain(tmp_path: Path) -> None:
    through_the_chain(spread(60), tmp_path)
