"""report.html in Chromium, opened as a file: switches and numbers, hostile names, accessibility, layout, print."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from uda_assets.report.text import shown
from uda_assets_tests.report import hostile
from uda_assets_tests.report.axe import axe_script
from uda_assets_tests.report.pages import report_of
from uda_assets_tests.support.browser import chromium
from uda_assets_tests.support.chain import run
from uda_assets_tests.support.places import SAMPLE

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of the sample, which came in two drops that overlap, and of one that is rejected."""
    root = tmp_path_factory.mktemp("sample")
    header, *lines = SAMPLE.read_bytes().splitlines(keepends=True)
    datasets = root / "datasets/supplier-a"
    datasets.mkdir(parents=True)
    (datasets / "2026-01.csv").write_bytes(b"".join([header, *lines[:3000]]))
    (root / "datasets/broken.csv").write_text("no,header\n")
    run(root)
    (datasets / "2026-02.csv").write_bytes(b"".join([header, *lines[2900:]]))
    run(root)
    return report_of(root)


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    hostile.write(root / "datasets/first.csv", [(user, "first", "iOS", "2026-01-01") for user in "abc"])
    hostile.write(root / "datasets/first.csv", hostile.records()[::3])
    run(root, keep_unknown_platforms=True)
    hostile.deliver(root)
    run(root, keep_unknown_platforms=True)
    return report_of(root, keep_unknown_platforms=True)


@contextmanager
def opened(browser: Browser, path: Path, **options: Any) -> Iterator[Page]:
    """The page with its charts drawn; at the end, nothing was complained of and nothing was asked for."""
    context = browser.new_context(**{"viewport": DESKTOP, "locale": "de-DE", **options})
    page, complaints, requests = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(path.as_uri())
    drawn(page)
    yield page
    assert complaints == []
    assert [url for url in requests if url != path.as_uri()] == []
    context.close()


def drawn(page: Page, times: int = 1) -> None:
    """Wait until both charts were drawn so many times."""
    page.wait_for_function(
        "times => ['time-chart', 'bars-chart'].every(id => document.getElementById(id).dataset.drawn >= times)",
        arg=times,
    )


def boards(page: Page) -> dict[str, list[list[str]]]:
    """The leaderboards that can be seen, each with its rows of rank, user and sessions."""
    read = """cards => cards.filter(card => card.checkVisibility()).map(card => [card.dataset.platform,
        [...card.querySelectorAll("tbody tr")].map(row => [0, 1, 2].map(place => row.children[place].textContent))])"""
    return dict(page.locator("#boards article").evaluate_all(read))


