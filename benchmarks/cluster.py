"""Our chain on a Dask cluster of two worker processes beside dask.dataframe on the same: one run, one table.

    uv run python -m benchmarks.cluster --records 10000000 --work DIR

Ours is all of it, from the CSV file to the published leaderboard with Parquet, quarantine, sessions and warehouse;
theirs is read_csv, drop_duplicates, groupby and the top 50, and nothing else. Both are whole processes that connect to
the same scheduler and workers, on loopback, in turn, after a round that does not count. The last row is our chain by
the engine of this machine with two threads. All answers must be the generator's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.builds import RESULT
from benchmarks.chain import fresh_root
from benchmarks.contest import Contender, Contest, Run, Verdict, compare, in_turn
from benchmarks.datasets import Dataset, dataset, read_board, wrong_rows
from benchmarks.processes import measure, module
from benchmarks.report import Report, markdown, this_machine

OURS, ALONE = "our chain, engine dask", "our chain, engine polars"
PLAIN, FAST = "dask.dataframe, leaderboard alone", "the same by pyarrow's read_csv"
LIMIT = 0.5
WORKERS = 2


def contest(data: Dataset, scratch: Path, address: str, repeats: int) -> Contest:
    """All three, in turn."""
    race = in_turn(
        "P8",
        f"Cluster of {WORKERS} workers, {data.title}",
        [
            Contender(OURS, ours(data, scratch, "dask", address), ours=True),
            Contender(PLAIN, theirs(data, scratch, address, "c"), exact=not data.malformed),
            Contender(FAST, theirs(data, scratch, address, "pyarrow"), exact=not data.malformed),
            Contender(ALONE, ours(data, scratch, "polars", address), ours=True),
        ],
        repeats,
    )
    mine, *_, alone = race.rows
    compare(race, OURS)
    for row in race.rows:
        if row.ratios:
            promise = f"{data.title}: at most {LIMIT}x {row.name}, on the same workers"
            race.verdicts.append(Verdict(promise, statistics.median(row.ratios), LIMIT))
    overhead = statistics.median(own.seconds / other.seconds for own, other in zip(mine.runs, alone.runs, strict=True))
    race.notes += [
        f"{OURS}: conversion {mine.apart('convert'):.2f} s, the rest {mine.apart('publish'):.2f} s, opening "
        f"{mine.apart('open'):.2f} s; by polars {alone.apart('convert'):.2f} s and {alone.apart('publish'):.2f} s.",
        f"The cluster takes {overhead:.2f}x the time of one process with {WORKERS} threads on the same processors.",
        "Memory is that of the process that asks, not of the workers.",
    ]
    return race


def ours(data: Dataset, scratch: Path, engine: str, address: str) -> Callable[[], Run]:
    """The chain's steps, without Dagster."""

    def run() -> Run:
        root = fresh_root(data, scratch)
        usage = measure(module("benchmarks.cluster", "--build", root, "--engine", engine, "--scheduler", address))
        wrong = wrong_rows(read_board(root / RESULT), data.board())
        return Run(usage.seconds, usage.cpu, usage.peak, wrong, usage.told())

    return run


def theirs(data: Dataset, scratch: Path, address: str, engine: str) -> Callable[[], Run]:
    """The peer."""

    def run() -> Run:
        out = scratch / "dask.csv"
        usage = measure(module("benchmarks.peers.dask_leaderboard", data.file, out, address, engine))
        return Run(usage.seconds, usage.cpu, usage.peak, wrong_rows(read_board(out), data.board()))

    return run


def build(root: Path, engine: str, address: str) -> dict[str, float]:
    """One build of ours, and the seconds of its parts."""
    from uda_assets.basics.settings import load_settings
    from uda_assets.lake import open_lake
    from uda_assets.pipeline.context import open_run
    from uda_assets.pipeline.conversion import convert_pending
    from uda_assets.pipeline.publishing import publish_committed

    settings = load_settings({}, data_root=str(root), engine=engine, dask_scheduler=address, threads=WORKERS)
    lake = open_lake(settings)
    began = time.perf_counter()
    with open_run(lake, settings) as run:
        ready = time.perf_counter()
        convert_pending(run)
        converted = time.perf_counter()
        publish_committed(run)
        published = time.perf_counter()
    return {"open": ready - began, "convert": converted - ready, "publish": published - converted}


def main() -> int:
    """Measure and print; 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3, help="rounds, after one that does not count")
    parser.add_argument("--malformed", action="store_true", help="with 0.5%% malformed records")
    parser.add_argument("--memory-limit", default="4GiB", help="of each worker")
    parser.add_argument("--work", type=Path, help="where to keep the data for the next time; default: not at all")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--scheduler", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        print(json.dumps(build(options.build, options.engine, options.scheduler)))
        return 0
    from uda_assets_tests.support.cluster import cluster_of_processes

    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        data = dataset(work, options.records, malformed=options.malformed)
        with (
            tempfile.TemporaryDirectory(dir=work, prefix="scratch-") as scratch,
            cluster_of_processes(Path(scratch) / "cluster", WORKERS, options.memory_limit) as cluster,
        ):
            race = contest(data, Path(scratch), cluster.address, options.repeats)
    print(markdown(Report(this_machine(sys.argv[1:]), [race])))
    return int(bool(race.faults))


if __name__ == "__main__":
    sys.exit(main())
