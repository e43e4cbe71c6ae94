"""Decide by their names alone which files below ``datasets/`` may be drops."""

from __future__ import annotations

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
"""The suffixes of delimited text, in any case."""
COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz", ".zip")
"""The suffixes of archives of one such file."""
_UNFINISHED_SUFFIXES = (".part", ".tmp", ".filepart", ".crdownload")


def is_delimited_text(name: str) -> bool:
    """Return whether a file has the name of delimited text that is not compressed."""
    return name.lower().endswith(TEXT_SUFFIXES)


def compression_of(name: str) -> str:
    """Return the suffix of a compressed drop in lower case, or nothing if the name has none."""
    name = name.lower()
    return next((suffix for suffix in COMPRESSIONS if name.endswith(suffix)), "")


def may_be_a_drop(name: str) -> bool:
    """Return whether a file has the name of a drop. A ``.zip`` file need not tell what is in it."""
    compression = compression_of(name)
    return compression == ".zip" or is_delimited_text(name[: len(name) - len(compression)])


def is_hidden_or_unfinished(name: str) -> bool:
    """Return whether the name says to leave a file alone, or a directory with everything in it."""
    return name.startswith(".") or name.lower().endswith(_UNFINISHED_SUFFIXES)


def is_a_marker(name: str) -> bool:
    """Return whether a file only marks something, as ``_SUCCESS`` does."""
    return name.startswith("_") and not may_be_a_drop(name)
