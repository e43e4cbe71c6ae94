"""P5: another N, window or platform after a build, by ``uda leaderboard``.

    python -m benchmarks.lookup leaderboard --n 7 …

runs the command in a process that has imported what it needs, and prints its seconds as JSON: the work alone. What a
user waits for, start-up included, is measured beside it.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.contest import Contender, Contest, Context, Run, Verdict, in_turn
from benchmarks.datasets import Board, Dataset, dataset, read_board, wrong_rows
from benchmarks.processes import measure, module

QUERIES: dict[str, tuple[str, ...]] = {
    "another N": ("--n", "7"),
    "a platform": ("--n", "7", "--platform", "iOS"),
    "a window": ("--n", "7", "--since", "2026-01-10"),
    "a window and a platform": ("--n", "7", "--since", "2026-01-10", "--platform", "iOS"),
}
LIMIT_MS = 100.0
START_UP = "uda --help"

_IMPORTED = ("duckdb", "uda_assets.basics.settings", "uda_assets.warehouse.lookup", "uda_assets.cli.output")


def contests(context: Context) -> Iterator[Contest]:
    """For each size, after a build of it by us and by the DuckDB script, whose answers ours must equal."""
    # Only here: the measured process must not import what it is not asked about.
    from benchmarks import chain

    for records in context.sizes:
        data = dataset(context.work, records)
        chain.ours(data, context.scratch)()
        chain.rival(data, context.scratch)()
        yield lookups(data, context.scratch, context.repeats)


def lookups(data: Dataset, scratch: Path, repeats: int) -> Contest:
    """Each query three times: as a whole process, the work alone, and asked of the script's database."""
    root, database = scratch / "root", scratch / "duckdb/top.duckdb"
    contenders = [Contender(START_UP, lambda: _run(module("uda_assets", "--help")), ours=True)]
    for name, query in QUERIES.items():
        right = _right(data, database, scratch, query)
        ours = ("--data-root", root, "leaderboard", *query, "--output")
        contenders += [
            Contender(f"{name}: process", _asked(module("uda_assets", *ours), right, scratch), ours=True),
            Contender(f"{name}: work alone", _asked(module("benchmarks.lookup", *ours), right, scratch), ours=True),
            Contender(f"{name}: DuckDB script's process", _asked(_script(database), right, scratch, query)),
        ]
    contest = in_turn("P5", f"Another leaderboard after a build, {data.title}", contenders, repeats)
    rows = {row.name: row for row in contest.rows}
    for name in QUERIES:
        work = rows[f"{name}: work alone"]
        promise = f"{data.title}: {name}: at most {LIMIT_MS:.0f} ms of work"
        contest.verdicts.append(Verdict(promise, 1000 * work.seconds, LIMIT_MS, " ms"))
        beyond = 1000 * (rows[f"{name}: process"].seconds - rows[START_UP].seconds)
        contest.notes.append(f"{name}: the process takes {beyond:.0f} ms more than `{START_UP}`, imports included.")
    return contest


def _right(data: Dataset, database: Path, scratch: Path, query: tuple[str, ...]) -> Board:
    """The generator's truth where it knows; of windows it does not, so the script's answer stands for it."""
    if query == ("--n", "7"):
        return data.board(7)
    out = scratch / "right.csv"
    measure(module("benchmarks.peers.duckdb_lookup", database, out, *query))
    return read_board(out)


def _script(database: Path) -> list[str]:
    return module("benchmarks.peers.duckdb_lookup", database)


def _asked(command: list[str], right: Board, scratch: Path, options: tuple[str, ...] = ()) -> Callable[[], Run]:
    out = scratch / "lookup.csv"

    def run() -> Run:
        out.unlink(missing_ok=True)
        found = _run([*command, str(out), *options])
        return found._replace(wrong=wrong_rows(read_board(out), right))

    return run


def _run(command: list[str]) -> Run:
    usage = measure(command)
    inner = usage.told()["work"] if "benchmarks.lookup" in command else usage.seconds
    return Run(inner, usage.cpu, usage.peak)


def main() -> None:
    """Run ``uda`` with the arguments given, and print how long it took."""
    for name in _IMPORTED:
        importlib.import_module(name)
    from uda_assets.cli import run

    began = time.perf_counter()
    code = run(sys.argv[1:])
    print(json.dumps({"work": time.perf_counter() - began}))
    sys.exit(code)


if __name__ == "__main__":
    main()
