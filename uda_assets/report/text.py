"""Text from data as a report shows it: short, and without characters that cannot be seen."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from uda_assets.basics.visible import visibly

LONGEST_TEXT = 160
"""Characters of a name or id that are shown; of longer ones the rest is told by length and hash."""


class Cut(NamedTuple):
    """A text as it came from a query: its beginning, its length, and its hash where it is longer than that."""

    head: str
    length: int
    mark: str | None

    def shown(self) -> str:
        """As a report shows it."""
        visible = visibly(self.head)
        return visible if self.mark is None else f"{visible}… ({self.length:,} characters, SHA-256 {self.mark}…)"


def cut_sql(column: str, longest: int = LONGEST_TEXT) -> str:
    """SQL for the three columns of a :class:`Cut`; no more than that leaves the database, however long the text is."""
    return (
        f"left({column}, {longest}), length({column}), "
        f"CASE WHEN length({column}) > {longest} THEN left(sha256({column}), 8) END"
    )


def shown(text: str, longest: int = LONGEST_TEXT) -> str:
    """A text as a report shows it."""
    mark = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8] if len(text) > longest else None
    return Cut(text[:longest], len(text), mark).shown()
