"""Makes a report for a test, and reads its elements and its embedded data."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from uda_assets.lake import open_lake
from uda_assets.report import build_report, write_report
from uda_assets_tests.support.chain import settings_of


def report_of(root: Path, **overrides: Any) -> Path:
    settings = settings_of(root, **overrides)
    lake = open_lake(settings)
    with lake.writing(0):
        return write_report(lake, build_report(lake, settings))


class Parsed(HTMLParser):
    """A page's elements with their attributes, its visible text, and its embedded data."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.embedded = ""
        self._within = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._within = "data" if dict(attrs).get("type") == "application/json" else tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "data":
            self.embedded += data
        elif not self._within:
            self.text += data

    @property
    def data(self) -> Any:
        return json.loads(self.embedded)
