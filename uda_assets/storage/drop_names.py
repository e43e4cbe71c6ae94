"""Which files below ``datasets`` may be drops, by their names alone."""

from __future__ import annotations

DROP_SUFFIXES = (".csv", ".csv.gz", ".csv.zst")
_UNFINISHED_SUFFIXES = (".part", ".tmp")


def may_be_a_drop(name: str) -> bool:
    """Whether a file is named like a drop."""
    return name.lower().endswith(DROP_SUFFIXES)


def is_hidden_or_unfinished(name: str) -> bool:
    """Whether a file or directory, and all in it, is not to be looked at (yet)."""
    return name.startswith(".") or name.endswith(_UNFINISHED_SUFFIXES)
