"""Sizes of memory and of files, as people write them."""

from __future__ import annotations

import re

from uda_assets.basics.errors import UsageError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def memory_bytes(text: str, name: str = "memory_limit") -> int:
    """Return a size such as ``1GiB`` or ``512 MB`` in bytes.

    Args:
        text: The size.
        name: The setting that holds it, for the error message.

    Raises:
        UsageError: The text is not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", text.upper())
    if match is None or match[2] not in _UNITS:
        raise UsageError(f"{name} cannot be {text!r}; write it like 1GiB")
    return int(float(match[1]) * _UNITS[match[2]])
