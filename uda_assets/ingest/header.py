"""The header of a drop: which column has which position."""

from __future__ import annotations

import codecs
from dataclasses import replace
from typing import NamedTuple

from uda_assets.basics.errors import DropUnreadable
from uda_assets.contract.advice import advice_about_encoding, advice_about_header
from uda_assets.contract.columns import COLUMNS, WHITE_SPACE, comparable
from uda_assets.contract.dialects import Dialect
from uda_assets.ingest.source import Source
from uda_assets.kernel import Columns, Kernel, Wanted

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
    """Read the header: the first line that is not blank. Without a header, the dialect has the names of the columns.

    Raises:
        DropUnreadable: There is no header, it is not text, or a required column is missing or named twice.
    """
    body = len(codecs.BOM_UTF8) if source.read(0, 3) == codecs.BOM_UTF8 else 0
    skipped = 0
    for number, line in enumerate(source.lines(body) if dialect.skip_lines or not dialect.header else (), start=1):
        if number <= dialect.skip_lines:
            body, skipped = line.following, number
            if number == dialect.skip_lines and dialect.header:
                break
            continue
        text = _text_of(line.content, number)
        if text.strip(WHITE_SPACE):
            names = _names(line.content, dialect, number)
            return Header(_columns_of(names, dialect, number, text), line.following, number + 1)
    if dialect.header:
        return Header(_columns_of([comparable(name) for name in dialect.header], dialect, 0, ""), body, skipped + 1)
    raise DropUnreadable("no_header", f"there is no header; the first line must name {', '.join(COLUMNS)}")


def _text_of(line: bytes, number: int) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise DropUnreadable(
            "binary_content",
            f"the header, line {number}, is not text (UTF-8, without NUL); deliver a CSV file; "
            f"{advice_about_encoding(line[:100])}",
        )
    return text


def _names(line: bytes, dialect: Dialect, number: int) -> list[str]:
    """Return the names of the columns as they are compared."""
    assert dialect.delimiter
    most = min(line.count(dialect.delimiter.encode()), MOST_COLUMNS) + 1
    kernel = Kernel(replace(dialect, null=()), Columns(most, {COLUMNS[0]: range(most)}), Wanted(0), len(line))
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
    if dialect.trailing_delimiter and len(names) > 1 and not names[-1]:
        names.pop()
    return [name.casefold() for name in names]


def _columns_of(names: list[str], dialect: Dialect, number: int, text: str) -> Columns:
    """Find the columns that make up those of the contract. A constant stands for one that the file does not have."""
    parts, constants = {}, {}
    missing, repeated = [], []
    for column in COLUMNS:
        wanted = [comparable(name) for name in dialect.columns.get(column, (column,))]
        absent = [name for name in wanted if name not in names]
        if absent and column in dialect.constants:
            constants[column] = dialect.constants[column]
            continue
        missing += absent
        repeated += [name for name in wanted if names.count(name) > 1]
        parts[column] = [names.index(name) for name in wanted if name in names]
    if missing:
        raise DropUnreadable(
            "missing_column",
            f"the header, line {number}, has no column {', '.join(dict.fromkeys(missing))}; it must name "
            f"{', '.join(COLUMNS)}; {advice_about_header(text, str(dialect.delimiter))}",
        )
    if repeated:
        raise DropUnreadable(
            "duplicate_column",
            f"the header, line {number}, names {', '.join(dict.fromkeys(repeated))} more than once",
        )
    return Columns(len(names), parts, constants)
