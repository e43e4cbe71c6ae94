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
RIVALS = {"DuckDB": "duckdb", "Polars": "polars", "chdb": "chdb", "pandas": "pandas"}
LIMIT_CLEAN, LIMIT_MALFORMED = 1.0, 1.2

# pandas takes up to so many times the file's size.
_PANDAS_TIMES = 10


def contests(context: Context) -> Iterator[Contest]:
    """A contest for each size, order and quality of the data."""
    for records, malformed, shuffled in product(context.sizes, (False, True), (False, True)):
        data = dataset(context.work, records, shuffled=shuffled, malformed=malformed)
        yield leaderboards(data, context.scratch, context.repeats)


def leaderboards(data: Dataset, scratch: Path, repeats: int) -> Contest:
    """All who are installed, on one file; rivals must be right on clean data, we always."""
    rivals = {name: library for name, library in RIVALS.items() if find_spec(library)}
    notes = [f"{name} is not installed." for name in RIVALS.keys() - rivals.keys()]
    if "pandas" in rivals and _PANDAS_TIMES * data.file.stat().st_size > memory():
        del rivals["pandas"]
        notes.append("The data do not fit in memory for pandas.")
    contenders = [Contender(OURS, inspector(data, scratch), ours=True)]
    for name, library in rivals.items():
        contenders.append(Contender(name, rival(data, library, scratch), exact=not data.malformed))
    contest = in_turn("P1", f"Bare leaderboard from CSV, {data.title}", contenders, repeats)
    contest.notes += notes
    if fastest := compare(contest, OURS):
        limit = LIMIT_MALFORMED if data.malformed else LIMIT_CLEAN
        promise = f"{data.title}: at most {limit:.1f}x the fastest rival ({fastest.name})"
        contest.verdicts.append(Verdict(promise, statistics.median(fastest.ratios), limit))
    return contest


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
    skip = ["--skip-errors"] if data.malformed else []
    return lambda: answered(module(f"benchmarks.peers.{library}_leaderboard", data.file, out, *skip), out, data)


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
