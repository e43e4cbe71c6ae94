"""Where a record with open quotes ends: looking ahead, once for all lines that run to the same place."""

from __future__ import annotations

from threading import Lock
from typing import NamedTuple

from uda_assets.contract.reasons import Reason
from uda_assets.ingest.lines import count_lines, is_text
from uda_assets.ingest.records import decode, is_utf8, scan
from uda_assets.ingest.source import Source


class Extent(NamedTuple):
    """What follows an open line up to its record's end.

    Attributes:
        start: Offset of the line after the open one; every line boundary from here to ``end`` lies inside quotes.
        end: Offset at which the record ends, behind its line end.
        lines: Physical lines from ``start`` to ``end``.
        unterminated: The quotes never close.
        last_bad_quote: Offset behind the last line with a misplaced quote, or -1.
        last_undecodable: Offset behind the last line that is not UTF-8, or -1.

    """

    start: int
    end: int
    lines: int
    unterminated: bool
    last_bad_quote: int
    last_undecodable: int

    def faults_after(self, offset: int) -> Reason | None:
        """What is wrong with the part of the extent from ``offset`` on."""
        if self.last_undecodable > offset:
            return Reason.ENCODING
        if self.unterminated:
            return Reason.UNTERMINATED_QUOTE
        if self.last_bad_quote > offset:
            return Reason.BAD_QUOTE
        return None


class LookAhead:
    """Finds where records with open lines end.

    Stray quotes may open on many lines and all run to the same place. Each line boundary inside an extent is inside
    quotes, so an open line that ends within a known extent shares its end: the file is not walked again for each.
    """

    _REMEMBERED = 64

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: list[Extent] = []
        self._lock = Lock()

    def fault(self, offset: int) -> Reason | None:
        """What is wrong with the rest of the record whose open line ends at ``offset``."""
        with self._lock:
            for extent in self._known:
                if extent.start <= offset < extent.end:
                    return extent.faults_after(offset)
            return self._walk(offset).faults_after(offset)

    def extent(self, offset: int) -> Extent:
        """The extent that starts at ``offset`` itself."""
        with self._lock:
            return next((known for known in self._known if known.start == offset), None) or self._walk(offset)

    def _walk(self, offset: int) -> Extent:
        extent = _measure(self._source, offset)
        self._known = [extent, *self._known[: self._REMEMBERED - 1]]
        return extent


def _measure(source: Source, offset: int) -> Extent:
    """Walk from an open line's end to the end of its record."""
    end, lines, bad_quote, undecodable = offset, 0, -1, -1
    for block in source.blocks(offset):
        if b'"' not in block and len(block) <= source.bounds.record and is_text(block):
            # Most of a long extent; nothing is to be learnt of its lines but their number.
            end, lines = end + len(block), lines + count_lines(block)
            continue
        for line in source.lines_of(block, end):
            end, lines = line.following, lines + 1
            if not line.content.isascii() and not is_utf8(line.content):
                undecodable = end
            if b'"' not in line.content:
                continue
            rest = scan(decode(line.content), inside=True, most=0)
            if rest.bad_quote:
                bad_quote = end
            if not rest.open:
                return Extent(offset, end, lines, False, bad_quote, undecodable)
    return Extent(offset, end, lines, True, bad_quote, undecodable)
