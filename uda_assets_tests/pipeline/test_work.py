"""What a build costs, counted and not timed: nothing is read twice unseen, and the limits reach the libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from uda_assets.basics.errors import UsageError
from uda_assets.basics.limits import block_bytes
from uda_assets.basics.settings import Settings, load_settings
from uda_assets.basics.sizes import memory_bytes
from uda_assets.engines.polars import PolarsEngine
from uda_assets.lake import Lake, open_lake
from uda_assets.pipeline import merging
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.merging import merge_sessions
from uda_assets.synthetic import GeneratorConfig, generate
from uda_assets.warehouse.database import working_database
from uda_assets_tests.support.places import PROJECT


def opened(root: Path, **overrides: object) -> tuple[Lake, Settings]:
    settings = load_settings({}, data_root=str(root), **overrides)
    return open_lake(settings), settings


def test_each_byte_is_read_once_by_the_conversion(tmp_path: Path) -> None:
    generate(tmp_path / "datasets/large.csv", GeneratorConfig(records=300_000))
    lake, settings = opened(tmp_path)
    size = (tmp_path / "datasets/large.csv").stat().st_size
    assert size > 2 * block_bytes(settings), "several blocks"
    with open_run(lake, settings) as run:
        work = convert_pending(run).work
    assert (work.drops, work.size, work.rows_written) == (1, size, 300_000)
    assert 1 <= work.passes < 1.02


def test_an_increment_touches_what_it_brings(tmp_path: Path) -> None:
    lake, settings = opened(tmp_path)
    generate(tmp_path / "datasets/history.csv", GeneratorConfig(records=50_000, seed=1))
    with open_run(lake, settings) as run:
        convert_pending(run)
        full = merge_sessions(run)
    generate(tmp_path / "datasets/new.csv", GeneratorConfig(records=500, seed=2, first_session=10**6))
    with open_run(lake, settings) as run:
        report = convert_pending(run)
        merged = merge_sessions(run)
        again = merge_sessions(run)
    assert (report.work.drops, full.rows_read > 40_000) == (1, True)
    assert merged.rows_read == report.converted[0].kept
    # Its sessions are new: none that is known is looked at in full, and little but its own is written.
    assert merged.rows_compared == 0
    assert merged.rows_written < 2 * merged.rows_read
    assert (again.rows_read, again.rows_compared, again.rows_written) == (0, 0, 0)


def test_with_as_many_buckets_as_there_may_be_an_increment_is_still_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_MOST_BUCKETS", 2)
    monkeypatch.setattr(PolarsEngine, "bucket_records", 10)
    rebuilt = []
    for number in range(3):
        lake, settings = opened(tmp_path)
        generate(tmp_path / f"datasets/{number}.csv", GeneratorConfig(records=500, seed=number))
        with open_run(lake, settings) as run:
            convert_pending(run)
            rebuilt.append(merge_sessions(run).rebuilt)
    assert rebuilt == [True, False, False]


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GiB", 2**30), ("512 MB", 512 * 10**6), ("1.5g", 1_500_000_000), ("64KiB", 65536), ("1000", 1000)],
)
def test_memory_sizes(text: str, size: int) -> None:
    assert memory_bytes(text) == size


@pytest.mark.parametrize("text", ["much", "", "-1GB", "1XB"])
def test_what_is_no_memory_size_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="memory_limit cannot be"):
        memory_bytes(text)


def test_little_memory_makes_small_blocks() -> None:
    sizes = [block_bytes(load_settings({}, memory_limit=text, threads=2)) for text in ("4GiB", "48MiB", "1MiB")]
    assert sizes == [4 << 20, 2 << 20, 1 << 18]


def test_limits_reach_duckdb_and_pyarrow(tmp_path: Path) -> None:
    before = pa.cpu_count()
    try:
        _, settings = opened(tmp_path, threads=3, memory_limit="300MiB")
        with working_database(settings, tmp_path / "spill") as connection:
            query = "SELECT current_setting('threads'), current_setting('memory_limit')"
            assert connection.execute(query).fetchall() == [(3, "300.0 MiB")]
        assert pa.cpu_count() == 3
    finally:
        pa.set_cpu_count(before)


@pytest.mark.parametrize("module", ["uda_assets.definitions", "uda_assets.cli"])
def test_threads_reach_polars(module: str) -> None:
    code = f"import sys, {module}; from uda_assets.cli import run; run(['drops', '--data-root', sys.argv[1]]); " \
           "import polars; print(polars.thread_pool_size())"  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "POLARS_MAX_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(PROJECT / "data")],
        env=environment | {"UDA_THREADS": "3"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "3"


def test_nothing_is_left_of_what_was_spilled(tmp_path: Path) -> None:
    generate(tmp_path / "datasets/drop.csv", GeneratorConfig(records=200_000))
    lake, settings = opened(tmp_path, memory_limit="64MiB")
    with open_run(lake, settings) as run:
        convert_pending(run)
        merge_sessions(run)
    with lake.scratch() as spill:
        assert spill.is_relative_to(tmp_path)
        (spill / "run").touch()
    directories = [path for path in (tmp_path / ".uda").iterdir() if path.is_dir() and path.name != "states"]
    assert not [path for path in directories if list(path.iterdir())]
