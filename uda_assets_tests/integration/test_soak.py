"""Thousands of small drops over a live `uda dev`: all counted, in bounded time, memory and history.

UDA_TEST_DROPS=10000 uv run pytest -n 0 -s -m heavy uda_assets_tests/integration/test_soak.py
"""

from __future__ import annotations

import csv
import gzip
import os
import random
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from uda_assets_tests.integration.feed import REPOSITORY, idle_since, recompute, runs_of
from uda_assets_tests.support.dev_server import CHAIN, ask, dev_server, wait

DROPS = int(os.environ.get("UDA_TEST_DROPS", "10000"))
WAVE = max(10, min(250, DROPS // 12))
"""Drops that come at once; the next ones come when these are converted."""

KEPT_SECONDS = 60
RUNS_LEFT = 4
"""The newest three of the job, by which the state of all assets and checks is told, and one more."""

MATERIALIZED = """
query Made($key: AssetKeyInput!) {
  assetOrError(assetKey: $key) { ... on Asset { assetMaterializations(limit: 1) { runId } } }
}"""
HEADER = "user_id,session_id,platform,activity_time,activity_type\n"
MEBIBYTE = 1 << 20


def deliver(root: Path, numbers: range) -> None:
    """Small drops, one in ten compressed; some of their sessions and records are those of others, some malformed."""
    for number in numbers:
        chance = random.Random(number)
        lines = [
            f"u{chance.randint(1, 400)},s{chance.randint(1, 3 * DROPS)},"
            f"{chance.choice(['ios', 'Android', 'WEB', 'tv'])},2026-01-{chance.randint(1, 31):02}T08:15:00Z,view\n"
            for _ in range(5)
        ]
        data = (HEADER + "".join(lines) + "u1,s1,ios,2026-01-01T00:00:00Z,view\n" * 6).encode()
        name = f"{number % 97:02}/{number:06}.csv" + (".gz" if number % 10 == 0 else "")
        target = root / "datasets" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        part.write_bytes(gzip.compress(data) if number % 10 == 0 else data)
        part.replace(target)


def converted(root: Path) -> int:
    return sum(1 for _ in (root / "dataset_parquets").glob("*/*/_manifest.json"))


class Watch:
    """Samples the memory of the daemon and of the code servers, and the runs, while it is entered."""

    def __init__(self, address: str, root: Path) -> None:
        self._address, self._root = address, root
        self.memory: dict[str, list[int]] = defaultdict(list)
        self.runs: dict[str, str] = {}
        self.most_runs = 0
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        watch = threading.Thread(target=self._watch)
        watch.start()
        try:
            yield
        finally:
            self._over.set()
            watch.join()

    def _watch(self) -> None:
        while not self._over.wait(3):
            for process in psutil.Process().children(recursive=True):
                try:
                    if role := _role(process.cmdline()):
                        self.memory[f"{role} {process.pid}"].append(process.memory_info().rss)
                except psutil.Error:
                    continue  # it ended
            there = {run["runId"]: run["status"] for run in runs_of(self._address)}
            self.runs |= there
            self.most_runs = max(self.most_runs, len(there))

    def growth(self) -> dict[str, tuple[int, int]]:
        """MiB of each process halfway and at the end, as medians of a tenth of the samples."""
        found = {}
        for process, samples in self.memory.items():
            if len(samples) * 3 > max(map(len, self.memory.values())):
                tenth, middle = max(1, len(samples) // 10), len(samples) // 2
                halves = samples[middle : middle + tenth], samples[-tenth:]
                found[process] = tuple(round(statistics.median(half) / MEBIBYTE) for half in halves)
        return found  # type: ignore[return-value]


def _role(command: list[str]) -> str | None:
    text = " ".join(command)
    if "execute_run" in text or "execute_step" in text:
        return None
    if "daemon run" in text:
        return "daemon"
    return "code server" if "api grpc" in text or "code-server" in text else None


@pytest.mark.heavy
@pytest.mark.timeout(600 + DROPS / 4)
def test_thousands_of_drops_over_a_live_daemon(tmp_path: Path) -> None:
    began = time.monotonic()
    keep = str(KEPT_SECONDS / 86_400)
    # The hourly schedule would help out at a full hour.
    with dev_server(tmp_path, UDA_SCHEDULE="0 0 29 2 *", UDA_KEEP_RUNS_DAYS=keep, UDA_N="50") as address:
        (repository,) = ask(address, REPOSITORY)["repositoriesOrError"]["nodes"]
        selector = {
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
            "sensorName": "drop_sensor",
        }
        watch = Watch(address, tmp_path)
        with watch.watching():
            for first in range(0, DROPS, WAVE):
                wave = range(first, min(first + WAVE, DROPS))
                deliver(tmp_path, wave)
                wait(lambda wave=wave: converted(tmp_path) == wave.stop, 180)  # type: ignore[misc]
            delivered = time.time()
            wait(lambda: idle_since(address, selector, delivered), 180)
            wait(lambda: all(run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} for run in runs_of(address)), 180)
        seconds = time.monotonic() - began
        wait(lambda: len(runs_of(address)) <= RUNS_LEFT, 300)
        watch.runs |= (last := {run["runId"]: run["status"] for run in runs_of(address)})
        left = set(last)
        latest = {
            ask(address, MATERIALIZED, key={"path": [asset]})["assetOrError"]["assetMaterializations"][0]["runId"]
            for asset in CHAIN
        }

    runs = f"{len(watch.runs)} runs, {watch.most_runs} kept at most, {len(left)} left"
    print(f"\n{DROPS} drops in {seconds:.0f} s by {runs}")
    print(f"MiB halfway and at the end: {watch.growth()}")
    raw = {
        str(path): gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in (tmp_path / "datasets").glob("*/*.csv*")
    }
    assert len(raw) == DROPS
    with (tmp_path / "results/Result_top_n_by_platform.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == recompute(raw)

    assert not {"FAILURE", "CANCELED"}.intersection(watch.runs.values())
    assert latest <= left, "what the page shows is kept"
    home = tmp_path / ".dagster"
    databases = {path.stem for path in (home / "history/runs").glob("*.db")}
    printed = {path.name for path in (home / "storage").iterdir()}
    assert databases & set(watch.runs) <= left
    assert printed & set(watch.runs) <= left
    roles = {process.split()[0] for process in watch.growth()}
    assert roles == {"daemon", "code"}
    for process, (halfway, end) in watch.growth().items():
        assert end <= halfway * 1.15 + 40, f"{process} grew from {halfway} to {end} MiB"
