"""The real UI: `uda dev` on loopback, a materialization by its own GraphQL API, and what Chromium then shows of it."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from playwright.sync_api import expect

from uda_assets.contract import dictionary
from uda_assets.contract.reasons import Reason
from uda_assets.report.text import shown
from uda_assets_tests.report import hostile
from uda_assets_tests.support.browser import Console, chromium, rows
from uda_assets_tests.support.dev_server import dev_server, listening, materialize
from uda_assets_tests.support.places import SAMPLE

ASSETS = ["raw_csv", "platform_parquet", "deduped_sessions", "top_n_by_platform", "leaderboard_report"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, Path]]:
    """The UI, after a run over the sample, drops full of hostile text, and one that is rejected; and the data root."""
    root = tmp_path_factory.mktemp("ui")
    (root / "datasets").mkdir()
    shutil.copy(SAMPLE, root / "datasets")
    hostile.deliver(root)
    (root / "datasets/broken.csv").write_text("user_id,session_id,platform\nu,s,iOS\n")
    with dev_server(root, FRESHNESS_DAEMON_INTERVAL_SECONDS="3") as address:
        assert listening() == {"127.0.0.1"}, "the page and its servers are for this machine alone"
        materialize(address)
        with chromium() as browser:
            console = Console(browser, address, viewport={"width": 2400, "height": 1400})
            yield console, root
            assert console.complaints == []
            assert console.page.evaluate("window.harmed") is None


def result(root: Path) -> dict[str, list[tuple[str, int]]]:
    """The published leaderboard: users and sessions by platform, in order."""
    found: dict[str, list[tuple[str, int]]] = {}
    with (root / "results/Result_top_n_by_platform.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["platform"], []).append((row["user_id"], int(row["session_count"])))
    return found


def told(text: str) -> str:
    """A text from data as a table shows it, white space as a reader sees it."""
    return " ".join(shown(text, 60)[:120].split())


def test_lineage_of_the_chain_and_its_checks(built: tuple[Console, Path]) -> None:
    console, _ = built
    groups = "global%40global%3Aleaderboards,global%40global%3Adaily_leaderboards"
    page = console.open(f"/asset-groups/?expanded={groups}")
    for name in [*ASSETS, "daily_top_n_by_platform"]:
        page.get_by_text(name, exact=True).first.wait_for()
    page.get_by_text("Checks").first.wait_for()
    edges = "paths => new Set(paths.map(path => path.getAttribute('d'))).size"
    page.wait_for_function(f"({edges})([...document.querySelectorAll('svg path[marker-end]')]) == 7")
    for asset, checks in {
        "top_n_by_platform": {"leaderboard_well_formed": "Succeeded", "leaderboard_recounted": "Succeeded"},
        "platform_parquet": {
            "records_accounted": "Succeeded", "schema_matches_contract": "Succeeded",
            "drop_volume_usual": "Succeeded", "platforms_known": "Failed", "no_rejected_drops": "Failed",
        },
    }.items():  # fmt: skip
        page = console.open(f"/assets/{asset}?view=checks")
        for name, outcome in checks.items():
            line = page.locator("[class*=VirtualizedTable_row]").filter(has_text=name)
            line.get_by_text(outcome).wait_for()
    page.get_by_text("no_rejected_drops").first.click()
    page.get_by_text("If one was, the other drops went on").wait_for()
    page.get_by_text("[Show Markdown]").click()
    page.get_by_role("dialog").get_by_text("broken.csv: missing_column").wait_for()
    console.close_dialog()


def test_the_leaderboard_with_its_chart_columns_and_source(built: tuple[Console, Path]) -> None:
    console, root = built
    page, true = console.open("/assets/top_n_by_platform"), result(root)
    for column in dictionary.LEADERBOARD.columns:
        row = page.locator("tr").filter(has=page.get_by_text(column.name, exact=True)).filter(has_text=column.kind)
        expect(row.first).to_contain_text(column.description)
    leaders = [
        [str(place), platform, told(user), str(count)]
        for platform, board in true.items()
        for place, (user, count) in enumerate(board[:3], 1)
    ]
    assert rows(console.table("leaders")) == leaders
    console.close_dialog()
    picture = console.dialog("chart").locator("img")
    page.wait_for_function("document.querySelector('[role=dialog] img')?.naturalWidth > 600")
    assert picture.get_attribute("alt") == "Sessions of the leading users of each platform"
    console.close_dialog()
    assert rows(console.table("leaderboard")) == [
        [str(place), platform, told(user), str(count)]
        for platform, board in true.items()
        for place, (user, count) in enumerate(board[:33], 1)
    ]
    assert {user for user, _ in true["iOS"]} >= set(hostile.USERS[3:]), "the others have too few sessions"
    console.close_dialog()
    page.locator("a[href*='top_n_by_platform.py']").wait_for()
    for text in (
        "layer: published",
        "user-activity",
        "DuckDB",
        "leaderboard_job",
    ):
        page.get_by_text(text).first.wait_for()
    page.get_by_text("Fails if more than 24 hours since last materialization").wait_for()
    page.get_by_text("Passing").first.wait_for()
    page.get_by_text("Plots", exact=True).click()
    page.locator("canvas").first.wait_for()


def test_what_was_dropped_and_why(built: tuple[Console, Path]) -> None:
    console, root = built
    console.open("/assets/top_n_by_platform")
    ledger = rows(console.table("ledger"))
    assert {row[0] for row in ledger} == {"sample.csv", "broken.csv", *map(told, hostile.DROPS)}
    assert ledger[0][:2] == ["broken.csv", "rejected"]
    assert "it must name user_id, session_id, platform, activity_time, activity_type" in ledger[0][-1]
    console.open("/assets/platform_parquet")
    found = rows(console.table("quarantine_by_reason"))
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        counted = warehouse.sql(
            "SELECT reason, count(*), count(DISTINCT drop) FROM quarantine GROUP BY reason"
        ).fetchall()
        sessions = warehouse.sql("SELECT platform, user_id, session_id, events FROM sessions").fetchall()
    assert {(row[0], int(row[1]), int(row[2])) for row in found} == set(counted)
    mended = {reason.value: reason.explanation for reason in Reason}
    assert all(row[4] == mended[row[0]] for row in found)
    console.close_dialog()
    console.open("/assets/deduped_sessions")
    previewed = rows(console.table("preview"))
    assert {(row[0], row[1], row[2], row[5]) for row in previewed} <= {
        (platform, told(user), session, str(events)) for platform, user, session, events in sessions
    }
    assert len(previewed) == 12


def test_the_launchpad_begins_with_the_settings_in_force(built: tuple[Console, Path]) -> None:
    console, _ = built
    page = console.open("/locations/uda_assets.definitions/jobs/leaderboard_job/playground")
    for line in ("error_mode: lenient", "max_reject_ratio: 0.5", "n: 50"):
        page.locator(".CodeMirror-line").filter(has_text=re.compile(rf"^\s*{re.escape(line)}$")).first.wait_for()
    page.get_by_text("No errors").first.wait_for()
