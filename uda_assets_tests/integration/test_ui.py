"""The real UI: dagster dev on loopback, a materialization by its own GraphQL API, and the asset graph in Chromium."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

SAMPLE = Path(__file__).parents[2] / "data/datasets/sample.csv"
CHAIN = ["raw_csv", "platform_parquet", "deduped_sessions", "top_n_by_platform"]
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}"""


@pytest.fixture
def page_root(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a running `uda dev` and its data root; ended by its own process group."""
    (tmp_path / "datasets").mkdir()
    shutil.copy(SAMPLE, tmp_path / "datasets")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (tmp_path / "dev.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "uda_assets", "dev", "--port", str(port), "--data-root", str(tmp_path)],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={name: text for name, text in os.environ.items() if name != "DAGSTER_HOME"},
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(lambda: _answers(address), 90)
            yield address, tmp_path
        finally:
            os.killpg(server.pid, 15)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, 9)
                server.wait(10)


def _wait(condition: Any, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.5)
    return found


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _ask(address: str, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]


def test_materialize_from_the_ui_and_see_the_chain(page_root: tuple[str, Path]) -> None:
    address, root = page_root
    repositories = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
    (repository,) = _ask(address, repositories)["repositoriesOrError"]["nodes"]
    selector = {
        "repositoryName": repository["name"],
        "repositoryLocationName": repository["location"]["name"],
        "jobName": "leaderboard_job",
    }
    launched = _ask(address, LAUNCH, params={"selector": selector, "runConfigData": {}, "mode": "default"})["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    status = "query S($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
    ended = _wait(
        lambda: (
            state := _ask(address, status, id=launched["run"]["runId"])["runOrError"]["status"]
        ) in {"SUCCESS", "FAILURE"} and state,
        120,
    )  # fmt: skip
    assert ended == "SUCCESS"
    assert (root / "results/Result_top_n_by_platform.csv").read_text().startswith("platform,user_id,session_count\n")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 2800, "height": 1000})
        page.goto(f"{address}/asset-groups/", wait_until="domcontentloaded")
        for name in CHAIN:
            page.get_by_text(name, exact=True).first.wait_for(timeout=60_000)
        page.get_by_text("Checks").first.wait_for(timeout=60_000)
        if picture := os.environ.get("UDA_SCREENSHOT"):
            page.wait_for_timeout(3000)
            page.screenshot(path=picture)
        page.goto(f"{address}/assets/top_n_by_platform?view=checks", wait_until="domcontentloaded")
        for check in ("leaderboard_well_formed", "leaderboard_recounted"):
            page.get_by_text(check).first.wait_for(timeout=60_000)
        if picture:
            page.wait_for_timeout(3000)
            page.screenshot(path=picture.replace(".png", "-checks.png"))
        browser.close()
