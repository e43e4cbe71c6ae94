"""P1: the bare leaderboard of a CSV file, by ``uda inspector`` and by what a user would write instead."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from benchmarks.contest import Contender, Contest, Context, Run, Verdict, compare, in_turn
from benchmarks.datasets import Dataset, dataset, read_board, wrong_rows
from benchmarks.processes import measure, module

OURS = "uda inspector"
OURS_MALFORMED = "uda inspector, 0.5% malformed"
RIVALS = {"DuckDB": "duckdb", "Polars": "polars", "chdb": "chdb", "pandas": "pandas"}
LIMITS = {"ordered": 0.7, "shuffled": 1.0}
"""On clean data, of the fastest rival's time."""
LIMIT_MALFORMED = 1.15
"""Of our own time on clean data."""

# pandas takes up to so many times the file's size.
_PANDAS_TIMES = 10


def contests(context: Context) -> Iterator[Contest]:
    """A contest for each size, order and quality of the data."""
    for records, visits, shuffled in product(context.sizes, (False, True), (False, True)):
        clean = dataset(context.work, records, shuffled=shuffled, visits=visits)
        malformed = dataset(context.work, records, shuffled=shuffled, visits=visits, malformed=True)
        yield leaderboards(clean, malformed, context.scratch, context.repeats)


def leaderboards(data: Dataset, malformed: Dataset, scratch: Path, repeats: int) -> Contest:
    """All who are installed, on one clean file, and we on the same with malformed records."""
    rivals = {name: library for name, library in RIVALS.items() if find_spec(library)}
    notes = [f"{name} is not installed." for name in RIVALS.keys() - rivals.keys()]
    if "pandas" in rivals and _PANDAS_TIMES * data.file.stat().st_size > memory():
        del rivals["pandas"]
        notes.append("The data do not fit in memory for pandas.")
    contenders = [
        Contender(OURS, inspector(data, scratch), ours=True),
        Contender(OURS_MALFORMED, inspector(malformed, scratch), ours=True),
        Contender("floor: the kernel alone", floor(data, "--kernel"), ours=True),
        Contender("floor: the file, read", floor(data), ours=True),
    ]
    for name, library in rivals.items():
        contenders.append(Contender(name, rival(data, library, scratch)))
    contest = in_turn("P1", f"Bare leaderboard from CSV, {data.title}", contenders, repeats)
    contest.notes += notes
    mine, spoilt = contest.rows[:2]
    if fastest := compare(contest, OURS):
        limit = LIMITS["shuffled" if data.shuffled else "ordered"]
        promise = f"{data.title}: at most {limit:.1f}x the fastest rival ({fastest.name})"
        contest.verdicts.append(Verdict(promise, statistics.median(fastest.ratios), limit))
        promise = f"{data.title}: at most 1.1x the peak memory of {fastest.name}"
        contest.verdicts.append(Verdict(promise, mine.peak / fastest.peak, 1.1))
    ratios = [
        with_faults.seconds / without.seconds for with_faults, without in zip(spoilt.runs, mine.runs, strict=True)
    ]
    promise = f"{malformed.title}: at most {LIMIT_MALFORMED}x our own time on clean data"
    contest.verdicts.append(Verdict(promise, statistics.median(ratios), LIMIT_MALFORMED))
    return contest


def floor(data: Dataset, *options: str) -> Callable[[], Run]:
    """Reading a file and nothing else."""

    def run() -> Run:
        usage = measure(module("benchmarks.floor", data.file, *options))
        return Run(usage.seconds, usage.cpu, usage.peak)

    return run


def inspector(data: Dataset, scratch: Path) -> Callable[[], Run]:
    """Our command on a file, its answer checked."""
    out = scratch / "uda.csv"
    command = module(
        "uda_assets", "inspector", "--filepath", data.file, "--mode", "csv", "--n", 50, "--output", out
    )  # fmt: skip
    return lambda: answered(command, out, data)


def rival(data: Dataset, library: str, scratch: Path) -> Callable[[], Run]:
    """A rival's script on a file, its answer compared."""
    out = scratch / f"{library}.csv"
    return lambda: answered(module(f"benchmarks.peers.{library}_leaderboard", data.file, out), out, data)


def answered(command: list[str], out: Path, data: Dataset) -> Run:
    """Run a command that writes a leaderboard, and hold that to the truth."""
    out.unlink(missing_ok=True)
    usage = measure(command)
    return Run(usage.seconds, usage.cpu, usage.peak, wrong_rows(read_board(out), data.board()))


def memory() -> int:
    """Bytes of memory that the machine could give now; where that is not told, none are missing."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 2**63
    available = next(line for line in lines if line.startswith("MemAvailable"))
    return int(available.split()[1]) * 1024
