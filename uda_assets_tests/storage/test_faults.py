"""A data root in a bucket: whatever happens to writers and requests, the next run gives the right result."""

from __future__ import annotations

import http.client
import http.server
import os
import re
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

import msgspec
import pytest

from uda_assets.basics.errors import UdaError
from uda_assets.lake import State
from uda_assets.lake.integrity import inspect_drops
from uda_assets.pipeline.checks import records_accounted
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.publishing import publish_committed
from uda_assets.pipeline.status import waiting
from uda_assets.pipeline.verification import verify
from uda_assets.storage import Location
from uda_assets.storage.bucket import Bucket
from uda_assets.storage.lease import root_in
from uda_assets_tests.storage.root import DROPS, RESULT, Root, environment, in_a_directory, uda
from uda_assets_tests.support import chain
from uda_assets_tests.support.chain import HEADER, dying, record


# UDA_TEST_MOMENTS=1 lets the writer die at every moment.
@pytest.mark.parametrize("moments", range(1, 47, int(os.environ.get("UDA_TEST_MOMENTS", "16"))))
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
        assert records_accounted(lake.state().drops, inspect_drops(lake, lake.state())).passed
    root.run()
    root.verify()
    assert root.read(RESULT) == in_a_directory(tmp_path, [DROPS, {"a.csv": HEADER + record("s8")}])
    assert not root.debris()


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
        while len([name for name in root.names() if "/part." in name]) < 3:
            assert time.monotonic() < deadline
            assert victim.poll() is None, victim.communicate()
            time.sleep(0.02)
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
    assert len(root.lake().state().drops) < len(drops), "it was killed midway"
    with pytest.raises(UdaError, match=f"written by process {victim.pid} on .*UDA_LOCK_TIMEOUT"):
        root.run(lock_timeout=0.1)
    root.run(lock_timeout=60)
    root.verify()
    assert root.read(RESULT) == in_a_directory(tmp_path, [drops])
    assert not root.debris()


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
    with chain.running(late, msgspec.structs.replace(settings, lock_timeout=5.0)) as run:
        # The lease is no longer renewed, as if the machine slept, and another writer takes over.
        hold: Any = late.access.hold
        hold._ended.set()
        hold._thread.join()
        root.deliver("b.csv", HEADER + record("s2"))
        assert sorted(root.run()) == ["a.csv", "b.csv"]
        root.deliver("c.csv", HEADER + record("s3"))
        with pytest.raises(UdaError, match=r"lost to another writer.*run again"):
            convert_pending(run)
        with pytest.raises(UdaError, match=r"lost to another writer.*run again"):
            publish_committed(run)
    assert sorted(root.lake().state().drops) == ["a.csv", "b.csv"]
    root.verify()


def test_a_commit_that_arrives_after_the_lease_ran_out_is_refused(
    root: Root, tmp_path: Path, short_lease: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, correction = HEADER + record("s1") + record("s2", "web"), HEADER + record("s9") + record("s8", "web")
    root.deliver("a.csv", first)
    assert root.run() == ["a.csv"]
    before = root.lake().state()
    root.deliver("a.csv", correction)
    waits, goes_on, failures = threading.Event(), threading.Event(), list[UdaError]()
    swap = Bucket.swap

    def held_back(self: Bucket, path: Location, content: bytes, tag: str | None) -> str:
        if threading.current_thread() is late and _names_new_drops(root, content, before):
            waits.set()
            assert goes_on.wait(60)
        return swap(self, path, content, tag)

    def run() -> None:
        try:
            root.run()
        except UdaError as error:
            failures.append(error)

    monkeypatch.setattr(Bucket, "swap", held_back)
    late = threading.Thread(target=run)
    late.start()
    try:
        assert waits.wait(60), "the first writer has converted the correction"
        # It stalls in the put of the root, and its lease is not renewed meanwhile. The correction is taken back.
        root.deliver("a.csv", first)
        assert root.run() == [], "the next writer waits for the lease to run out, and finds nothing to convert"
        counting = root.lake().state()
    finally:
        goes_on.set()
        late.join(60)
    (failure,) = failures
    assert re.search(r"lost to another writer.*run again", str(failure))
    assert root.lake().state() == counting, "nothing of the late one counts"
    assert counting.drops == before.drops
    assert not root.debris()
    assert root.read(RESULT) == in_a_directory(tmp_path, [{"a.csv": first}])
    found = waiting(root.settings(settle_seconds=0))
    assert (found.pending, found.unsettled, found.unpublished) == ([], [], False)
    assert not verify(root.lake(), root.settings()).damage
    root.verify()


def _names_new_drops(root: Root, content: bytes, before: State) -> bool:
    """Whether the content of a root would let other drops count."""
    state = root.lake().states.state_in(root_in(content))
    return state.drops != before.drops


@contextmanager
def troubled(endpoint: str, trouble: Callable[[int], str | None]) -> Iterator[tuple[str, list[str]]]:
    """Run a proxy of the server that refuses, loses or delays some requests.

    Args:
        endpoint: Address of the server.
        trouble: Returns the trouble with a request by its number, or None if there is none.

    Yields:
        The address of the proxy, and the troubles that have occurred so far, one for each request.
    """
    troubles: list[str] = []
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _proxy_handler(endpoint, trouble, troubles))
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}", troubles
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


def _proxy_handler(  # noqa: C901
    endpoint: str, trouble: Callable[[int], str | None], troubles: list[str]
) -> type[http.server.BaseHTTPRequestHandler]:
    lock = threading.Lock()
    target = urllib.parse.urlsplit(endpoint).netloc

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                what = trouble(len(troubles))
                troubles.append(what or "")
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

    return Handler


def test_requests_that_fail_or_take_long_change_nothing(root: Root, tmp_path: Path) -> None:
    for drop, content in DROPS.items():
        root.deliver(drop, content)
    planned = {3: "refused", 4: "lost", 9: "slow", 27: "lost", 30: "answer lost"}
    with troubled(root.endpoint, lambda number: planned.get(number % 40)) as (proxy, troubles):
        assert len(root.run(s3_endpoint=proxy)) == len(DROPS)
    assert {"refused", "lost", "slow", "answer lost"} <= set(troubles)
    root.verify()
    assert root.read(RESULT) == in_a_directory(tmp_path, [DROPS])


def test_a_storage_that_goes_away_midway_is_said_and_the_next_run_completes(root: Root, tmp_path: Path) -> None:
    # Each request that is lost is tried again for seconds, so that there is only one drop.
    other = Root(root.endpoint)
    for one in (root, other):
        one.deliver("a.csv", DROPS["a.csv"])
    with troubled(root.endpoint, lambda _: None) as (proxy, requests):
        assert uda(other, "converter", UDA_S3_ENDPOINT=proxy).returncode == 0
    midway = len(requests) // 2
    with troubled(root.endpoint, lambda number: "lost" if number > midway else None) as (proxy, _):
        done = uda(root, "converter", UDA_S3_ENDPOINT=proxy)
    assert done.returncode == 1
    assert done.stderr.startswith("uda: "), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "the object storage" in done.stderr
    root.run(lock_timeout=60)
    root.verify()
    assert root.read(RESULT) == in_a_directory(tmp_path, [{"a.csv": DROPS["a.csv"]}])
