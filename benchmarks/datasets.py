"""The data: files of our generator and their right answers, made once for each choice of parameters and kept."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import PROJECT, measure, module

Board = list[tuple[str, str, int]]
"""Rows of a leaderboard: platform, user, sessions."""

MALFORMED = 0.005
"""Share of malformed records in the files that have any."""


class Dataset(NamedTuple):
    """A file of activity: how many records, in which order, whether some are malformed, and which shape they have."""

    directory: Path
    records: int
    shuffled: bool
    malformed: bool
    visits: bool = False

    @property
    def file(self) -> Path:
        """The CSV file."""
        return self.directory / "activity.csv"

    @property
    def title(self) -> str:
        """What it is, in words."""
        order = "shuffled" if self.shuffled else "in order of time"
        shape = "visits, " if self.visits else ""
        return f"{shape}{size_text(self.records)} records {order}, {'0.5% malformed' if self.malformed else 'clean'}"

    def board(self, n: int = 50) -> Board:
        """The right leaderboard: the generator's own account, not a reading of the file."""
        return _true_board(self.directory / "session_counts.csv", n)


@lru_cache
def _true_board(counts: Path, n: int) -> Board:
    taken: Counter[str] = Counter()
    board: Board = []
    with counts.open(encoding="utf-8", newline="") as file:
        for platform, user, sessions in islice(csv.reader(file), 1, None):
            taken[platform] += 1
            if taken[platform] <= n:
                board.append((platform, user, int(sessions)))
    return board


def size_text(records: int) -> str:
    """A number of records, short: 10M."""
    for unit, name in ((10**6, "M"), (10**3, "k")):
        if records >= unit and records % unit == 0:
            return f"{records // unit}{name}"
    return str(records)


def dataset(
    work: Path, records: int, *, shuffled: bool = False, malformed: bool = False, visits: bool = False
) -> Dataset:
    """The file for these parameters, made where it is not there yet; another generator makes other files.

    Its records are those of our generator, or ``visits``, which have another shape.
    """
    sources = [PROJECT / "benchmarks/visits.py"] if visits else sorted((PROJECT / "uda_assets/synthetic").glob("*.py"))
    maker = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]
    name = f"{records}-{'shuffled' if shuffled else 'ordered'}-{'malformed' if malformed else 'clean'}-{maker}"
    found = Dataset(work / "datasets" / f"{'visits-' * visits}{name}", records, shuffled, malformed, visits)
    # The file appears under its name after its truth, and when it is complete.
    if not found.file.exists():
        measure(generator(found.file, found, truth=found.directory))
    return found


def generator(target: Path, wanted: Dataset, *, truth: Path | None = None) -> list[str]:
    """The command that generates a file like ``wanted``."""
    options: list[object] = ["--n", wanted.records, "--seed", 1, "--malformed-ratio", MALFORMED * wanted.malformed]
    options += ["--shuffled"] if wanted.shuffled else []
    options += ["--truth", truth] if truth else []
    if wanted.visits:
        return module("benchmarks.visits", target, *options)
    return module("uda_assets", "generator", "--filepath", target, *options)


def read_board(path: Path) -> Board:
    """The leaderboard in a CSV file, however its fields are quoted."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(platform, user, int(sessions)) for platform, user, sessions in list(csv.reader(file))[1:]]


def wrong_rows(found: Board, right: Board) -> int:
    """How many rows of the right leaderboard are not found; at least 1 where anything differs, such as the order."""
    missing = (Counter(right) - Counter(found)).total()
    return missing or int(found != right)
