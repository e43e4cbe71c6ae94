"""A data root in a bucket, on a real S3 API: the same bytes as in a directory, whatever happens to writers."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
import s3fs

from uda_assets.build import arrivals, convert_pending, forget, platform_table, publish_committed
from uda_assets.engines.dask import DaskEngine
from uda_assets.errors import UdaError
from uda_assets.footers import read_footers
from uda_assets.lake import Lake, open_lake
from uda_assets.quality import events_accounted, records_accounted, session_key_unique
from uda_assets.settings import Settings, load_settings
from uda_assets.storage import lease
from uda_assets_tests import kernel
from uda_assets_tests.cluster import in_process_client
from uda_assets_tests.kernel import HEADER, dying, record
from uda_assets_tests.s3_server import CREDENTIALS, client, new_bucket, s3_server

RESULT = "results/Result_top_n_by_platform.csv"
DROPS = {
    "a.csv": HEADER + record("s1") + record("s2", "web") + "broken\n" + record("s1"),
    "sub/b [x]*.csv": HEADER + record("s1") + record("s3", user="u2") + record("s4", "tv"),
    "d 'ü'.csv": HEADER + record("s5", user="u2"),
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as address, pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield address


class Root:
    """A data root in a bucket of its own."""

    def __init__(self, endpoint: str) -> None:
        self.files: s3fs.S3FileSystem = client(endpoint)
        self.base = f"{new_bucket(endpoint)}/some where/lake"
        self.endpoint = endpoint

    def settings(self, **overrides: Any) -> Settings:
        given = {"data_root": f"s3://{self.base}", "s3_endpoint": self.endpoint, "threads": 2, "lock_timeout": 30}
        return load_settings({}, **(given | overrides))

    def lake(self) -> Lake:
        return open_lake(self.settings())

    def deliver(self, drop: str, content: str | bytes) -> None:
        self.files.pipe_file(f"{self.base}/datasets/{drop}", content.encode() if isinstance(content, str) else content)

    def read(self, path: str) -> bytes:
        content: bytes = self.files.cat_file(f"{self.base}/{path}")
        return content

    def names(self) -> set[str]:
        return {name.removeprefix(f"{self.base}/") for name in self.files.find(self.base)}

    def run(self, **overrides: Any) -> list[str]:
        settings = self.settings(**overrides)
        lake, platforms = open_lake(settings), platform_table(settings)
        with lake.writing(settings.lock_timeout):
            report = convert_pending(lake, settings, platforms)
            publish_committed(lake, settings, platforms)
        return [made.drop for made in report.converted]

    def verify(self) -> None:
        lake = self.lake()
        manifests = lake.manifests()
        assert records_accounted(manifests, read_footers(lake, manifests)).passed
        for check in (session_key_unique, events_accounted):
            with duckdb.connect() as connection:
                connection.register_filesystem(self.files)
                finding = check(lake, connection)
            assert finding.passed, finding


@pytest.fixture
def root(endpoint: str) -> Root:
    return Root(endpoint)


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SECONDS", 1.5)


def in_a_directory(path: Path, steps: list[dict[str, str]]) -> bytes:
    """What the same deliveries give in a directory."""
    for drops in steps:
        for drop, content in drops.items():
            kernel.deliver(path, drop, content)
        kernel.run(path)
    return (path / RESULT).read_bytes()


def test_build_increment_and_correction_give_the_bytes_of_a_directory(root: Root, tmp_path: Path) -> None:
    increment = {"later/e.csv": HEADER + record("s6") + record("s2", "web", "u3")}
    correction = {"a.csv": HEADER + record("s9", "web") + record("s1")}
    steps = [DROPS, increment, correction]
    for number, drops in enumerate(steps, start=1):
        for drop, content in drops.items():
            root.deliver(drop, content)
        assert sorted(root.run()) == sorted(drops)
        assert root.read(RESULT) == in_a_directory(tmp_path / str(number), steps[:number])
        root.verify()
    assert root.run() == [], "nothing is converted twice"

    local = tmp_path / "uda.duckdb"
    root.files.get_file(f"{root.base}/uda.duckdb", str(local))
    with duckdb.connect(local, read_only=True) as warehouse:
        warehouse.register_filesystem(root.files)
        assert warehouse.execute('SELECT "drop", line, reason FROM quarantine ORDER BY ALL').fetchall() == [
            ("sub/b [x]*.csv", 4, "unknown_platform")
        ]
        assert warehouse.execute("SELECT sum(events) FROM sessions").fetchall() == [(7,)]

    forget(root.lake(), root.settings(), "later/e.csv")
    forget(open_lake(kernel.settings_of(tmp_path / "3")), kernel.settings_of(tmp_path / "3"), "later/e.csv")
    assert root.read(RESULT) == (tmp_path / "3" / RESULT).read_bytes()
    assert not any("later/e.csv" in name for name in root.names() if not name.startswith("datasets/"))


def test_a_cluster_gives_the_same_bytes_on_a_bucket(root: Root, tmp_path: Path) -> None:
    lines = [record(f"s{number % 900}", user=f"u{number % 70}") for number in range(4_000)]
    drops = DROPS | {"large.csv": HEADER + "".join(lines) + "broken\n" + record("last")}
    increment = {"a.csv": HEADER + record("s9", "web"), "e.csv": HEADER + record("s6")}
    settings = root.settings(buckets=2)
    platforms = platform_table(settings)
    with in_process_client() as client:
        engine = DaskEngine(client, settings, range_bytes=40_000)
        for number, delivered in enumerate((drops, increment), start=1):
            for drop, content in delivered.items():
                root.deliver(drop, content)
            lake = open_lake(settings)
            with lake.writing(30):
                convert_pending(lake, settings, platforms, engine=engine)
                publish_committed(lake, settings, platforms, engine)
            assert root.read(RESULT) == in_a_directory(tmp_path / str(number), [drops, increment][:number])
            root.verify()
    manifest = root.lake().manifests()["large.csv"]
    assert len(manifest.files) > 1, "it was converted in parts"
    assert not [name for name in root.names() if "/staging/" in name or "/attempts/" in name]
    (fault,) = [row for row in json.loads(uda(root, "quarantine", "--format", "json").stdout) if row["raw"] == "broken"]
    assert (fault["drop"], fault["line"]) == ("large.csv", 4_002)


def test_what_is_replaced_is_removed(root: Root) -> None:
    root.deliver("a.csv", DROPS["a.csv"])
    root.run()
    before = {name for name in root.names() if name.startswith(("dataset_parquets/", "quarantine/"))}
    root.deliver("a.csv", HEADER + record("s7"))
    root.run()
    after = {name for name in root.names() if name.startswith(("dataset_parquets/", "quarantine/"))}
    (manifest,) = root.lake().manifests().values()
    named = {f"dataset_parquets/a.csv.parquet/{file.path}" for file in manifest.files}
    named |= {f"dataset_parquets/a.csv.parquet/{name}" for name in ("_manifest.json", "_metadata", "_common_metadata")}
    assert after == named | {f"quarantine/{manifest.quarantine}"}
    assert not {name for name in before & after if name.endswith(".parquet")}, "no name is used twice"


def test_compressed_large_and_empty_objects(root: Root, tmp_path: Path) -> None:
    import gzip

    lines = [record(f"s{number}", user=f"u{number % 7}") for number in range(40_000)]
    drops = {"large.csv": HEADER + "".join(lines), "empty.csv": "", "head.csv": HEADER}
    for drop, content in drops.items():
        root.deliver(drop, content)
    root.deliver("packed.csv.gz", gzip.compress((HEADER + record("z")).encode()))
    root.deliver("half.csv.part", HEADER + record("no"))
    root.deliver(".hidden/x.csv", HEADER + record("no"))
    root.run(memory_limit="64MiB")
    entries = {made.drop: made.kept for made in root.lake().manifests().values()}
    assert entries == {"large.csv": 40_000, "head.csv": 0, "packed.csv.gz": 1}
    assert "empty.csv" in root.lake().ledger().rejections
    root.verify()
    expected = in_a_directory(tmp_path, [drops | {"packed.csv": HEADER + record("z")}])
    assert root.read(RESULT) == expected


def test_the_sensor_tells_arrivals_by_listing_alone(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = root.settings(settle_seconds=0)
    for number in range(5):
        root.deliver(f"{number}.csv", HEADER + record(f"s{number}"))
    assert arrivals(settings).pending == [f"{number}.csv" for number in range(5)]
    root.run()
    found = arrivals(settings)
    assert (found.pending, found.unpublished) == ([], False)
    root.deliver("3.csv", HEADER + record("other"))
    requests: list[str] = []
    call = s3fs.S3FileSystem._call_s3

    async def counted(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        requests.append(method)
        return await call(self, method, *args, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    assert arrivals(settings).pending == ["3.csv"]
    assert "get_object" not in requests or len([name for name in requests if name == "get_object"]) <= 2, requests


# UDA_TEST_MOMENTS=1 dies at every moment that there is.
@pytest.mark.parametrize("moments", range(1, 46, int(os.environ.get("UDA_TEST_MOMENTS", "15"))))
def test_a_writer_that_dies_anywhere_leaves_what_the_next_completes(
    endpoint: str, tmp_path: Path, moments: int, short_lease: None
) -> None:
    root = Root(endpoint)
    root.deliver("a.csv", DROPS["a.csv"])
    root.run()
    for drop, content in (DROPS | {"a.csv": HEADER + record("s8")}).items():
        root.deliver(drop, content)
    if dying(moments, root.run):
        lake = root.lake()
        assert records_accounted(lake.manifests(), read_footers(lake, lake.manifests())).passed
    root.run()
    root.verify()
    assert root.read(RESULT) == in_a_directory(tmp_path, [DROPS, {"a.csv": HEADER + record("s8")}])
    assert not [name for name in root.names() if "/staging/" in name]


def environment(root: Root) -> dict[str, str]:
    """What a program needs to work on a data root."""
    return os.environ | {"UDA_S3_ENDPOINT": root.endpoint, "UDA_DATA_ROOT": f"s3://{root.base}", "UDA_THREADS": "2"}


def uda(root: Root, *arguments: str, **further: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "uda_assets", *arguments]
    return subprocess.run(
        command, env=environment(root) | further, capture_output=True, text=True, timeout=100, check=False
    )


def test_kill_9_midway_then_rerun(root: Root, tmp_path: Path) -> None:
    drops = {f"{number}.csv": HEADER + "".join(record(f"s{number}-{i}", user=f"u{i % 5}") for i in range(300))
             for number in range(12)}  # fmt: skip
    for drop, content in drops.items():
        root.deliver(drop, content)
    victim = subprocess.Popen(
        [sys.executable, "-m", "uda_assets", "converter"], env=environment(root),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while len([name for name in root.names() if name.endswith("_manifest.json")]) < 3:
            assert time.monotonic() < deadline
            assert victim.poll() is None, victim.communicate()
            time.sleep(0.02)
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
    assert len(root.lake().manifests()) < len(drops), "it was killed midway"
    with pytest.raises(UdaError, match=f"written by process {victim.pid} on .*UDA_LOCK_TIMEOUT"):
        root.run(lock_timeout=0.1)
    root.run(lock_timeout=60)
    root.verify()
    assert root.read(RESULT) == in_a_directory(tmp_path, [drops])


def test_of_two_writers_one_waits(root: Root) -> None:
    entered: list[str] = []

    def write(name: str) -> None:
        with root.lake().writing(30):
            entered.append(f"{name} in")
            time.sleep(0.7)
            entered.append(f"{name} out")

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entered in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])


def test_a_writer_that_lost_its_lease_commits_nothing(
    root: Root, short_lease: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.deliver("a.csv", HEADER + record("s1"))
    late, settings = root.lake(), root.settings()
    platforms = platform_table(settings)
    with late.writing(5):
        # As if its machine had slept: nothing is renewed, and another writer takes over.
        guard: Any = late._guard
        guard._ended.set()
        guard._thread.join()
        root.deliver("b.csv", HEADER + record("s2"))
        assert sorted(root.run()) == ["a.csv", "b.csv"]
        root.deliver("c.csv", HEADER + record("s3"))
        with pytest.raises(UdaError, match=r"lost to another writer.*run again"):
            convert_pending(late, settings, platforms)
        with pytest.raises(UdaError, match=r"lost to another writer.*run again"):
            publish_committed(late, settings, platforms)
    assert sorted(root.lake().manifests()) == ["a.csv", "b.csv"]
    root.verify()


def test_a_commit_over_what_another_writer_changed_is_refused(root: Root) -> None:
    root.deliver("a.csv", HEADER + record("s1"))
    root.run()
    one, other = root.lake(), root.lake()
    first, second = one.sessions_manifest(), other.sessions_manifest()
    assert first is not None
    assert second is not None
    one.write_sessions_manifest(first)
    root.files.pipe_file(f"{root.base}/sessions/_manifest.json", root.read("sessions/_manifest.json") + b"\n")
    with pytest.raises(UdaError, match="changed by another writer meanwhile"):
        other.write_sessions_manifest(second)


@contextmanager
def troubled(endpoint: str, trouble: Callable[[int], str | None]) -> Iterator[tuple[str, list[str]]]:
    """A way to the server on which requests, by their number, are refused, lost or slow; and what befell them."""
    told: list[str] = []
    way = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _way(endpoint, trouble, told))
    way.daemon_threads = True
    thread = threading.Thread(target=way.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{way.server_address[1]}", told
    finally:
        way.shutdown()
        way.server_close()
        thread.join()


def _way(  # noqa: C901
    endpoint: str, trouble: Callable[[int], str | None], told: list[str]
) -> type[http.server.BaseHTTPRequestHandler]:
    lock = threading.Lock()
    target = urllib.parse.urlsplit(endpoint).netloc

    class Way(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                what = trouble(len(told))
                told.append(what or "")
            if what == "lost":
                self.close_connection = True
                return
            if what == "refused":
                self._answer(503, {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code></Error>")
                return
            if what == "slow":
                time.sleep(2)
            server = http.client.HTTPConnection(target, timeout=30)
            server.request(self.command, self.path, body, dict(self.headers.items()))
            answer = server.getresponse()
            content = answer.read()
            server.close()
            if what == "answer lost":
                self.close_connection = True
                return
            self._answer(answer.status, dict(answer.getheaders()), content)

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
            for name, value in headers.items():
                if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815

        def log_message(self, *args: Any) -> None:
            del args

    return Way


def test_requests_that_fail_or_take_long_change_nothing(root: Root, tmp_path: Path) -> None:
    for drop, content in DROPS.items():
        root.deliver(drop, content)
    befalls = {3: "refused", 4: "lost", 9: "slow", 27: "lost", 30: "answer lost"}
    with troubled(root.endpoint, lambda number: befalls.get(number % 40)) as (way, told):
        assert len(root.run(s3_endpoint=way)) == len(DROPS)
    assert {"refused", "lost", "slow", "answer lost"} <= set(told)
    root.verify()
    assert root.read(RESULT) == in_a_directory(tmp_path, [DROPS])


def test_a_storage_that_goes_away_midway_is_said_and_the_next_run_completes(root: Root, tmp_path: Path) -> None:
    for drop, content in DROPS.items():
        root.deliver(drop, content)
    with troubled(root.endpoint, lambda number: "lost" if number > 60 else None) as (way, _):
        done = uda(root, "converter", UDA_S3_ENDPOINT=way)
    assert done.returncode == 1
    assert done.stderr.startswith("uda: "), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "the object storage" in done.stderr
    root.run(lock_timeout=60)
    root.verify()
    assert root.read(RESULT) == in_a_directory(tmp_path, [DROPS])


@pytest.mark.parametrize(
    ("data_root", "further", "code", "said"),
    [
        ("s3://no-such-bucket/x", {}, 1, "there is no data root at s3://no-such-bucket/x"),
        ("gs://bucket/x", {}, 2, "is no place for data"),
        ("s3://", {}, 2, "is no place for data"),
        ("s3://bucket/x", {"UDA_S3_ENDPOINT": "http://127.0.0.1:9"}, 1, "Could not connect"),
    ],
)
def test_what_is_wrong_with_a_data_root_is_said_in_one_line(
    root: Root, data_root: str, further: dict[str, str], code: int, said: str
) -> None:
    done = uda(root, "drops", **({"UDA_DATA_ROOT": data_root} | further))
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_the_command_line_works_on_a_bucket(root: Root) -> None:
    root.deliver("a.csv", DROPS["a.csv"])
    root.run()
    root.deliver("b.csv", HEADER + record("s3"))
    ledger = json.loads(uda(root, "drops", "--format", "json").stdout)
    assert [(entry["drop"], entry["status"]) for entry in ledger] == [("a.csv", "committed"), ("b.csv", "pending")]
    malformed = json.loads(uda(root, "quarantine", "--format", "json").stdout)
    assert [(found["drop"], found["line"], found["raw"]) for found in malformed] == [("a.csv", 4, "broken")]
    board = uda(root, "leaderboard", "--format", "csv").stdout
    assert board.encode() == root.read(RESULT)
    assert uda(root, "converter").returncode == 0
    assert uda(root, "forget", "b.csv").returncode == 0
    assert uda(root, "leaderboard", "--format", "csv").stdout == board


def test_the_supplier_delivers_to_directories(root: Root) -> None:
    done = uda(root, "supplier", "--drops", "1")
    assert done.returncode == 2
    assert "delivers to directories, not to s3://" in done.stderr


def test_materialize_and_sensor_on_a_bucket(root: Root, tmp_path: Path) -> None:
    for drop, content in DROPS.items():
        root.deliver(drop, content)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("UDA_S3_ENDPOINT", "UDA_DATA_ROOT", "UDA_THREADS"):
            patch.setenv(name, environment(root)[name])
        from uda_assets.definitions import defs
        from uda_assets.defs.resources import LakeResource

        with dg.DagsterInstance.ephemeral() as instance:
            job = defs.resolve_job_def("leaderboard_job")
            assert job.execute_in_process(instance=instance).success
            assert root.read(RESULT) == in_a_directory(tmp_path, [DROPS])
            context = dg.build_sensor_context(instance, resources={"lake": LakeResource()})
            sensor = defs.get_sensor_def("drop_sensor")
            assert "no drops are pending" in str(sensor.evaluate_tick(context).skip_message)
            root.deliver("late.csv", HEADER + record("s77"))
            time.sleep(3)
            (request,) = sensor.evaluate_tick(context).run_requests or ()
            assert request.tags["uda/drop_names"] == "late.csv"
            assert job.execute_in_process(instance=instance, run_config=request.run_config).success
    root.verify()
    late = {"late.csv": HEADER + record("s77")}
    assert root.read(RESULT) == in_a_directory(tmp_path / "later", [DROPS, late])
