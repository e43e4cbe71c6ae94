"""The grammar of a record, exactly: RFC 4180 quoting, judged line by line.

Every physical line is a record of its own, except the further lines of a sound record with line ends inside quotes:
a record that is malformed in its structure gives up its first line only. So lines can be looked at one by one, and only
one that ends inside quotes (an *open* line) needs to look ahead.
"""

from __future__ import annotations

import codecs
import re
import sys
from threading import Lock
from typing import NamedTuple

from uda_assets.contract import WHITE_SPACE, Reason
from uda_assets.ingest.source import Source

SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""The characters of ``WHITE_SPACE``, for :meth:`str.strip`."""

_BLANK = f"[{WHITE_SPACE}]*"
# Possessive, since nothing behind can fail: to go back to each of millions of quotes would take gigabytes.
_CONTENT = r'([^"]*+(?:""[^"]*+)*+)("?)([^,\r\n]*)'
_QUOTED = re.compile(rf'{_BLANK}"{_CONTENT}')
_INSIDE = re.compile(_CONTENT)
_BARE = re.compile(r"[^,\r\n]*")
_ONLY_BLANK = re.compile(_BLANK)


class Scan(NamedTuple):
    """What a text holds: its fields, whether it ends inside quotes, and whether a quote stands where none may."""

    fields: list[str]
    open: bool
    bad_quote: bool


def scan(text: str, *, inside: bool = False, most: int = sys.maxsize) -> Scan:
    """Take one record's text apart.

    Args:
        text: A physical line, or several where line ends stand inside quotes; without the final line end.
        inside: The text starts inside a quoted field, as a record's further lines do.
        most: How many fields are given, of more that there may be.

    """
    fields: list[str] = []
    bad, position = False, 0
    while True:
        quoted = (_INSIDE if inside else _QUOTED).match(text, position)
        inside = False
        if quoted:
            content, closing, beside = quoted.groups()
            if not closing:
                return Scan([*fields, content][:most], True, bad)
            bad = bad or not is_blank(beside)
            value = content.replace('""', '"')
            position = quoted.end()
        else:
            bare = _BARE.match(text, position)
            assert bare is not None  # it matches the empty text too
            bad = bad or '"' in bare.group()
            value = bare.group()
            position = bare.end()
        if len(fields) < most:
            fields.append(value)
        if text[position : position + 1] != ",":
            return Scan(fields, False, bad)
        position += 1


def is_blank(text: str) -> bool:
    """Whether the text is nothing but white space."""
    return _ONLY_BLANK.fullmatch(text) is not None


def is_utf8(content: bytes | memoryview) -> bool:
    """Whether the bytes are well-formed UTF-8."""
    try:
        codecs.utf_8_decode(content, "strict", True)
    except UnicodeDecodeError:
        return False
    return True


def decode(content: bytes) -> str:
    """The text of bytes whose structure matters even where they are not UTF-8."""
    return content.decode(errors="surrogateescape")


def printable_raw(content: bytes) -> str:
    r"""Raw bytes as the text that the quarantine keeps: undecodable bytes as ``\xff``."""
    return content.decode(errors="backslashreplace")


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
    for line in source.lines(offset):
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
