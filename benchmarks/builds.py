"""A build in one process without Dagster: the steps of the chain, each timed, and its checks.

    python -m benchmarks.builds ROOT --checks

builds what is pending below ROOT and prints the seconds as JSON; a process of its own, so that its memory can be told.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl

from uda_assets.basics.settings import Settings, load_settings
from uda_assets.lake import Lake, open_lake
from uda_assets.lake.integrity import inspect_drops
from uda_assets.pipeline.checks import (
    events_accounted,
    leaderboard_recounted,
    parquet_schema_matches,
    records_accounted,
    session_key_unique,
)
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.merging import merge_sessions
from uda_assets.pipeline.publishing import publish
from uda_assets.warehouse.database import working_database
from uda_assets.warehouse.ranking import Window

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


def build(root: Path, *, checked: bool = True) -> Cost:
    """One run over whatever is pending."""
    settings = load_settings({}, data_root=str(root))
    lake = open_lake(settings)
    with open_run(lake, settings) as run:
        converting = timed(lambda: convert_pending(run))
        merging = timed(lambda: merge_sessions(run))
        publishing = timed(lambda: publish(run))
    checks = timed(lambda: check(lake, settings)) if checked else 0.0
    return Cost(converting, merging, publishing, converting + merging + publishing, checks)


def check(lake: Lake, settings: Settings) -> None:
    """The checks of the chain; all must hold."""
    board = pl.read_parquet(lake.results / "Result_top_n_by_platform.parquet")
    with tempfile.TemporaryDirectory() as spill, working_database(settings, Path(spill)) as connection:
        state = lake.state()
        footers = inspect_drops(lake, state)
        findings = [
            parquet_schema_matches(footers),
            records_accounted(state.drops, footers),
            session_key_unique(lake, connection),
            events_accounted(lake, connection.cursor()),
            leaderboard_recounted(lake, connection.cursor(), board, Window()),
        ]
    assert all(finding.passed for finding in findings), findings


def main() -> None:
    """Build and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--checks", action="store_true")
    options = parser.parse_args()
    print(json.dumps(build(options.root, checked=options.checks)._asdict()))


if __name__ == "__main__":
    main()
