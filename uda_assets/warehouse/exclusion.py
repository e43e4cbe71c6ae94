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
        return _character_class(piece[1:-1])
    return re.escape(piece)


def _character_class(inside: str) -> str:
    """Return a set of characters, of which ranges that run backwards are no part, as for :mod:`fnmatch`."""
    is_negated = inside.startswith("!") and len(inside) > 1
    inside, parts, at = inside[is_negated:], [], 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            if inside[at] <= inside[at + 2]:
                parts.append(f"{_literal(inside[at])}-{_literal(inside[at + 2])}")
            at += 3
        else:
            parts.append(_literal(inside[at]))
            at += 1
    if not parts:
        return "." if is_negated else _NOTHING
    return f"[{'^' * is_negated}{''.join(parts)}]"


def _literal(character: str) -> str:
    return f"\\x{{{ord(character):x}}}"


_NOTHING = r"[^\x{0}-\x{10ffff}]"
