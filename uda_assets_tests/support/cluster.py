"""Dask clusters for tests: one within this process, and one of processes of its own on loopback."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
from distributed import Client, LocalCluster

from uda_assets_tests.support.dev_server import free_port


@contextmanager
def in_process_client(workers: int = 2) -> Iterator[Client]:
    """A client of a cluster whose workers are threads of this process."""
    # Tasks of a program that "died" fail when their directories are gone; nobody wants to read of it.
    level = logging.getLogger("distributed.worker").level
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)
    try:
        with (
            # With one executor for all, the processor's time is not measured for each.
            dask.config.set({"distributed.worker.profile.enabled": False}),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=False,
                dashboard_address="127.0.0.1:0",
                memory_limit=0,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
    finally:
        logging.getLogger("distributed.worker").setLevel(level)


def settle(client: Client, timeout: float = 30) -> None:
    """Wait until no worker is at work."""
    deadline = time.monotonic() + timeout
    while any(client.run(lambda dask_worker: len(dask_worker.state.executing)).values()):
        assert time.monotonic() < deadline, "tasks end by themselves"
        time.sleep(0.02)


class Cluster:
    """A scheduler and some workers, each a process of its own."""

    def __init__(self, directory: Path, memory_limit: str) -> None:
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self._directory, self._memory_limit = directory, memory_limit
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", self.address.rpartition(":")[2],
            "--dashboard-address", "127.0.0.1:0",
        )  # fmt: skip
        self.workers: list[subprocess.Popen[bytes]] = []

    def add_worker(self) -> subprocess.Popen[bytes]:
        """Start one more worker; without a nanny, its process is the one that works."""
        worker = self._start(
            "worker", self.address, "--no-nanny", "--nthreads", "1", "--memory-limit", self._memory_limit,
            "--host", "127.0.0.1", "--local-directory", str(self._directory), "--death-timeout", "60", "--no-dashboard",
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def _start(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self._directory / f"{kind}-{len(list(self._directory.glob('*.log')))}.log").open("wb")
        with log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", kind, *arguments], stdout=log, stderr=log,
                env=os.environ | {"POLARS_MAX_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": "65536"},
            )  # fmt: skip

    def stop(self) -> None:
        """End all of them, by their ids."""
        for process in [*self.workers, self.scheduler]:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in [*self.workers, self.scheduler]:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def cluster_of_processes(directory: Path, workers: int = 2, memory_limit: str = "1GiB") -> Iterator[Cluster]:
    """A scheduler and workers on loopback."""
    directory.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(directory, memory_limit)
    try:
        for _ in range(workers):
            cluster.add_worker()
        with Client(cluster.address, timeout=60, set_as_default=False) as client:
            if workers:
                client.wait_for_workers(workers, timeout=60)
        yield cluster
    finally:
        cluster.stop()
