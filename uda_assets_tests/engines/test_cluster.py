"""The Dask engine over processes of its own: the same bytes as on one machine, whoever dies midway.

The recorded run: ``UDA_TEST_RECORDS=10000000 uv run pytest -n 0 -s -m heavy uda_assets_tests/engines/test_cluster.py``.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uda_assets.basics.errors import ClusterFault, DropUnreadable, UdaError, UsageError
from uda_assets.basics.settings import Settings, load_settings
from uda_assets.contract.reasons import MalformedRecord
from uda_assets.engines import Account, open_engine
from uda_assets.engines.dask import DaskEngine
from uda_assets.lake import Lake, open_lake
from uda_assets.synthetic import GeneratorConfig, generate
from uda_assets_tests.ingest.fast import convert_by, read_slow
from uda_assets_tests.ingest.strategies import hostile_files
from uda_assets_tests.support import chain
from uda_assets_tests.support.chain import verify
from uda_assets_tests.support.cluster import Cluster, cluster_of_processes, in_process_client
from uda_assets_tests.support.places import PROJECT

RECORDS = int(os.environ.get("UDA_TEST_RECORDS", "200000"))
MANY = int(os.environ.get("UDA_TEST_RECORDS", "10000000"))
RESULT = "results/Result_top_n_by_platform.csv"


def settings_for(root: Path, cluster: Cluster | None, **overrides: object) -> Settings:
    engine = {"engine": "dask", "dask_scheduler": cluster.address} if cluster else {"engine": "polars"}
    return load_settings({}, data_root=str(root), threads=2, lock_timeout=0, **engine, **overrides)


def build(chosen: Settings, on_progress: Callable[[int, int], None] | None = None) -> tuple[Lake, Account]:
    lake = open_lake(chosen)
    with open_engine(chosen) as engine:
        engine.on_progress = on_progress
        chain.build(lake, chosen, engine)
        return lake, engine.account()


def deliver(root: Path, records: int, drops: int = 1) -> None:
    for number in range(drops):
        generate(
            root / f"datasets/{number}.csv",
            GeneratorConfig(records=records // drops, malformed_ratio=0.005, duplicate_ratio=0.1, seed=number // 2),
        )


def right_answer(root: Path, anew: Path) -> bytes:
    """What this machine makes of the same drops."""
    (anew / "datasets").mkdir(parents=True)
    for drop in (root / "datasets").iterdir():
        (anew / "datasets" / drop.name).hardlink_to(drop)
    build(settings_for(anew, None))
    return (anew / RESULT).read_bytes()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_of_processes(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def engine() -> Iterator[DaskEngine]:
    with in_process_client() as client:
        yield DaskEngine(client, load_settings({}), range_bytes=100)


@given(data=hostile_files(), range_bytes=st.sampled_from([1, 60, 300]))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_agrees_with_the_reference_reader(engine: DaskEngine, data: bytes, range_bytes: int) -> None:
    engine._range_bytes = range_bytes
    assert convert_by(engine.convert, data) == read_slow(data)


def test_same_bytes_as_one_machine(cluster: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "root"
    deliver(root, RECORDS, drops=3)
    told: list[tuple[int, int]] = []
    lake, account = build(settings_for(root, cluster), lambda done, started: told.append((done, started)))
    assert (root / RESULT).read_bytes() == right_answer(root, tmp_path / "anew")
    verify(lake)
    assert told[-1] == (account.tasks, account.tasks)
    assert account.workers == 2
    assert account.bytes_read > sum(path.stat().st_size for path in (root / "datasets").iterdir())
    # An increment by this machine over what the cluster stored, and a window by the cluster.
    generate(root / "datasets/more.csv", GeneratorConfig(records=1000, seed=9))
    lake, _ = build(settings_for(root, None))
    verify(lake)
    assert (root / RESULT).read_bytes() == right_answer(root, tmp_path / "again")
    boards = []
    for where in (cluster, None):
        chosen = settings_for(root, where, since="2026-01-03", until="2026-01-20", n=7)
        build(chosen)
        boards.append((root / RESULT).read_bytes())
    assert boards[0] == boards[1]


def test_a_large_drop_is_converted_in_parts(cluster: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "root"
    deliver(root, 300_000)
    assert (root / "datasets/0.csv").stat().st_size > 16 << 20
    lake, _ = build(settings_for(root, cluster))
    parts = {Path(file.path).name for file in lake.state().drops["0.csv"].files}
    assert parts == {"part.0.parquet", "part.1.parquet"}
    assert (root / RESULT).read_bytes() == right_answer(root, tmp_path / "anew")
    assert not list((root / "dataset_parquets").rglob("attempts"))


def test_a_cluster_is_started_where_none_is_named(tmp_path: Path) -> None:
    root = tmp_path / "root"
    deliver(root, 5000)
    # A program of its own, as workers import its main module.
    program = (
        "import sys; from uda_assets_tests.engines.test_cluster import build, load_settings\n"
        "if __name__ == '__main__':\n"
        f"    print(build(load_settings({{}}, data_root={str(root)!r}, engine='dask', dask_workers=2,"
        " dask_memory_limit='700MiB'))[1])\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert "engine='dask', workers=2" in done.stdout
    assert done.stderr == ""
    assert (root / RESULT).read_bytes() == right_answer(root, tmp_path / "anew")


def test_errors_of_tasks_arrive_as_they_are(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    good = "user_id,session_id,platform,activity_time,activity_type\n"
    (tmp_path / "datasets/a.csv").write_text(good + "u,s,iOS,never,view\n")
    with pytest.raises(MalformedRecord, match=r"drop 'a.csv', line 2: bad_activity_time"):
        build(settings_for(tmp_path, cluster, error_mode="fail_fast"))
    (tmp_path / "datasets/a.csv").write_text("no,header\n")
    lake, _ = build(settings_for(tmp_path, cluster))
    assert lake.state().rejections["a.csv"].reason == "missing_column"


@pytest.mark.parametrize(
    "error",
    [DropUnreadable("no_header", "none"), MalformedRecord("d", 3, "encoding", "x"), UdaError("a"), ClusterFault("b")],
)
def test_errors_survive_pickling(error: UdaError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_an_unreachable_scheduler_is_named_within_seconds(tmp_path: Path) -> None:
    chosen = load_settings({}, engine="dask", dask_scheduler="tcp://127.0.0.1:1", dask_timeout=1)
    began = time.monotonic()
    with pytest.raises(ClusterFault, match=r"scheduler at tcp://127.0.0.1:1 cannot be reached.*UDA_DASK_SCHEDULER"):
        build(chosen)
    assert time.monotonic() - began < 15


def test_what_is_no_address_is_wrong_use() -> None:
    with (
        pytest.raises(UsageError, match="dask_scheduler cannot be 'carrier://pigeon'"),
        open_engine(load_settings({}, engine="dask", dask_scheduler="carrier://pigeon", dask_timeout=1)),
    ):
        pass


def test_a_cluster_without_workers_is_named(tmp_path: Path) -> None:
    with cluster_of_processes(tmp_path / "cluster", workers=0) as empty:
        chosen = load_settings({}, engine="dask", dask_scheduler=empty.address, dask_timeout=5)
        with pytest.raises(ClusterFault, match=r"no worker for 5 s; start `dask worker tcp://"), open_engine(chosen):
            pass


@pytest.mark.parametrize("after", [1, 6])
def test_a_worker_that_is_killed_changes_nothing(after: int, tmp_path: Path) -> None:
    root = tmp_path / "root"
    deliver(root, RECORDS // 4, drops=4)
    with cluster_of_processes(tmp_path / "cluster") as cluster:

        def kill(done: int, started: int) -> None:
            if done == after:
                cluster.workers[0].kill()

        lake, account = build(settings_for(root, cluster, dask_timeout=60), kill)
        assert cluster.workers[0].poll() is not None
        assert account.workers == 1
    verify(lake)
    assert (root / RESULT).read_bytes() == right_answer(root, tmp_path / "anew")
    assert not list((root / ".uda/staging").iterdir())


@pytest.mark.parametrize("after", [1, 6])
def test_a_scheduler_that_is_lost_leaves_nothing_half_committed(after: int, tmp_path: Path) -> None:
    root = tmp_path / "root"
    deliver(root, 20_000)
    build(settings_for(root, None))
    before = (root / RESULT).read_bytes()
    deliver(root, RECORDS // 4, drops=4)
    with cluster_of_processes(tmp_path / "cluster") as cluster:

        def kill(done: int, started: int) -> None:
            if done == after:
                cluster.scheduler.kill()

        with pytest.raises(ClusterFault, match="was lost"):
            build(settings_for(root, cluster, dask_timeout=2), kill)
    assert (root / RESULT).read_bytes() == before
    lake, _ = build(settings_for(root, None))
    verify(lake)
    assert (root / RESULT).read_bytes() == right_answer(root, tmp_path / "anew")


def test_with_polars_nothing_of_dask_is_imported() -> None:
    code = "import sys, uda_assets.pipeline.publishing, uda_assets.definitions; print([m for m in sys.modules if m.split('.')[0] in ('dask', 'distributed')])"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def peaks(cluster: Cluster) -> list[int]:
    """Most memory that each worker had in use so far, in MiB."""
    found = []
    for worker in cluster.workers:
        status = Path(f"/proc/{worker.pid}/status").read_text()
        found.append(next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")))
    return found


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_many_records_within_512_mib_a_worker(tmp_path: Path) -> None:
    root = tmp_path / "root"
    deliver(root, MANY)
    with cluster_of_processes(tmp_path / "cluster", memory_limit="512MiB") as cluster:
        began = time.monotonic()
        lake, account = build(settings_for(root, cluster))
        seconds, found = time.monotonic() - began, peaks(cluster)
    print(f"\n{MANY} records: {seconds:.1f} s, peaks {found} MiB, {account}")
    assert max(found) <= 512
    verify(lake)
    assert (root / RESULT).read_bytes() == right_answer(root, tmp_path / "anew")


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_many_records_with_a_worker_killed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    deliver(root, MANY)
    with cluster_of_processes(tmp_path / "cluster", memory_limit="1GiB") as cluster:
        killer = threading.Timer(4, cluster.workers[0].kill)
        killer.start()
        lake, _ = build(settings_for(root, cluster, dask_timeout=60))
        killer.cancel()
        assert cluster.workers[0].poll() is not None
    verify(lake)
    assert (root / RESULT).read_bytes() == right_answer(root, tmp_path / "anew")
