"""The header of a drop: which column has which position."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import NamedTuple

from uda_assets.basics.errors import DropUnreadable
from uda_assets.contract.columns import COLUMNS
from uda_assets.ingest.records import SPACES, is_blank, is_utf8, scan
from uda_assets.ingest.source import Source

MOST_COLUMNS = 1 << 20
"""For a larger number, the names of the columns alone would take gigabytes."""


class Header(NamedTuple):
    """The parsed header of a drop.

    Attributes:
        positions: The position of each required column, from 0.
        width: The number of columns.
        body: The offset of the first byte after the header's line.
        line: The line number of the first line after the header, from 1.
    """

    positions: Mapping[str, int]
    width: int
    body: int
    line: int


def read_header(source: Source) -> Header:
    """Read the header: the first line that is not blank.

    Raises:
        DropUnreadable: There is no header, it is not text, or a required column is missing or named twice.
    """
    start = len(codecs.BOM_UTF8) if source.read(0, 3) == codecs.BOM_UTF8 else 0
    for number, line in enumerate(source.lines(start), start=1):
        if not is_utf8(line.content) or b"\0" in line.content:
            raise DropUnreadable(
                "binary_content", f"the header, line {number}, is not text (UTF-8, without NUL); deliver a CSV file"
            )
        text = line.content.decode()
        if not is_blank(text):
            return _parse(text, line.following, number)
    raise DropUnreadable("no_header", f"there is no header; the first line must name {', '.join(COLUMNS)}")


def _parse(text: str, body: int, number: int) -> Header:
    parsed = scan(text, most=MOST_COLUMNS + 1)
    if parsed.open or parsed.bad_quote:
        raise DropUnreadable(
            "bad_header",
            f"the header, line {number}, has a stray quote, or a line end within quotes; correct its quotes",
        )
    if len(parsed.fields) > MOST_COLUMNS:
        raise DropUnreadable(
            "too_many_columns",
            f"the header, line {number}, names more than {MOST_COLUMNS} columns; deliver only the {len(COLUMNS)} "
            f"required ones: {', '.join(COLUMNS)}",
        )
    names = [name.strip(SPACES).casefold() for name in parsed.fields]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise DropUnreadable(
            "missing_column",
            f"the header, line {number}, has no column {', '.join(missing)}; it must name {', '.join(COLUMNS)}",
        )
    repeated = [name for name in COLUMNS if names.count(name) > 1]
    if repeated:
        raise DropUnreadable(
            "duplicate_column", f"the header, line {number}, names {', '.join(repeated)} more than once"
        )
    return Header({name: names.index(name) for name in COLUMNS}, len(names), body, number + 1)
