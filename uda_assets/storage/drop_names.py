"""Decide by their names alone which files below ``datasets/`` may be drops."""

from __future__ import annotations

DROP_SUFFIXES = (".csv", ".csv.gz", ".csv.zst")
_UNFINISHED_SUFFIXES = (".part", ".tmp")


def may_be_a_drop(name: str) -> bool:
    """Return whether a file has the name of a drop."""
    return name.lower().endswith(DROP_SUFFIXES)


def is_hidden_or_unfinished(name: str) -> bool:
    """Return whether the name says to ignore a file, or a directory with everything in it."""
    return name.startswith(".") or name.endswith(_UNFINISHED_SUFFIXES)
