"""What a question to the data root is answered with: columns and rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Table(NamedTuple):
    """What a command prints: columns with the types of their values, and rows, which may come as they are printed.

    Not a data frame: to import one takes longer than most commands do.
    """

    columns: Mapping[str, type]
    rows: Iterable[tuple[Any, ...]]