def result(path: Path) -> dict[str, list[list[str]]]:
    """What the Result CSV beside the report says, by the browser's way of writing."""
    import csv

    found: dict[str, list[list[str]]] = {}
    with path.with_name("Result_top_n_by_platform.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows = found.setdefault(row["platform"], [])
            rows.append([str(len(rows) + 1), row["user_id"], f"{int(row['session_count']):,}"])
    return found


def test_switches_show_the_right_numbers(browser: Browser, sample: Path) -> None:
    true = result(sample)
    with opened(browser, sample) as page:
        assert boards(page) == {name: rows[:10] for name, rows in true.items()}
        assert set(page.locator("#n option").all_inner_texts()) == {"5", "10", "25", "50"}
        page.get_by_label("Top").select_option("25")
        drawn(page, 2)
        assert boards(page) == {name: rows[:25] for name, rows in true.items()}
        page.get_by_label("Platform", exact=True).select_option("Web")
        drawn(page, 3)
        assert boards(page) == {"Web": true["Web"][:25]}
        assert page.locator("#status").inner_text() == "Top 25 of Web, compared with the previous publication."
        # The share that is shown follows from what is listed and from all sessions, which the table of days has too.
        listed = sum(int(row[2]) for row in true["Web"][:25])
        page.locator("#over-time summary").click()
        days = page.locator("#time-table tbody td").all_inner_texts()
        total = sum(int(cell) for cell in days)
        share = page.locator("#shares .share").inner_text()
        assert f"{100 * listed / total:.1f} % of {total} sessions" in share
        page.locator("#distribution summary").click()
        cells = page.locator("#bars-table tbody tr").evaluate_all(
            "rows => rows.map(row => row.children[2].textContent)"
        )
        assert sum(int(cell.replace(",", "")) for cell in cells) == total
        page.get_by_label("Top").select_option("50")
        page.get_by_label("Platform", exact=True).select_option("All")
        drawn(page, 5)
        assert boards(page) == true
        for text in ("bad_activity_time", "supplier-a/2026-02.csv", "rejected", "Left the leaderboard"):
            assert page.get_by_text(text).first.is_visible(), text


def test_movement_is_that_of_the_warehouse(browser: Browser, sample: Path) -> None:
    import duckdb

    with duckdb.connect(sample.parents[1] / "uda.duckdb", read_only=True) as warehouse:
        rows = warehouse.execute(
            "SELECT platform, user_id, rank, previous_rank, movement FROM rank_movement ORDER BY platform, rank"
        ).fetchall()
    spoken = {
        (platform, user): f"{how} from rank {before}" if how in ("up", "down") else how
        for platform, user, rank, before, how in rows if rank
    }  # fmt: skip
    with opened(browser, sample) as page:
        page.get_by_label("Top").select_option("50")
        drawn(page, 2)
        read = """cards => cards.flatMap(card => [...card.querySelectorAll("tbody tr")].map(row =>
            [card.dataset.platform, row.children[1].textContent, row.querySelector(".move .unseen").textContent]))"""
        found = page.locator("#boards article").evaluate_all(read)
        assert {(platform, user): how for platform, user, how in found} == spoken
        gone = page.locator("table:has(caption:text('Left the leaderboard')) tbody tr").evaluate_all(
            "rows => rows.map(row => [row.children[1].textContent, row.children[0].textContent])"
        )
        assert {tuple(row) for row in gone} == {row[:2] for row in rows if row[4] == "out"}


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_of_hostile_data_runs_and_the_layout_holds(
    browser: Browser, hostile_report: Path, viewport: dict[str, int]
) -> None:
    with opened(browser, hostile_report, viewport=viewport) as page:
        page.get_by_label("Top").select_option("28")
        drawn(page, 2)
        for details in page.locator("summary").all():
            details.click()
        users = [row[1] for row in boards(page)["iOS"]]
        assert users == [shown(user) for user in reversed(hostile.USERS)]
        for times, platform in enumerate((hostile.PLATFORMS[0], "__proto__", hostile.PLATFORMS[3]), 3):
            page.get_by_label("Platform", exact=True).select_option(label=shown(platform.casefold()))
            drawn(page, times)
            assert list(boards(page)) == [shown(platform.casefold())]
        page.get_by_label("Platform", exact=True).select_option("All")
        drawn(page, 6)
        names = page.locator("#time-legend li").all_inner_texts()
        assert names == ["iOS", *(shown(name) for name in sorted(map(str.casefold, hostile.PLATFORMS)))]
        page.locator("#time-chart svg").hover()
        assert page.evaluate("window.harmed") is None
        assert page.evaluate("[document.images.length, document.querySelectorAll('iframe, object, embed').length]") == [
            0,
            0,
        ]
        width = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert width[0] <= width[1], "the page can be scrolled sideways"
        # What is wider than its place scrolls within it, or is cut with a mark.
        wide = page.evaluate("""[...document.querySelectorAll("main *")].filter(element => {
            const right = one => one.getBoundingClientRect().right;
            if (right(element) <= innerWidth + 1 || element.closest(".unseen")) return false;
            for (let one = element.parentElement; one; one = one.parentElement) {
                if (getComputedStyle(one).overflowX !== "visible" && right(one) <= innerWidth) return false;
            }
            return true;
        }).map(element => element.outerHTML.slice(0, 200))""")
        assert wide == []
        _picture(page, f"hostile-{viewport['width']}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["sample", "hostile_report"])
def test_axe_finds_nothing_serious(browser: Browser, request: pytest.FixtureRequest, kind: str, scheme: str) -> None:
    with opened(browser, request.getfixturevalue(kind), color_scheme=scheme) as page:
        for details in page.locator("summary").all():
            details.click()
        page.evaluate(axe_script())
        found = page.evaluate("axe.run(document)")
        assert len(found["passes"]) > 20
        assert [
            (fault["id"], fault["impact"], [node["html"][:200] for node in fault["nodes"][:3]])
            for fault in found["violations"] if fault["impact"] in ("serious", "critical", "moderate")
        ] == []  # fmt: skip
        _picture(page, f"{kind}-{scheme}")


def test_colours_follow_the_system_and_the_switch(browser: Browser, sample: Path) -> None:
    def paper(page: Page) -> int:
        rgb = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        return int(sum(rgb))

    with opened(browser, sample, color_scheme="dark") as page:
        assert paper(page) < 150
        page.get_by_text("Light", exact=True).click()
        assert paper(page) > 600
        page.reload()
        drawn(page)
        assert paper(page) > 600, "the choice is remembered"
        page.get_by_text("Auto", exact=True).click()
        assert paper(page) < 150


def test_everything_can_be_reached_by_keyboard(browser: Browser, sample: Path) -> None:
    with opened(browser, sample) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the leaderboards"
        assert page.locator(".skip").bounding_box()["y"] >= 0  # type: ignore[index]
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "platform"
        page.keyboard.type("iOS")
        drawn(page, 2)
        assert list(boards(page)) == ["iOS"]


def test_without_scripts_the_tables_are_there(browser: Browser, sample: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(sample.as_uri())
    assert page.get_by_text("need JavaScript").is_visible()
    for name, rows in result(sample).items():
        table = page.locator(f"#fallback table:has(caption bdi:text-is('{name}'))")
        assert table.locator("tbody tr").first.inner_text().split() == rows[0]
    assert not page.locator("#platform").is_visible()
    context.close()


def test_it_prints_without_its_switches(browser: Browser, sample: Path) -> None:
    with opened(browser, sample, color_scheme="dark") as page:
        pdf = page.pdf(format="A4")
        assert pdf.startswith(b"%PDF")
        page.emulate_media(media="print")
        assert not page.locator("#platform").is_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        # A4 without margins, in pixels of the screen.
        page.set_viewport_size({"width": 720, "height": 1020})
        assert page.evaluate("document.documentElement.scrollWidth") <= 720
        if directory := os.environ.get("UDA_REPORT_PICTURES"):
            Path(directory, "report.pdf").write_bytes(pdf)


def _picture(page: Page, name: str) -> None:
    """A picture to look at, where one is asked for."""
    if directory := os.environ.get("UDA_REPORT_PICTURES"):
        page.screenshot(path=Path(directory, f"{name}.png"), full_page=True)
