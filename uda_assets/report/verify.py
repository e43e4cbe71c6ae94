"""Checks of a written report: its numbers are the published ones, and it needs nothing but itself."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import polars as pl

from uda_assets.basics.findings import Finding
from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.report.content import MOST_PLATFORMS, MOST_USERS
from uda_assets.report.page import policy_hash
from uda_assets.report.text import shown

LARGEST_REPORT = 24 << 20
"""The largest size in bytes; the limits in :mod:`uda_assets.report.content` keep every report below it."""

_MOST_FAULTS = 20


def shows_leaderboard(report: Path, result: Path) -> Finding:
    """Check that the leaderboards in a report are those of the Result CSV, as far down as it shows them."""
    platforms = json.loads(_Page(report).data)["platforms"]
    reported = {platform["name"]: [row[:2] for row in platform["top"]] for platform in platforms if platform["top"]}
    # Unlike Python's csv, Polars takes fields of any length.
    rows = pl.read_csv(result.read_bytes(), schema=LEADERBOARD_SCHEMA).iter_rows()
    published = {
        shown(name): [[shown(user), count] for _, user, count in islice(group, MOST_USERS)]
        for name, group in groupby(rows, key=lambda row: row[0])
    }
    faults = [
        f"{name}: the leaderboard in the report differs from the Result CSV"
        for name in reported
        if reported[name] != published.get(name)
    ]
    if len(published) <= MOST_PLATFORMS:
        faults += [f"{name}: the leaderboard is missing from the report" for name in published.keys() - reported.keys()]
    users = sum(map(len, reported.values()))
    summary = (
        f"{len(faults)} leaderboards differ"
        if faults
        else f"{users} users of {len(reported)} platforms, the same as in the Result CSV"
    )
    return Finding(not faults, summary, faults[:_MOST_FAULTS])


def is_self_contained(report: Path) -> Finding:
    """Check that a report refers to no other file, runs only its own scripts, and is small enough to be mailed."""
    page = _Page(report)
    faults = [f"the page refers to {target[:100]!r}" for target in page.references]
    hashes = [policy_hash(script) for script in [*page.scripts, *page.styles]]
    faults += [
        f"the policy does not allow the script or style sheet {digest}"
        for digest in hashes
        if digest not in page.policy
    ]
    if not page.policy.startswith("default-src 'none';") or "unsafe" in page.policy:
        faults.append(f"the policy is not strict enough: {page.policy[:200]!r}")
    size = report.stat().st_size
    if size > LARGEST_REPORT:
        faults.append(f"the file has {size:,} bytes, more than {LARGEST_REPORT:,}")
    summary = f"{len(faults)} faults" if faults else f"one file of {size:,} bytes"
    return Finding(not faults, summary, faults[:_MOST_FAULTS])


class _Page(HTMLParser):
    """The parts of a page that can run something or make a request, and the data."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.policy = ""
        self.data = ""
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.references: list[str] = []
        self._open = ""
        self._parts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, Any] = {name: value or "" for name, value in attrs}
        if given.get("http-equiv", "").lower() == "content-security-policy":
            self.policy = given["content"]
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            if name in given and not given[name].startswith("#"):
                self.references.append(given[name])
        self.references += [name for name in given if name.startswith("on") or name == "style"]
        if tag in ("script", "style"):
            self._parts = []
            self._open = "data" if tag == "script" and given.get("type") == "application/json" else tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self._parts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or tag not in ("script", "style"):
            return
        text = "".join(self._parts)
        if self._open == "data":
            self.data = text
        else:
            (self.styles if self._open == "style" else self.scripts).append(text)
        self._open = ""
