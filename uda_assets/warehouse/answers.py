"""The answer to a question about the data root: columns and rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """Columns and rows for a command to print or write.

    It is not a data frame, because importing a data frame library takes longer than most commands run.

    Attributes:
        columns: The type of each column's values, by name.
        rows: The rows; they may be read only while they are printed.
    """

    columns: Mapping[str, type]
    rows: Iterable[tuple[Any, ...]]
