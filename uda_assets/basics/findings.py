"""The result of a check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Finding(NamedTuple):
    """The result of a check.

    Attributes:
        passed: Whether the check passed.
        summary: The result in one sentence.
        cases: The cases that failed, one line each.
    """

    passed: bool
    summary: str
    cases: Sequence[str] = ()
