"""P2: the whole chain, from a CSV file to the warehouse, beside a DuckDB script of the same work."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

from benchmarks.builds import RESULT
from benchmarks.contest import Contender, Contest, Context, Run, Verdict, compare, in_turn
from benchmarks.datasets import Dataset, dataset, read_board, wrong_rows
from benchmarks.processes import Usage, measure, module
from uda_assets.storage import RACY_NANOSECONDS

OURS, CHECKED, DAGSTER, RIVAL = "chain in one process", "chain with its checks", "dagster asset materialize", "DuckDB"
LIMIT, DAGSTER_LIMIT = 0.6, 5.0

_DURATION = re.compile(r'Finished execution of step "\w+" in (?:(\d+)m)?([\d.]+)(ms|s)')


def contests(context: Context) -> Iterator[Contest]:
    """A contest for each size, on data in order of time, clean and with malformed records."""
    for records in context.sizes:
        for visits, shuffled, malformed in product((False, True), (False, True), (False, True)):
            data = dataset(context.work, records, shuffled=shuffled, malformed=malformed, visits=visits)
            yield chains(data, context.scratch, context.repeats)


def chains(data: Dataset, scratch: Path, repeats: int) -> Contest:
    """Our chain, with and without its checks and within Dagster, beside the script."""
    contest = in_turn(
        "P2",
        f"Whole chain, warehouse included, {data.title}",
        [
            Contender(OURS, ours(data, scratch), ours=True),
            Contender(RIVAL, rival(data, scratch), exact=not data.malformed),
            Contender(CHECKED, ours(data, scratch, "--checks"), ours=True),
            Contender(DAGSTER, dagster(data, scratch), ours=True),
        ],
        repeats,
    )
    mine, _, checked, whole = contest.rows
    fastest = compare(contest, OURS)
    around = whole.apart("around")
    contest.notes += [
        f"Chain: conversion {mine.apart('convert'):.2f} s, sessions {mine.apart('merge'):.2f} s, publishing "
        f"{mine.apart('publish'):.2f} s; the rest is start-up of Python and imports. Its checks take "
        f"{checked.apart('checks'):.2f} s.",
        f"Of `{DAGSTER}`, the steps take {whole.apart('steps'):.2f} s; start-up and bookkeeping {around:.2f} s.",
    ]
    if fastest:
        promise = f"{data.title}: at most {LIMIT}x the DuckDB script, whole process each"
        contest.verdicts.append(Verdict(promise, statistics.median(fastest.ratios), LIMIT))
    promise = f"{data.title}: start-up and bookkeeping of a Dagster run at most {DAGSTER_LIMIT:.0f} s"
    contest.verdicts.append(Verdict(promise, around, DAGSTER_LIMIT, " s"))
    return contest


def fresh_root(data: Dataset, scratch: Path) -> Path:
    """A data root that holds nothing but the file, by another name of the same bytes, and settled as the sensor waits
    for: what changed a moment ago is hashed a second time.
    """
    root = scratch / "root"
    shutil.rmtree(root, ignore_errors=True)
    (root / "datasets").mkdir(parents=True)
    try:
        os.link(data.file, root / "datasets/activity.csv")
    except OSError:
        shutil.copyfile(data.file, root / "datasets/activity.csv")
    time.sleep(1.2 * RACY_NANOSECONDS / 1e9)
    return root


def ours(data: Dataset, scratch: Path, *options: str) -> Callable[[], Run]:
    """The chain's steps, without Dagster."""

    def run() -> Run:
        root = fresh_root(data, scratch)
        usage = measure(module("benchmarks.builds", root, *options))
        return _answered(usage, root / RESULT, data, usage.told())

    return run


def dagster(data: Dataset, scratch: Path) -> Callable[[], Run]:
    """The command that a user types, on an ephemeral instance; what its steps took is in Dagster's log."""

    def run() -> Run:
        root = fresh_root(data, scratch)
        command = module("dagster", "asset", "materialize", "-m", "uda_assets.definitions")
        environment = {"UDA_DATA_ROOT": str(root), "DAGSTER_DISABLE_TELEMETRY": "1", "COLUMNS": "1000"}
        usage = measure([*command, "--select", "+top_n_by_platform"], environment)
        steps = step_seconds(usage.err + usage.out)
        return _answered(usage, root / RESULT, data, {"steps": steps, "around": usage.seconds - steps})

    return run


def step_seconds(log: str) -> float:
    """Seconds of all steps together, by Dagster's log."""
    found = _DURATION.findall(log)
    assert found, "Dagster's log names no steps"
    return sum(60 * int(minutes or 0) + float(number) / {"ms": 1000, "s": 1}[unit] for minutes, number, unit in found)


def rival(data: Dataset, scratch: Path) -> Callable[[], Run]:
    """The DuckDB script, into an empty directory."""

    def run() -> Run:
        target = scratch / "duckdb"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        out = target / "top.csv"
        return _answered(measure(module("benchmarks.peers.duckdb_chain", data.file, out)), out, data, {})

    return run


def _answered(usage: Usage, result: Path, data: Dataset, apart: dict[str, float]) -> Run:
    return Run(usage.seconds, usage.cpu, usage.peak, wrong_rows(read_board(result), data.board()), apart)
