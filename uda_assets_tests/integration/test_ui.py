"""The real UI: dagster dev on loopback, a materialization by its own GraphQL API, and the asset graph in Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from uda_assets_tests.integration.dev_server import CHAIN, LAUNCH, ask, dev_server, listening, wait

SAMPLE = Path(__file__).parents[2] / "data/datasets/sample.csv"


@pytest.fixture
def page_root(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a running `uda dev` and its data root."""
    (tmp_path / "datasets").mkdir()
    shutil.copy(SAMPLE, tmp_path / "datasets")
    with dev_server(tmp_path) as address:
        yield address, tmp_path


def test_materialize_from_the_ui_and_see_the_chain(page_root: tuple[str, Path]) -> None:
    address, root = page_root
    assert listening() == {"127.0.0.1"}, "the page and its servers are for this machine alone"
    repositories = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
    (repository,) = ask(address, repositories)["repositoriesOrError"]["nodes"]
    selector = {
        "repositoryName": repository["name"],
        "repositoryLocationName": repository["location"]["name"],
        "jobName": "leaderboard_job",
    }
    launched = ask(address, LAUNCH, params={"selector": selector, "runConfigData": {}, "mode": "default"})["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    status = "query S($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
    ended = wait(
        lambda: (
            state := ask(address, status, id=launched["run"]["runId"])["runOrError"]["status"]
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
