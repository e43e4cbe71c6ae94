"""`uda dev` in its own process group, and its GraphQL API."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

T = TypeVar("T")
CHAIN = ["raw_csv", "platform_parquet", "deduped_sessions", "top_n_by_platform"]
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}"""


@contextmanager
def dev_server(root: Path, **environment: str) -> Iterator[str]:
    """The address of a running `uda dev` for a data root; at the end nothing of its process group is left."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with (root / "dev.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "uda_assets", "dev", "--port", str(port), "--data-root", str(root)],
            stdout=log, stderr=log, start_new_session=True, env=without_home() | environment,
        )  # fmt: skip
        try:
            wait(lambda: server.poll() is not None or answers(address), 90)
            assert server.poll() is None, (root / "dev.log").read_text()
            yield address
        finally:
            end(server)


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def without_home() -> dict[str, str]:
    """The environment, less the Dagster instance of whoever runs the tests."""
    return {name: text for name, text in os.environ.items() if name != "DAGSTER_HOME"}


def end(server: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group of its own, and all that is left of the group."""
    group = server.pid
    for how, seconds in ((signal.SIGTERM, 30), (signal.SIGKILL, 10)):
        deadline = time.monotonic() + seconds
        try:
            os.killpg(group, how)
            while time.monotonic() < deadline:
                server.poll()
                if not _is_alive(group):
                    return
                time.sleep(0.1)
        except ProcessLookupError:
            return
    raise AssertionError("processes of the server are left")


def _is_alive(group: int) -> bool:
    """Whether a process of the group runs. In a container, nobody may clear away those that have ended."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def listening() -> set[str]:
    """The addresses at which the processes that this one started, and those that they did, listen."""
    return {
        connection.laddr.ip
        for one in psutil.Process().children(recursive=True)
        for connection in one.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def answers(address: str) -> bool:
    """Whether a webserver is up."""
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def materialize(address: str, seconds: float = 120) -> None:
    """Start ``leaderboard_job`` as its page does, and wait until it has succeeded."""
    assert ended(address, launch(address, {}), seconds) == "SUCCESS"


def launch(address: str, run_config: dict[str, Any]) -> str:
    """Start ``leaderboard_job`` as its page does, and return the id of the run."""
    repositories = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
    (repository,) = ask(address, repositories)["repositoriesOrError"]["nodes"]
    selector = {
        "repositoryName": repository["name"],
        "repositoryLocationName": repository["location"]["name"],
        "jobName": "leaderboard_job",
    }
    launched = ask(address, LAUNCH, params={"selector": selector, "runConfigData": run_config, "mode": "default"})
    assert launched["launchRun"]["__typename"] == "LaunchRunSuccess", launched
    return str(launched["launchRun"]["run"]["runId"])


def ended(address: str, run: str, seconds: float = 120) -> str:
    """Wait until a run has ended, and return its status."""
    status = "query S($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"

    def final() -> str:
        state = str(ask(address, status, id=run)["runOrError"]["status"])
        return state if state in {"SUCCESS", "FAILURE", "CANCELED"} else ""

    return wait(final, seconds)


def wait(condition: Callable[[], T], seconds: float) -> T:
    """What a condition gives as soon as it holds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"nothing happened in {seconds:g} s"
        time.sleep(0.5)
    return found


def ask(address: str, query: str, **variables: Any) -> Any:
    """The data that the GraphQL API answers with."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found = json.load(answer)
    assert "errors" not in found, found["errors"]
    return found["data"]
