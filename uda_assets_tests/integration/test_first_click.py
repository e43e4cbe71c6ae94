"""The first ten minutes in the UI: "Materialize all" runs the chain, and a run says how it ended."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from uda_assets_tests.support.browser import Console, chromium
from uda_assets_tests.support.chain import HEADER, deliver, record
from uda_assets_tests.support.dev_server import ask, dev_server, ended, launch, wait
from uda_assets_tests.support.places import SAMPLE

GROUP = "/locations/uda_assets.definitions/asset-groups/leaderboards"
RESULT = "results/Result_top_n_by_platform.csv"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, Path]]:
    """The UI over a data root with the sample, on which nothing has run. Its sensor leaves new drops alone."""
    root = tmp_path_factory.mktemp("first")
    (root / "datasets").mkdir()
    shutil.copy(SAMPLE, root / "datasets")
    with dev_server(root, UDA_SETTLE_SECONDS="600", UDA_DAILY_START="") as address, chromium() as browser:
        console = Console(browser, address, viewport={"width": 2000, "height": 1400})
        yield console, root
        assert console.complaints == []


def runs(console: Console) -> list[str]:
    """The runs so far, the latest first."""
    found = ask(console.address, "{ runsOrError { ... on Runs { results { runId } } } }")
    return [run["runId"] for run in found["runsOrError"]["results"]]


def next_run(console: Console, before: list[str]) -> str:
    """The run that a click has started, when it has succeeded."""
    new = wait(lambda: [run for run in runs(console) if run not in before], 60)
    assert len(new) == 1, "all assets are one run"
    assert ended(console.address, new[0]) == "SUCCESS"
    return new[0]


def log_of(console: Console, run: str, text: str) -> Page:
    """The page of a run, with the events that contain a text."""
    page = console.open(f"/runs/{run}")
    page.get_by_placeholder("Filter…").fill(text)
    return page


def test_materialize_all_of_the_group_runs_the_chain(fresh: tuple[Console, Path]) -> None:
    console, root = fresh
    page = console.open(GROUP)
    page.get_by_text("leaderboard_report", exact=True).first.wait_for()
    page.get_by_role("button", name="Materialize all").click()
    run = next_run(console, [])
    assert (root / RESULT).read_text().count("\n") == 151
    assert (root / "results/report.html").exists()
    page = log_of(console, run, "the leaderboard is published")
    told = page.get_by_text("the leaderboard is published").first
    expect(told).to_contain_text("Records:     5,000 read = 4,900 kept + 100 in quarantine")
    expect(told).to_contain_text(f"Report:      {root}/results/report.html")


def test_from_the_lineage_page_the_group_is_materialized_at_once(fresh: tuple[Console, Path]) -> None:
    console, _ = fresh
    before = runs(console)
    page = console.open("/asset-groups/?expanded=global%40global%3Aleaderboards")
    page.get_by_text("raw_csv", exact=True).first.wait_for()
    page.get_by_text("leaderboards", exact=True).last.click(button="right")
    page.get_by_text("Materialize assets (5)").click()
    next_run(console, before)


def test_the_days_begin_where_the_data_begin(fresh: tuple[Console, Path]) -> None:
    console, _ = fresh
    page = console.open("/deployment/locations")
    page.get_by_role("button", name=re.compile("Reload")).first.click()
    asset = 'assetOrError(assetKey: {path: ["daily_top_n_by_platform"]})'
    asked = f"{{ {asset} {{ ... on Asset {{ definition {{ partitionKeys }} }} }} }}"
    wait(lambda: ask(console.address, asked)["assetOrError"]["definition"]["partitionKeys"][0] == "2026-01-01", 60)
    page = console.open("/assets/daily_top_n_by_platform?view=partitions")
    page.get_by_text("2026-01-01").first.wait_for()


@pytest.mark.parametrize(
    ("conversion", "first_line"),
    [
        (
            {"error_mode": "fail_fast"},
            "drop 'new.csv', line 3: unknown_platform: the platform is not in the platform table; correct it, or add",
        ),
        ({"error_mode": "strict"}, "error_mode cannot be 'strict': it takes lenient or fail_fast"),
    ],
)
def test_the_page_of_a_failed_run_says_first_what_to_do(
    fresh: tuple[Console, Path], conversion: dict[str, str], first_line: str
) -> None:
    console, root = fresh
    deliver(root, "new.csv", HEADER + record("s1") + record("s2", "fridge"))
    run = launch(console.address, {"ops": {"platform_parquet": {"config": conversion}}})
    assert ended(console.address, run) == "FAILURE"
    page = log_of(console, run, "platform_parquet")
    page.get_by_text(f"dagster._core.definitions.events.Failure: {first_line}").first.wait_for()
