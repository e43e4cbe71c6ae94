"""What all peers agree on: their arguments, the top 50, and what the platforms' spellings mean."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

N = 50
"""Users a platform."""

COLUMNS = ("user_id", "session_id", "platform", "activity_time", "activity_type")

SPELLINGS = {
    "ios": "iOS", "android": "Android", "web": "Web",
    "ｉｏｓ": "iOS", "ａｎｄｒｏｉｄ": "Android", "ｗｅｂ": "Web",
}  # fmt: skip
"""Trimmed and in lower case, to canonical. The wide letters occur, and no library below has NFKC in one word."""


class Arguments(NamedTuple):
    """Which file to read, where the leaderboard goes, and whether to read on behind a malformed record."""

    file: Path
    out: Path
    skip_errors: bool


def arguments(description: str | None) -> Arguments:
    """The command line of a peer."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--skip-errors", action="store_true")
    options = parser.parse_args()
    return Arguments(options.file, options.out, options.skip_errors)


def sql_case(normalised: str) -> str:
    """An SQL expression for the canonical platform, NULL where there is none."""
    cases = " ".join(f"WHEN '{spelling}' THEN '{name}'" for spelling, name in SPELLINGS.items())
    return f"CASE {normalised} {cases} END"
