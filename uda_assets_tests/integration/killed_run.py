"""A run in a process of its own, which says where it is and may kill itself: what the tests of kills start.

    python -m uda_assets_tests.integration.killed_run '{"fd": 5, "at": "drop: staged", "passes": 2, "forget": []}'

The steps are those of the Dagster assets and their checks, each with the lock for itself; ``"how": "dagster"`` is
`dagster asset materialize` itself. Where the run is, it writes line by line to the file descriptor ``fd``.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import msgspec

from uda_assets.basics import moments
from uda_assets.basics.findings import Finding
from uda_assets.basics.settings import Settings, load_settings
from uda_assets.lake import Lake, open_lake
from uda_assets.lake.integrity import inspect_drops
from uda_assets.pipeline.checks import (
    events_accounted,
    headers_readable,
    leaderboard_recounted,
    parquet_schema_matches,
    records_accounted,
    session_key_unique,
)
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.merging import merge_sessions
from uda_assets.pipeline.publishing import publish
from uda_assets.pipeline.status import drop_ledger, pending, take_inventory
from uda_assets.storage import lease
from uda_assets.warehouse.database import working_database
from uda_assets.warehouse.ranking import Window
from uda_assets_tests.support.chain import forget


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What to do.

    Attributes:
        fd: Where to write what happens; None: nowhere.
        how: ``kernel``, or ``dagster``.
        at, passes: The moment to die at, when it is passed for this many times.
        forget: Drops to forget at the end.
    """

    fd: int | None = None
    how: str = "kernel"
    at: str | None = None
    passes: int = 1
    forget: list[str] = []


def main(orders: Orders) -> None:
    """Carry the orders out."""
    passed: Counter[str] = Counter()

    def tell(line: str) -> None:
        if orders.fd is not None:
            os.write(orders.fd, f"{line}\n".encode())

    def on_moment(moment: str) -> None:
        tell(f"moment {moment}")
        passed[moment] += 1
        if moment == orders.at and passed[moment] >= orders.passes:
            os.kill(os.getpid(), signal.SIGKILL)

    moments.on_moment = on_moment
    # The next run need not wait long for the lease of one that was killed.
    lease.LEASE_SECONDS = 2.0
    tell("phase start")
    if orders.how == "dagster":
        sys.argv = ["dagster", "asset", "materialize", "-m", "uda_assets.definitions", "--select", "+top_n_by_platform"]
        try:
            runpy.run_module("dagster", run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            if ended.code:
                raise
    else:
        run_chain(load_settings(), tell)
    settings = load_settings()
    for drop in orders.forget:
        # A run before this one may have died when it was done with that.
        if open_lake(settings).state().drops.get(drop):
            tell("phase forgetting")
            forget(open_lake(settings), settings, drop)
    tell("phase end")


def run_chain(settings: Settings, tell: Callable[[str], None]) -> None:
    """The steps of the assets in their order, and their checks."""
    lake = open_lake(settings)
    with open_run(lake, settings) as run:
        tell("phase catalogue")
        headers_readable(
            lake, pending(drop_ledger(take_inventory(lake, check_files=True), run.rules)), settings, run.book.suppliers
        )
    with open_run(lake, settings) as run:
        tell("phase conversion")
        convert_pending(run)
    tell("phase checks")
    manifests = lake.state().drops
    footers = inspect_drops(lake, lake.state())
    hold(parquet_schema_matches(footers), records_accounted(manifests, footers))
    with open_run(lake, settings) as run:
        tell("phase sessions")
        merge_sessions(run)
    tell("phase checks")
    with working(lake, settings) as connection:
        hold(session_key_unique(lake, connection), events_accounted(lake, connection))
    with open_run(lake, settings) as run:
        tell("phase publishing")
        published = publish(run)
        with working(lake, settings) as connection:
            hold(leaderboard_recounted(lake, connection, published.leaderboard, Window()))


def working(lake: Lake, settings: Settings) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    """A database for checks."""
    return working_database(settings, Path("unused"), lake.root)


def hold(*findings: Finding) -> None:
    """Blocking checks."""
    assert all(finding.passed for finding in findings), findings


if __name__ == "__main__":
    assert Path.cwd().joinpath("pyproject.toml").exists()
    main(msgspec.json.decode(sys.argv[1], type=Orders))
