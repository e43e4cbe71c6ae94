"""What a check found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Finding(NamedTuple):
    """Whether a promise holds, in one sentence, and the cases where it does not."""

    passed: bool
    summary: str
    cases: Sequence[str] = ()
