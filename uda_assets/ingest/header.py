"""The header of a drop: which column has which position."""

from __future__ import annotations

import codecs
from typing import NamedTuple

from uda_assets.basics.errors import DropUnreadable
from uda_assets.contract.columns import COLUMNS, WHITE_SPACE
from uda_assets.ingest.source import Source
from uda_assets.kernel import Columns, Dialect, Kernel, Wanted

MOST_COLUMNS = 1 << 20
"""For a larger number, the names of the columns alone would take gigabytes."""


class Header(NamedTuple):
    """The parsed header of a drop.

    Attributes:
        columns: Where the contract's columns are.
        body: The offset of the first byte after the header's line.
        line: The line number of the first line after the header, from 1.
    """

    columns: Columns
    body: int
    line: int


def read_header(source: Source, dialect: Dialect) -> Header:
    """Read the header: the first line that is not blank.

    Raises:
        DropUnreadable: There is no header, it is not text, or a required column is missing or named twice.
    """
    start = len(codecs.BOM_UTF8) if source.read(0, 3) == codecs.BOM_UTF8 else 0
    for number, line in enumerate(source.lines(start), start=1):
        try:
            text = line.content.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            raise DropUnreadable(
                "binary_content", f"the header, line {number}, is not text (UTF-8, without NUL); deliver a CSV file"
            )
        if text.strip(WHITE_SPACE):
            columns = _columns_of(_names(line.content, dialect, number), number)
            return Header(columns, line.following, number + 1)
    raise DropUnreadable("no_header", f"there is no header; the first line must name {', '.join(COLUMNS)}")


def _names(line: bytes, dialect: Dialect, number: int) -> list[str]:
    """Return the names of the columns, trimmed and casefolded."""
    most = min(line.count(dialect.delimiter), MOST_COLUMNS) + 1
    kernel = Kernel(dialect._replace(null=()), Columns(most, {COLUMNS[0]: range(most)}), Wanted(0), len(line))
    names = kernel.split(line)
    if names is None:
        raise DropUnreadable(
            "bad_header",
            f"the header, line {number}, has a stray quote, or a line end within quotes; correct its quotes",
        )
    if len(names) > MOST_COLUMNS:
        raise DropUnreadable(
            "too_many_columns",
            f"the header, line {number}, names more than {MOST_COLUMNS} columns; deliver only the {len(COLUMNS)} "
            f"required ones: {', '.join(COLUMNS)}",
        )
    return [name.casefold() for name in names]


def _columns_of(names: list[str], number: int) -> Columns:
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
    return Columns(len(names), {name: [names.index(name)] for name in COLUMNS})
