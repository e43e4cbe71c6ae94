"""Text from data as a report shows it: shortened, with invisible characters escaped."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from uda_assets.basics.visible import visibly

LONGEST_TEXT = 160
"""The most characters of a name or id that are shown; a longer one is shortened, and shown with its length and hash."""


class Shortened(NamedTuple):
    """A text that a query may have shortened.

    Attributes:
        head: The beginning of the text.
        length: Length in characters of the whole text.
        digest: The beginning of the whole text's SHA-256, if the text was shortened.
    """

    head: str
    length: int
    digest: str | None

    def shown(self) -> str:
        """Return the text as a report shows it."""
        visible = visibly(self.head)
        return visible if self.digest is None else f"{visible}… ({self.length:,} characters, SHA-256 {self.digest}…)"


def shortened_sql(column: str, longest: int = LONGEST_TEXT) -> str:
    """Return SQL for the three columns of a :class:`Shortened` text, so that no long text leaves the database."""
    return (
        f"left({column}, {longest}), length({column}), "
        f"CASE WHEN length({column}) > {longest} THEN left(sha256({column}), 8) END"
    )


def shown(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return the text as a report shows it, with at most ``longest`` of its characters."""
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8] if len(text) > longest else None
    return Shortened(text[:longest], len(text), digest).shown()
