"""How contributions reach their units: through files, as the Dask engine does it, beside Dask's own shuffle.

    uv run --group bench python -m benchmarks.exchange --records 10000000 --work DIR

Both start from the same converted part files, aggregate each task's share of them by the same query, bring what belongs
to a unit (a platform and a bucket of its users) together on the same two workers, and count the sessions there. Files:
Parquet below the data root. Shuffle: dask.dataframe's, peer to peer, which keeps Arrow data on the workers' disks.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import dask.dataframe as dd
import duckdb
import pandas as pd
import pyarrow as pa
from distributed import Client

from benchmarks.chain import fresh_root
from benchmarks.contest import Contender, Run, compare, in_turn
from benchmarks.datasets import Dataset, dataset
from benchmarks.report import Report, markdown, this_machine
from uda_assets.basics.limits import Workplace
from uda_assets.basics.settings import Settings, load_settings
from uda_assets.engines.dask import DaskEngine
from uda_assets.lake import open_lake
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.units import PartSource, SplitJob, split
from uda_assets.warehouse.database import parquet_files
from uda_assets_tests.support.cluster import cluster_of_processes

FILES, SHUFFLE = "through files", "Dask's shuffle"
WORKERS = 2
TASKS = 4


class Share(NamedTuple):
    """Part files of one platform that a task reads."""

    platform: int
    sources: list[PartSource]


class Counted(NamedTuple):
    """The sessions and records of a unit."""

    sessions: int
    events: int


def converted(data: Dataset, scratch: Path) -> tuple[Path, list[Share]]:
    """A data root with the file converted, and the shares of its tasks."""
    root = fresh_root(data, scratch)
    settings = load_settings({}, data_root=str(root), threads=WORKERS)
    lake = open_lake(settings)
    with open_run(lake, settings) as run:
        convert_pending(run)
    by_platform: dict[str, list[PartSource]] = defaultdict(list)
    for name, manifest in lake.state().drops.items():
        for file in manifest.files:
            by_platform[file.platform].append(PartSource(lake.parquet_dir(name) / file.path, name))
    shares = [
        Share(number, sources[start::TASKS])
        for number, (_, sources) in enumerate(sorted(by_platform.items()))
        for start in range(min(TASKS, len(sources)))
    ]
    return root, shares


def through_files(client: Client, settings: Settings, shares: list[Share], buckets: int, target: Path) -> list[Counted]:
    """As the engine does it."""
    engine = DaskEngine(client, settings, 0)
    files: dict[tuple[int, int], list[Path]] = defaultdict(list)
    with tempfile.TemporaryDirectory(dir=target) as exchange:
        jobs = [SplitJob(share.sources, buckets, Path(exchange)) for share in shares]
        for share, found in zip(shares, engine.run(split, jobs, target), strict=True):
            for bucket, paths in found.items():
                files[share.platform, bucket] += map(Path, paths)
        return engine.run(_count_files, list(files.values()), target)


def _count_files(paths: list[Path], place: Workplace) -> Counted:
    del place
    with _database() as connection:
        return _count(connection, parquet_files(paths))


def shuffled(client: Client, shares: list[Share], buckets: int) -> list[Counted]:
    """By dask.dataframe."""
    del client  # the default one
    empty = pd.DataFrame({"user_id": "", "session_id": "", "events": 0, "unit": 0}, index=[]).astype(
        {"user_id": "string[pyarrow]", "session_id": "string[pyarrow]", "events": "int64", "unit": "int64"}
    )
    frame = dd.from_map(_contributions, shares, buckets=buckets, meta=empty)  # type: ignore[no-untyped-call]
    units = (max(share.platform for share in shares) + 1) * buckets
    together = frame.shuffle("unit", npartitions=units)
    meta = pd.DataFrame({"sessions": [0], "events": [0]}).iloc[:0]
    counted = together.map_partitions(_count_frame, meta=meta).compute()
    return [Counted(*map(int, row)) for row in counted.itertuples(index=False)]


def _contributions(share: Share, buckets: int) -> pd.DataFrame:
    with _database() as connection:
        query = f"""
            SELECT user_id, session_id, count(*) AS events,
                   {share.platform * buckets} + (hash(hash(user_id)) % {buckets})::BIGINT AS unit
            FROM {parquet_files(source.path for source in share.sources)} GROUP BY user_id, session_id"""
        table: pa.Table = connection.execute(query).to_arrow_table()
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.string(): pd.StringDtype("pyarrow")}.get)
    return frame


def _count_frame(frame: pd.DataFrame) -> pd.DataFrame:
    with _database() as connection:
        connection.register("frame", frame)
        # A partition may hold several units.
        return pd.DataFrame([_count(connection, "frame", "unit, ")])


def _count(connection: duckdb.DuckDBPyConnection, relation: str, unit: str = "") -> Counted:
    query = f"SELECT {unit}user_id, session_id, sum(events) AS events FROM {relation} GROUP BY ALL"
    row = connection.execute(f"SELECT count(*), coalesce(sum(events), 0) FROM ({query})").fetchone()
    assert row
    return Counted(*map(int, row))


@contextmanager
def _database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        yield connection


def timed(exchange: Callable[[], list[Counted]], answers: set[Counted]) -> Callable[[], Run]:
    """One exchange; all must count the same."""

    def run() -> Run:
        began = time.perf_counter()
        counted = exchange()
        seconds = time.perf_counter() - began
        answers.add(Counted(sum(one.sessions for one in counted), sum(one.events for one in counted)))
        return Run(seconds, wrong=len(answers) - 1)

    return run


def main() -> int:
    """Measure and print; 1 where the answers differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--buckets", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3, help="rounds, after one that does not count")
    parser.add_argument("--memory-limit", default="4GiB", help="of each worker")
    parser.add_argument("--work", type=Path, help="where to keep the data for the next time; default: not at all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        data = dataset(work, options.records)
        with (
            tempfile.TemporaryDirectory(dir=work, prefix="scratch-") as directory,
            cluster_of_processes(Path(directory) / "cluster", WORKERS, options.memory_limit) as cluster,
            Client(cluster.address) as client,
        ):
            root, shares = converted(data, Path(directory))
            settings = load_settings({}, data_root=str(root))
            answers: set[Counted] = set()
            files = timed(lambda: through_files(client, settings, shares, options.buckets, root), answers)
            shuffle = timed(lambda: shuffled(client, shares, options.buckets), answers)
            race = in_turn(
                "P8",
                f"Exchange between {WORKERS} workers, {options.buckets} buckets, {data.title}",
                [Contender(FILES, files, ours=True), Contender(SHUFFLE, shuffle)],
                options.repeats,
            )
    compare(race, FILES)
    race.notes.append(
        f"Both count {', '.join(f'{one.sessions:,} sessions of {one.events:,} records' for one in answers)}."
    )
    print(markdown(Report(this_machine(sys.argv[1:]), [race])))
    return int(bool(race.faults))


if __name__ == "__main__":
    sys.exit(main())
