"""Chromium without a window, and Dagster's pages in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from uda_assets_tests.support.browser_finder import environment_with_defaults, find_browser

SECONDS = 60


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser that conftest.py has found or installed."""
    found = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found,
            env={**environment_with_defaults()},
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


class Console:
    """Dagster's UI in a page that notes what goes wrong in it, and what it asks of others."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.page: Page = browser.new_page(**options)
        self.page.set_default_timeout(SECONDS * 1000)
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self._note(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(text)

    def _note(self, url: str) -> None:
        if not url.startswith((self.address, "blob:", "data:")):
            self.complaints.append(f"asks for {url}")

    def open(self, path: str) -> Page:
        """Go to a page of the UI."""
        self.page.goto(f"{self.address}{path}", wait_until="domcontentloaded")
        return self.page

    def entry(self, key: str) -> Locator:
        """What an asset's page shows for a key of its metadata."""
        name = self.page.get_by_text(key, exact=True)
        found = self.page.locator("tr").filter(has=name).locator("td").nth(2)
        found.wait_for()
        return found

    def dialog(self, key: str) -> Locator:
        """The dialog that shows a longer value."""
        self.entry(key).get_by_text("[Show Markdown]").click()
        found = self.page.get_by_role("dialog")
        found.get_by_text(key, exact=True).wait_for()
        return found

    def table(self, key: str) -> Locator:
        """A table: what is short stands in the page, the rest in a dialog."""
        entry = self.entry(key)
        opener = entry.get_by_text("[Show Markdown]")
        entry.locator("table").or_(opener).first.wait_for()
        return (self.dialog(key) if opener.count() else entry).locator("table")

    def close_dialog(self) -> None:
        """Close what is open, and wait until it is gone."""
        for button in self.page.get_by_role("dialog").get_by_text("Close", exact=True).all():
            button.click()
        expect(self.page.get_by_role("dialog")).to_have_count(0)


def rows(table: Locator) -> list[list[str]]:
    """The texts of a table's cells, its head left out, white space as a reader sees it."""
    table.locator("tbody tr").first.wait_for()
    read = "rows => rows.map(row => [...row.children].map(cell => cell.textContent.trim().replace(/\\s+/g, ' ')))"
    found: list[list[str]] = table.locator("tbody tr").evaluate_all(read)
    return found
