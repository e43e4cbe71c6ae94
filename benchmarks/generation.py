"""P7: the generator beside Polars writing the same bytes from memory."""

from __future__ import annotations

import filecmp
import statistics
from collections.abc import Iterator
from pathlib import Path

from benchmarks.contest import Contender, Contest, Context, Run, Verdict, compare, in_turn
from benchmarks.datasets import Dataset, dataset, generator
from benchmarks.processes import measure, module
from uda_assets.synthetic import GeneratorConfig

OURS, RIVAL = "uda generator", "Polars, writing alone"
LIMIT = 3.0


def contests(context: Context) -> Iterator[Contest]:
    """For each size, in order of time and shuffled."""
    for records in context.sizes:
        for shuffled in (False, True):
            yield writers(dataset(context.work, records, shuffled=shuffled), context.scratch, context.repeats)


def writers(data: Dataset, scratch: Path, repeats: int) -> Contest:
    """Our whole process, which also makes the data up; of the rival only the writing counts. Bytes must be equal."""
    out = scratch / "written.csv"

    def ours() -> Run:
        usage = measure(generator(out, data))
        return Run(usage.seconds, usage.cpu, usage.peak, _differs(data.file, out))

    def rival() -> Run:
        usage = measure(module("benchmarks.peers.polars_write", data.file, out))
        return Run(usage.told()["work"], None, usage.peak, _differs(data.file, out))

    contest = in_turn(
        "P7", f"Writing {data.title}", [Contender(OURS, ours, ours=True), Contender(RIVAL, rival)], repeats
    )
    start = statistics.median(measure(_start(out, data)).seconds for _ in range(repeats))
    contest.notes.append(f"Of ours, {start:.2f} s are the start: Python, imports, Faker's pools and the users' names.")
    if fastest := compare(contest, OURS):
        promise = f"{data.title}: at most {LIMIT:.0f}x the time Polars takes to write the same bytes"
        contest.verdicts.append(Verdict(promise, statistics.median(fastest.ratios), LIMIT))
    out.unlink(missing_ok=True)
    return contest


def _start(out: Path, data: Dataset) -> list[str]:
    """The command for a file of one record, but of as many users."""
    users = GeneratorConfig(records=data.records).population
    return [*generator(out, data._replace(records=1)), "--users", str(users)]


def _differs(one: Path, other: Path) -> int:
    return int(not filecmp.cmp(one, other, shallow=False))
