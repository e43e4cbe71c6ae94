"""The exact grammar of a record: RFC 4180 quoting, applied line by line.

Every physical line is a record of its own, except the continuation lines of a sound record with line ends inside
quotes. If a record's structure is malformed, only its first line is given up. Therefore lines can be judged one by one,
and only a line that ends inside quotes (an *open* line) requires a look at the lines after it.
"""

from __future__ import annotations

import codecs
import re
import sys
from typing import NamedTuple

from uda_assets.contract.columns import WHITE_SPACE

SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""The characters of ``WHITE_SPACE``, as an argument for :meth:`str.strip`."""

_BLANK = f"[{WHITE_SPACE}]*"
# The quantifiers are possessive, because backtracking over millions of quotes would take gigabytes of memory.
_QUOTED_CONTENT = r'([^"]*+(?:""[^"]*+)*+)("?)([^,\r\n]*)'
_QUOTED = re.compile(rf'{_BLANK}"{_QUOTED_CONTENT}')
_CONTINUATION = re.compile(_QUOTED_CONTENT)
_BARE = re.compile(r"[^,\r\n]*")
_ONLY_BLANK = re.compile(_BLANK)


class Scan(NamedTuple):
    """The fields of a text.

    Attributes:
        fields: The fields' values.
        open: Whether the text ends inside quotes.
        bad_quote: Whether a quote is in a wrong place.
    """

    fields: list[str]
    open: bool
    bad_quote: bool


def scan(text: str, *, inside: bool = False, most: int = sys.maxsize) -> Scan:
    """Split the text of a record into fields.

    Args:
        text: A physical line, or several with line ends inside quotes; without the final line end.
        inside: Whether the text starts inside a quoted field, as a record's continuation lines do.
        most: The largest number of fields to return; the text may have more.
    """
    fields: list[str] = []
    bad, position, last_quote = False, 0, text.rfind('"')
    while True:
        quoted = (_CONTINUATION if inside else _QUOTED).match(text, position)
        inside = False
        if quoted:
            content, closing, after_quote = quoted.groups()
            if not closing:
                return Scan([*fields, content][:most], True, bad)
            bad = bad or not is_blank(after_quote)
            value = content.replace('""', '"')
            position = quoted.end()
        else:
            bare = _BARE.match(text, position)
            assert bare is not None  # the pattern also matches an empty text
            bad = bad or '"' in bare.group()
            value = bare.group()
            position = bare.end()
        if len(fields) < most:
            fields.append(value)
        if text[position : position + 1] != ",":
            return Scan(fields, False, bad)
        position += 1
        if len(fields) >= most and position > last_quote:
            return Scan(fields, False, bad)


def is_blank(text: str) -> bool:
    """Return whether a text is empty or only white space."""
    return _ONLY_BLANK.fullmatch(text) is not None


def is_utf8(content: bytes | memoryview) -> bool:
    """Return whether bytes are well-formed UTF-8."""
    try:
        codecs.utf_8_decode(content, "strict", True)
    except UnicodeDecodeError:
        return False
    return True


def decode(content: bytes) -> str:
    """Decode bytes to a text with the same quotes and commas, even if they are not UTF-8."""
    return content.decode(errors="surrogateescape")


def printable_raw(content: bytes) -> str:
    r"""Decode raw bytes for the quarantine; a byte that is not UTF-8 becomes a text such as ``\xff``."""
    return content.decode(errors="backslashreplace")
