"""Users who are left out when users are ranked: test accounts, null-like ids, robots."""

from __future__ import annotations

import re

from uda_assets.warehouse.database import literal

EVERYONE = "true"
"""The SQL condition of users who are ranked, if nobody is left out."""


def patterns_of(text: str) -> list[str]:
    """Return the patterns in a setting, which are separated by commas."""
    return [pattern.strip() for pattern in text.split(",") if pattern.strip()]


def ranked(exclude_users: str) -> str:
    """Return an SQL condition on ``user_id`` that is true of users who are ranked.

    Args:
        exclude_users: Patterns as of :mod:`fnmatch`, separated by commas.
    """
    patterns = patterns_of(exclude_users)
    return f"NOT ({' OR '.join(map(excluded_by, patterns))})" if patterns else EVERYONE


def excluded_by(pattern: str) -> str:
    """Return an SQL condition on ``user_id`` that is true of users whom a pattern leaves out."""
    return f"regexp_full_match(user_id, {literal(_regex(pattern))}, 's')"


def _regex(pattern: str) -> str:
    """Return a pattern of :mod:`fnmatch` as a regular expression of DuckDB."""
    pieces = re.findall(r"\*+|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)
    return "".join(map(_piece, pieces))


def _piece(piece: str) -> str:
    if piece.startswith("*"):
        return ".*"
    if piece == "?":
        return "."
    if len(piece) > 2 and piece.startswith("["):
        inside = piece[1:-1]
        negated, inside = ("^", inside[1:]) if inside.startswith("!") else ("", inside)
        escaped = re.sub(r"([\[\]\\^&~|])", r"\\\1", inside)
        return f"[{negated}{escaped}]" if inside else re.escape(piece)
    return re.escape(piece)
