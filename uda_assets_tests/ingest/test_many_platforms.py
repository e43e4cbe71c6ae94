"""Any number of platforms may be kept, whatever the number of files that a process may have open."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from uda_assets.lake import open_lake
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets_tests.support.chain import HEADER, deliver, record, settings_of

PLATFORMS = 300


@pytest.fixture
def few_files() -> Iterator[None]:
    """A process may have fewer files open than there are platforms."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + PLATFORMS // 2, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_files")
def test_more_platforms_than_files_may_be_open(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + "".join(record(f"s{i}", f"p{i % PLATFORMS}") for i in range(3 * PLATFORMS)))
    settings = settings_of(tmp_path, keep_unknown_platforms=True)
    lake = open_lake(settings)
    with open_run(lake, settings) as run:
        report = convert_pending(run)
    assert not report.rejected
    with duckdb.connect() as connection:
        files = str(tmp_path / "dataset_parquets/a.csv.parquet/*/*.parquet")
        query = "SELECT platform, count(*) FROM read_parquet(?, hive_partitioning = true) GROUP BY ALL"
        assert dict(connection.execute(query, [files]).fetchall()) == {f"p{i}": 3 for i in range(PLATFORMS)}
