"""P4: what ten times as many records take, in time and memory."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from itertools import pairwise

from benchmarks import bare, chain
from benchmarks.contest import Contender, Contest, Context, Verdict, in_turn
from benchmarks.datasets import dataset, size_text

MEMORY = {10**7: 1024, 10**8: 2048}
"""Records, and the peak memory in MiB that is promised for them."""

ALLOWANCE = 1.05
"""How much more than in proportion the time may grow."""


def contests(context: Context) -> Iterator[Contest]:
    """For each size and the next larger one, on data in order of time with malformed records."""
    for small, large in pairwise(sorted(context.sizes)):
        yield scaling(context, small, large)


def scaling(context: Context, small: int, large: int) -> Contest:
    """Both sizes in turn, with the inspector and with the chain."""
    contenders = []
    for records in (small, large):
        data = dataset(context.work, records, malformed=True)
        runs = {bare.OURS: bare.inspector(data, context.scratch), chain.OURS: chain.ours(data, context.scratch)}
        contenders += [Contender(f"{name}, {size_text(records)}", run, ours=True) for name, run in runs.items()]
    title = f"Scaling, {size_text(small)} to {size_text(large)} records in order of time, 0.5% malformed"
    contest = in_turn("P4", title, contenders, context.repeats)
    contest.ratio = f"of the time for {size_text(small)}"
    for less, more in zip(contest.rows[:2], contest.rows[2:], strict=True):
        more.ratios = [b.seconds / a.seconds for a, b in zip(less.runs, more.runs, strict=True)]
        limit = ALLOWANCE * large / small
        promise = f"{more.name}: at most {limit:.1f}x the time for {size_text(small)}"
        contest.verdicts.append(Verdict(promise, statistics.median(more.ratios), limit))
    for records, row in zip((small, small, large, large), contest.rows, strict=True):
        if records in MEMORY:
            promise = f"{row.name}: peak memory at most {MEMORY[records]} MiB"
            contest.verdicts.append(Verdict(promise, row.peak, MEMORY[records], " MiB"))
    return contest
