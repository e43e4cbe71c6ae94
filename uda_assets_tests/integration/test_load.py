"""Two writers and eight readers at once: no reader fails, none sees a state that never was.

The recorded run is of three minutes:

    UDA_TEST_SECONDS=180 uv run pytest -n 0 -s -m heavy uda_assets_tests/integration/test_load.py
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from uda_assets_tests.integration.load import FEW, build, deliver, drops_of, read, read_csv, read_warehouse, write

SECONDS = float(os.environ.get("UDA_TEST_SECONDS", "180"))
WRITERS, READERS = ("a", "b"), 8


def load(root: Path, seconds: float) -> None:
    for writer in WRITERS:
        for drop in drops_of(writer):
            deliver(root, drop, 0)
    build(root)
    assert set(read_warehouse(root).values()) == {0}
    # The modules are imported once, by the server from which the ten are forked.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["uda_assets_tests.integration.load"])
    with ProcessPoolExecutor(len(WRITERS) + READERS, mp_context=context) as pool:
        until = time.monotonic() + seconds
        working = [pool.submit(write, root, writer, until) for writer in WRITERS]
        working += [pool.submit(read, root, number, until) for number in range(READERS)]
        told = [one.result(timeout=seconds + 240) for one in working]
    done = sum((Counter(one.done) for one in told), Counter())
    failures = [failure for one in told for failure in one.failures]
    mixed = [fault for one in told for fault in one.mixed]
    reads = done.total() - done["publications"]
    print(
        f"\n{reads} reads, {done['publications']} publications, {len(failures)} failures, {len(mixed)} mixed",
        dict(done),
    )
    assert not failures, failures[:5]
    assert not mixed, mixed[:5]
    assert all(one.done for one in told), "each had a turn"
    build(root)
    last = read_warehouse(root)
    assert last == read_csv(root)
    assert min(last.values()) >= 0
    assert sum(last.values()) >= done["publications"]
    assert FEW > 0


def test_readers_see_what_was_so(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    load(tmp_path, 4)


@pytest.mark.heavy
@pytest.mark.timeout(600 + 2 * SECONDS)
def test_readers_see_what_was_so_for_minutes(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    load(tmp_path, SECONDS)
