"""Names that would do harm in a careless page."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

USERS = [
    "<script>window.harmed=1</script>",
    "</script><script>window.harmed=2</script>",
    "</title></style><img src=x onerror=window.harmed=3>",
    '"><svg onload=window.harmed=4>',
    "' onmouseover='window.harmed=5",
    "<!--<script>",
    "]]>--><b>bold</b>",
    "&lt;script&gt;",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://127.0.0.1:9/")',
    "{{ 7 * 7 }}{% raw %}",
    "${window.harmed=6}`",
    "\\u003cscript\\u003e\\",
    "javascript:window.harmed=7",
    "datum.value + event.x",
    "__proto__",
    "constructor",
    "'; DROP TABLE sessions; --",
    "\u202egnp.exe",
    "\u2066left\u2069 \u200f right \u061c",
    "مستخدم محلي 12",
    "line\u2028separator\u2029s",
    "zero\u200bwidth\ufeff",
    "e" + "\u0301" * 60,
    "🏴\u200d☠️ 日本語",
    "w" * 10_000,
    "v " * 5_000 + "end",
    "<" * 10_000,
]
PLATFORMS = [
    "<img src=x onerror=window.harmed=8>",
    "</script>tv",
    "__proto__",
    "'\"]; window.harmed=9 //",
    "תלוויזיה",
    "m" * 200,
]
DROPS = [
    "<script>window.harmed=10<.csv",
    "=cmd().csv",
    "new\nline\u202e.csv",
    "d" * 200 + ".csv",
]
RAW = [
    "<script>window.harmed=11</script>,s,ios",
    "</td></table><iframe src=//127.0.0.1:9>,\x1b[31m\u202e",
    "r" * 20_000,
]

Record = tuple[str, str, str, str]
"""User id, session id, platform and time."""


def records() -> list[Record]:
    """Return records in which the nth user has n sessions on iOS, and some users have one on each hostile platform."""
    ios = [
        (user, f"{place}-{number}", "iOS", f"2026-01-{number % 28 + 1:02}T00:00:00Z")
        for place, user in enumerate(USERS)
        for number in range(place + 1)
    ]
    return ios + [
        (user, f"{place}", platform, "2026-01-01T00:00:00Z")
        for platform in PLATFORMS
        for place, user in enumerate(USERS[:12])
    ]


def write(path: Path, rows: Iterable[Sequence[str]], malformed: Iterable[str] = ()) -> None:
    """Write a drop as CSV, followed by malformed lines as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["user_id", "session_id", "platform", "activity_time", "activity_type"])
        writer.writerows([*row, "view"] for row in rows)
        file.writelines(f"{line}\n" for line in malformed)


def deliver(root: Path) -> None:
    """Deliver all hostile records and lines, in drops with hostile names."""
    parts = records()
    for place, name in enumerate(DROPS):
        write(root / "datasets" / name, parts[place :: len(DROPS)], RAW)
