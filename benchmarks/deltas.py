"""P3: a 1% drop and its correction beside the full build, by :mod:`benchmarks.increments`."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.contest import Contest, Context, Row, Run, Verdict
from benchmarks.datasets import size_text
from benchmarks.processes import measure, module

FULL, DROP, CORRECTION = "full build", "a 1% drop", "a correction of it"
LARGE = 10**8


def contests(context: Context) -> Iterator[Contest]:
    """For each size; a repetition is a process that builds, adds and corrects, and builds all anew to compare."""
    for records in context.sizes:
        yield increments(context, records)


def increments(context: Context, records: int) -> Contest:
    """Ratios are of the work of the full build in the same process."""
    contest = Contest("P3", f"Increments, {size_text(records)} records", [], ratio="of the full build's work")
    rows: dict[str, Row] = {}
    for _ in range(context.repeats):
        usage = measure(module("benchmarks.increments", "--records", records, "--work", context.scratch, "--json"))
        told = usage.told()
        if not told["same"]:
            contest.faults.append(f"{contest.title}: not the same bytes as when all is built anew")
        for name, cost in told["costs"].items():
            row = rows.setdefault(name, Row(name, ours=True))
            row.runs.append(Run(cost["work"], apart=cost))
            row.ratios.append(cost["work"] / told["costs"][FULL]["work"])
    contest.rows = list(rows.values())
    for row in contest.rows:
        parts = (f"{part} {row.apart(part):.2f} s" for part in ("convert", "merge", "publish", "checks"))
        contest.notes.append(f"{row.name}: {', '.join(parts)}.")
    contest.notes.append("Result CSV the same bytes as when all is built anew.")
    # The smaller share is promised where the fixed parts weigh less.
    limit = 0.03 if records >= LARGE else 0.1
    for name, share in ((DROP, limit), (CORRECTION, 2 * limit)):
        promise = f"{size_text(records)}: {name} at most {share:.0%} of the full build's work"
        contest.verdicts.append(Verdict(promise, 100 * statistics.median(rows[name].ratios), 100 * share, "%"))
    return contest
