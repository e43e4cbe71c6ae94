"""The grammar of a record, exactly: RFC 4180 quoting, judged line by line.

Every physical line is a record of its own, except the further lines of a sound record with line ends inside quotes:
a record that is malformed in its structure gives up its first line only. So lines can be looked at one by one, and only
one that ends inside quotes (an *open* line) needs to look ahead.
"""

from __future__ import annotations

import codecs
import re
import sys
from typing import NamedTuple

from uda_assets.contract.columns import WHITE_SPACE

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
    bad, position, last_quote = False, 0, text.rfind('"')
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
        if len(fields) >= most and position > last_quote:
            return Scan(fields, False, bad)


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
