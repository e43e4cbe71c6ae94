"""Contests: programs that do the same work, run in turn, and how their times compare."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import Failed


class Context(NamedTuple):
    """How to measure: which sizes, how often, and where to put the data and what the programs write."""

    sizes: Sequence[int]
    repeats: int
    work: Path
    scratch: Path


class Run(NamedTuple):
    """One run of a program.

    Attributes:
        seconds: What the contest compares.
        cpu: Seconds of all processors together.
        peak: Peak memory in MiB.
        wrong: Rows of the right answer that it did not give; None where nothing is to be given.
        apart: Seconds of its parts, by name, for the notes.
    """

    seconds: float
    cpu: float | None = None
    peak: float | None = None
    wrong: int | None = None
    apart: dict[str, float] = {}  # noqa: RUF012  # read only


WARM_UP = 1
"""Rounds that do not count: they fill the caches of the system, for all alike."""


@dataclass(frozen=True)
class Contender:
    """A program: its name, how to run it once, and whether it must give the right answer."""

    name: str
    run: Callable[[], Run]
    ours: bool = False
    exact: bool = True


@dataclass
class Row:
    """What a program's runs took, and how that compares with another row of the same round."""

    name: str
    ours: bool
    runs: list[Run] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    failure: str | None = None

    @property
    def seconds(self) -> float:
        """Median seconds."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def peak(self) -> float:
        """Median peak memory in MiB."""
        return statistics.median(run.peak or 0 for run in self.runs)

    def apart(self, part: str) -> float:
        """Median seconds of a part."""
        return statistics.median(run.apart[part] for run in self.runs)


class Verdict(NamedTuple):
    """A promise, and what was measured of it; the smaller, the better."""

    promise: str
    measured: float
    limit: float
    unit: str = "x"

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.measured <= self.limit


@dataclass
class Contest:
    """The outcome.

    Attributes:
        group: Which promise it is about: ``P1`` to ``P7``.
        title: The work, and the data.
        rows: The programs.
        ratio: What the ratios say.
        notes: What else to know.
        verdicts: Promises kept or not.
        document: Further text, in Markdown.
        faults: Wrong answers of those that must be right.
    """

    group: str
    title: str
    rows: list[Row]
    ratio: str = ""
    notes: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    document: str = ""
    faults: list[str] = field(default_factory=list)


def in_turn(group: str, title: str, contenders: Sequence[Contender], repeats: int) -> Contest:
    """Run all in turn (A B C A B C …), after rounds that do not count; who fails takes no further part.

    In turn, so that whatever else the machine does falls on all alike, and so that a ratio is of neighbours in time.
    """
    rows = {contender.name: Row(contender.name, contender.ours) for contender in contenders}
    contest = Contest(group, title, list(rows.values()))
    for number in range(WARM_UP + repeats):
        for contender in contenders:
            row = rows[contender.name]
            if row.failure is None and (run := _attempt(contender, row, title)) and number >= WARM_UP:
                row.runs.append(run)
                if run.wrong and contender.exact:
                    contest.faults.append(f"{title}: {contender.name}: {run.wrong} rows of the answer are wrong")
    return contest


def _attempt(contender: Contender, row: Row, title: str) -> Run | None:
    try:
        run = contender.run()
    except Failed as failure:
        if contender.ours:
            raise
        row.failure = str(failure)
        return None
    print(f"{title}: {contender.name}: {run.seconds:.2f} s", file=sys.stderr, flush=True)
    return run


def compare(contest: Contest, ours: str) -> Row | None:
    """Set one of our rows, round by round, beside each rival's; returns the fastest rival."""
    mine = next(row for row in contest.rows if row.name == ours)
    rivals = [row for row in contest.rows if not row.ours and row.runs]
    for row in rivals:
        row.ratios = [own.seconds / other.seconds for own, other in zip(mine.runs, row.runs, strict=True)]
    contest.ratio = f"{ours} takes"
    return min(rivals, key=lambda row: row.seconds, default=None)
