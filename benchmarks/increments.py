"""What a 1% drop, and a correction of it, cost beside a full build of the same data: one run, one table.

    uv run python -m benchmarks.increments --records 10000000

Everything runs in this process, without Dagster: catalogue, conversion, sessions, publishing; the checks of the chain
are timed beside it. At the end all is built anew in another data root, and the Result CSVs must be the same bytes.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl

from uda_assets.build import convert_pending, open_lake, platform_table, publish_merged
from uda_assets.database import working_database
from uda_assets.footers import read_footers
from uda_assets.lake import Lake
from uda_assets.quality import (
    events_accounted,
    leaderboard_recounted,
    parquet_schema_matches,
    records_accounted,
    session_key_unique,
)
from uda_assets.ranking import Window
from uda_assets.sessions import merge_sessions
from uda_assets.settings import Settings, load_settings
from uda_assets.synthetic import GeneratorConfig, generate

RESULT = "results/Result_top_n_by_platform.csv"


class Cost(NamedTuple):
    """Seconds of one build: of its steps, of all, and of the checks."""

    convert: float
    merge: float
    publish: float
    work: float
    checks: float


def timed(action: Callable[[], object]) -> float:
    """Seconds that something takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def build(root: Path) -> Cost:
    """One run over whatever is pending."""
    settings = load_settings({}, data_root=str(root))
    lake, platforms = open_lake(settings), platform_table(settings)
    with lake.writing(0):
        convert = timed(lambda: convert_pending(lake, settings, platforms))
        merge = timed(lambda: merge_sessions(lake, settings))
        publish = timed(lambda: publish_merged(lake, settings, platforms))
    return Cost(convert, merge, publish, convert + merge + publish, timed(lambda: check(lake, settings)))


def check(lake: Lake, settings: Settings) -> None:
    """The checks of the chain; all must hold."""
    board = pl.read_parquet(lake.results / "Result_top_n_by_platform.parquet")
    with tempfile.TemporaryDirectory() as spill, working_database(settings, Path(spill)) as connection:
        manifests = lake.manifests()
        footers = read_footers(lake, manifests)
        findings = [
            parquet_schema_matches(footers),
            records_accounted(manifests, footers),
            session_key_unique(lake, connection),
            events_accounted(lake, connection.cursor()),
            leaderboard_recounted(lake, connection.cursor(), board, Window()),
        ]
    assert all(finding.passed for finding in findings), findings


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--work", type=Path, help="where to put the data; default: a temporary directory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as directory:
        root = Path(directory) / "data"
        drop = root / "datasets/one-percent.csv"
        generate(root / "datasets/history.csv", GeneratorConfig(records=options.records, seed=1))
        costs = {"full build": build(root)}
        generate(drop, GeneratorConfig(records=options.records // 100, seed=2))
        costs["a 1% drop"] = build(root)
        generate(drop, GeneratorConfig(records=options.records // 100, seed=3))
        costs["a correction of it"] = build(root)
        costs["nothing new"] = build(root)
        anew = Path(directory) / "anew"
        anew.mkdir()
        shutil.move(root / "datasets", anew / "datasets")
        build(anew)
        same = (root / RESULT).read_bytes() == (anew / RESULT).read_bytes()
    report(options.records, costs, same=same)


def report(records: int, costs: dict[str, Cost], *, same: bool) -> None:
    """Print the table."""
    full = costs["full build"]
    print(f"{records} records, {os.cpu_count()} cores; seconds, and the share of the full build's work")
    print("| | conversion | sessions | publishing | work | of the full build | checks |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, cost in costs.items():
        cells = [f"{seconds:.2f}" for seconds in cost]
        cells.insert(4, f"{cost.work / full.work:.1%}")
        print(f"| {name} | {' | '.join(cells)} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"Result CSV the same bytes as when all is built anew: {same}. Peak memory of the process: {peak:.0f} MiB.")


if __name__ == "__main__":
    main()
