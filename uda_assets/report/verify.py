"""What a report promises, verified on the file as it was written."""

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
"""More than the worst that the bounds of :mod:`uda_assets.report.content` allow."""

_CASES = 20


def shows_leaderboard(report: Path, result: Path) -> Finding:
    """The leaderboards in a report are those of the Result CSV, as far down as a report goes."""
    platforms = json.loads(_Page(report).data)["platforms"]
    found = {platform["name"]: [row[:2] for row in platform["top"]] for platform in platforms if platform["top"]}
    # Unlike Python's csv, Polars takes fields of any length.
    rows = pl.read_csv(result, schema=LEADERBOARD_SCHEMA).iter_rows()
    listed = {
        shown(name): [[shown(user), count] for _, user, count in islice(group, MOST_USERS)]
        for name, group in groupby(rows, key=lambda row: row[0])
    }
    faults = [f"{name}: the report says otherwise" for name in found if found[name] != listed.get(name)]
    if len(listed) <= MOST_PLATFORMS:
        faults += [f"{name}: it is not in the report" for name in listed.keys() - found.keys()]
    users = sum(map(len, found.values()))
    summary = (
        f"{len(faults)} leaderboards differ" if faults else f"{users} users of {len(found)} platforms, as published"
    )
    return Finding(not faults, summary, faults[:_CASES])


def is_self_contained(report: Path) -> Finding:
    """A report names no other file or page, runs no script but its own, and is small enough to be mailed."""
    page = _Page(report)
    faults = [f"it refers to {target[:100]!r}" for target in page.references]
    hashes = [policy_hash(script) for script in [*page.scripts, *page.styles]]
    faults += [f"{mark} is not allowed by the policy" for mark in hashes if mark not in page.policy]
    if not page.policy.startswith("default-src 'none';") or "unsafe" in page.policy:
        faults.append(f"the policy is {page.policy[:200]!r}")
    size = report.stat().st_size
    if size > LARGEST_REPORT:
        faults.append(f"it has {size:,} bytes")
    summary = f"{len(faults)} faults" if faults else f"one file of {size:,} bytes"
    return Finding(not faults, summary, faults[:_CASES])


class _Page(HTMLParser):
    """What of a page could run, or ask for something."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.policy = ""
        self.data = ""
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.references: list[str] = []
        self._into: list[str] | None = None
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
            is_data = given.get("type") == "application/json"
            self._into = self.styles if tag == "style" else [] if is_data else self.scripts

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._parts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if self._into is not None and tag in ("script", "style"):
            text = "".join(self._parts)
            self._into.append(text)
            if self._into is not self.scripts and self._into is not self.styles:
                self.data = text
            self._into = None
