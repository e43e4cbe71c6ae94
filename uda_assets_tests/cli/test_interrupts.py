"""Stopping a command: it ends soon, leaves nothing half-written, prints one line and has the signal's exit code.

Each command here would run for hours, and is stopped once it is known to be working, so that no test depends on timing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import duckdb
import pytest

from uda_assets.basics import interruption
from uda_assets_tests.support import chain
from uda_assets_tests.support.chain import HEADER, record

STOPPED = "uda: stopped; nothing is left half-written\n"

# The process sends itself a signal as soon as its main thread is inside DuckDB, where Python cannot run a handler.
IN_DUCKDB = """
import os, signal, sys, threading
def send():
    main = threading.main_thread().ident
    while not (frame := sys._current_frames()[main]).f_code.co_filename.endswith("{module}") or \\
            frame.f_code.co_name != "{function}":
        pass
    os.kill(os.getpid(), signal.{name})
threading.Thread(target=send, daemon=True).start()
"""
# The process sends itself many signals while a thread reads a drop, which goes on until it is asked to stop.
WHILE_READING = """
import os, signal, threading, time
from uda_assets.ingest import source
from uda_assets.basics.interruption import raise_if_stopped
read, reads = source.Source.read, []
def sent(self, offset, length):
    reads.append(offset)
    if len(reads) == 5:
        threading.Thread(target=send, daemon=True).start()
    while len(reads) >= 5:
        time.sleep(0.01)
        raise_if_stopped()
    return read(self, offset, length)
def send():
    while True:
        os.kill(os.getpid(), signal.{name})
        time.sleep(0.01)
source.Source.read = sent
"""
RUN = "import sys; from uda_assets.cli import main; sys.argv[:] = ['uda', *sys.argv[1:]]; main()"


@contextmanager
def started(*arguments: str | Path, root: Path, before: str = "") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", before + RUN, *map(str, arguments)]
    environment = os.environ | {"UDA_DATA_ROOT": str(root), "UDA_MEMORY_LIMIT": "64MiB"}
    process = subprocess.Popen(
        command, env=environment, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def test_a_generator_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "big.csv.gz").write_text("what was there")
    part = tmp_path / ".big.csv.gz.part"
    for number, code in ((signal.SIGINT, 130), (signal.SIGHUP, 129)):
        with started("generator", "--filepath", "big.csv.gz", "--n", "1000000000", root=tmp_path) as process:
            wait(lambda: part.exists() and part.stat().st_size, process)
            process.send_signal(number)
            process.send_signal(number)
            assert process.communicate(timeout=60) == ("", STOPPED)
            assert process.returncode == code
        assert [path.name for path in tmp_path.iterdir()] == ["big.csv.gz"]
        assert (tmp_path / "big.csv.gz").read_text() == "what was there"


def test_a_supplier_is_stopped(tmp_path: Path) -> None:
    with started("supplier", "--n", "20", "--interval", "3600", root=tmp_path) as process:
        assert process.stderr
        assert process.stderr.readline().startswith("delivered ")
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60) == ("", STOPPED)
        assert process.returncode == 143
    (drop,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert drop.suffix == ".csv"


@pytest.mark.parametrize(
    ("arguments", "name"), [(["converter"], "SIGINT"), (["inspector", "--filepath", "datasets/a.csv"], "SIGTERM")]
)
def test_reading_a_drop_is_stopped_whatever_else_comes(tmp_path: Path, arguments: list[str], name: str) -> None:
    chain.deliver(tmp_path, "a.csv", HEADER + "".join(record(f"s{number}") for number in range(100_000)))
    with started(*arguments, root=tmp_path, before=WHILE_READING.replace("{name}", name)) as process:
        assert process.communicate(timeout=60) == ("", STOPPED)
        assert process.returncode == 128 + getattr(signal, name)
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if path.parts[0] != ".uda"] == [Path("datasets/a.csv")]
    assert not [path for path in files if path.suffix == ".parquet"]
    chain.run(tmp_path)
    assert chain.ledger(tmp_path)["a.csv"].kept == 100_000


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_query_is_stopped_inside_duckdb(tmp_path: Path, name: str) -> None:
    chain.deliver(tmp_path, "a.csv", HEADER + record("s1"))
    chain.run(tmp_path)
    files = sorted(tmp_path.rglob("*"))
    endless = "SELECT sum(a.range * b.range) FROM range(100000000) a, range(100000000) b"
    before = IN_DUCKDB.format(module="query.py", function="answer", name=name)
    with started("query", endless, "--output", "x.csv", root=tmp_path, before=before) as process:
        assert process.communicate(timeout=60) == ("", STOPPED)
        assert process.returncode == 128 + getattr(signal, name)
    assert sorted(tmp_path.rglob("*")) == files


def test_a_closed_connection_does_not_keep_others_from_being_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "_stop_requested", Event())
    closed, busy = duckdb.connect(), duckdb.connect()
    for connection in (closed, busy):
        interruption.interruptible(connection)
    closed.close()
    with ThreadPoolExecutor(1) as thread:
        query = thread.submit(busy.execute, "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b")
        while not query.done():
            interruption.request_stop()
        with pytest.raises(duckdb.InterruptException):
            query.result()
    with pytest.raises(interruption.Stopped):
        interruption.raise_if_stopped()
    busy.close()


DAGSTER = """
import signal, sys, time
def end(number, frame):
    print("shutting down", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("serving", flush=True)
time.sleep(3600)
"""


def fake_dagster(code: str, root: Path) -> None:
    """Replace Dagster by a program."""
    (root / "dagster").mkdir()
    (root / "dagster/__init__.py").touch()
    (root / "dagster/__main__.py").write_text(code)


def test_dev_in_the_background_of_a_script_can_be_stopped(tmp_path: Path) -> None:
    fake_dagster("import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)", tmp_path)
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    with started("dev", root=tmp_path, before=ignoring) as process:
        assert process.communicate(timeout=60) == ("True\n", "")


def test_dev_passes_a_signal_on_and_waits(tmp_path: Path) -> None:
    fake_dagster(DAGSTER, tmp_path)
    with started("dev", root=tmp_path) as process:
        assert process.stdout
        assert process.stdout.readline() == "serving\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60) == ("shutting down\n", "")
        assert process.returncode == 143
