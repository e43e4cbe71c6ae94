"""Tables on stdout and in files, messages on stderr."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from uda_assets.basics.errors import UdaError, UsageError
from uda_assets.basics.visible import visibly
from uda_assets.storage import replacing
from uda_assets.warehouse.answers import Table

if TYPE_CHECKING:
    import polars as pl


class Format(StrEnum):
    """How a table is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def table_of(frame: pl.DataFrame) -> Table:
    """A data frame as a table."""
    return Table({name: kind.to_python() for name, kind in frame.schema.items()}, frame.rows())


_BY_SUFFIX = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".txt": "table"}


def say(message: str) -> None:
    """A message for people, on stderr."""
    print(visibly(message), file=sys.stderr)  # noqa: T201


def print_table(table: Table, form: Format) -> None:
    """A table on stdout, in UTF-8 whatever the locale, as it would be in a file."""
    if sys.stdout is None:
        raise UdaError("stdout is closed; name a file by --output")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    pieces = rendered(table, form)
    if form is Format.TABLE and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        pieces = _as_columns(table, shutil.get_terminal_size().columns, bold=not os.environ.get("NO_COLOR"))
    for piece in pieces:
        sys.stdout.write(piece)
    sys.stdout.flush()


def output_kind(path: Path) -> str:
    """What kind of file a name asks for.

    Raises:
        UsageError: The name ends in nothing we write.
    """
    kind = _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"--output {path}: name a file that ends in .csv, .parquet, .json or .txt")
    return kind


def write_table(table: Table, path: Path, form: Format | None = None) -> None:
    """A table in a file, whole or not at all; its kind is ``form`` or follows from the name.

    A device or a pipe is written to; a link stays one.
    """
    kind = form.value if form else output_kind(path)
    with written_whole(path) as target:
        if kind == "parquet":
            buffer = io.BytesIO()
            _write_parquet(table, buffer)
            target.write_bytes(buffer.getvalue())
        else:
            with target.open("w", encoding="utf-8", newline="") as file:
                file.writelines(rendered(table, Format(kind)))


def write_whole(content: bytes, path: Path) -> None:
    """A file, whole or not at all; a device or a pipe is written to, a link stays one.

    Raises:
        UdaError: It cannot be written.
    """
    with written_whole(path) as target:
        target.write_bytes(content)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path to write to that becomes the file at the end, and on any error nothing.

    It is the path itself where that is a device or a pipe; a link stays one.

    Raises:
        UdaError: It cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        with replacing(path.resolve()) as temporary:
            yield temporary
    except (OSError, RuntimeError) as error:
        raise UdaError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None


def _write_parquet(table: Table, buffer: io.BytesIO) -> None:
    import polars as pl

    kinds = {str: pl.String(), int: pl.Int64(), datetime: pl.Datetime("us", "UTC")}
    schema = {name: kinds[kind] for name, kind in table.columns.items()}
    pl.DataFrame(list(table.rows), schema=schema, orient="row").write_parquet(buffer)


def rendered(table: Table, form: Format) -> Iterator[str]:
    """A table as text, in pieces; of its rows no more than some thousands are held at once."""
    return {Format.CSV: _as_csv, Format.JSON: _as_json, Format.TABLE: _as_columns}[form](table)


def _as_csv(table: Table) -> Iterator[str]:
    yield ",".join(map(_quoted, table.columns)) + "\n"
    for row in table.rows:
        yield ",".join([_quoted(_csv_text(value)) for value in row]) + "\n"


def _as_json(table: Table) -> Iterator[str]:
    before = "[\n"
    for row in table.rows:
        values = dict(zip(table.columns, map(_json_value, row), strict=True))
        yield before + "  " + _json_text(values, indent=2).replace("\n", "\n  ")
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _csv_text(value: object) -> str | None:
    """The text of a field, as Polars writes it to the result files; what has parts is JSON."""
    if isinstance(value, datetime):
        text = _in_utc(value).replace(tzinfo=None).isoformat(timespec="microseconds")
        return text + "+0000" if value.tzinfo else text
    if isinstance(value, list | tuple | dict):
        return _json_text(_json_value(value))
    if isinstance(value, bytes):
        return _hexadecimal(value)
    return None if value is None else str(value)


def _quoted(text: str | None) -> str:
    """A CSV field: nothing where there is no value, which an empty text is not."""
    if text is None:
        return ""
    if text and not any(character in text for character in ',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'


def _json_value(value: object) -> object:
    """A value as JSON has it; numbers that it has none for are texts."""
    if isinstance(value, dict):
        return {_text(key): _json_value(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(part) for part in value]
    if isinstance(value, Decimal):
        return near if Decimal(repr(near := float(value))) == value else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float) else _text(value)


def _json_text(value: object, indent: int | None = None) -> str:
    """JSON in which control codes are escaped, also those that it would let pass."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else _json_escape(one) for one in text)


def _json_escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if character <= "\uffff" else json.dumps(character)[1:-1]


def _text(value: object) -> str:
    if isinstance(value, datetime):
        value = _in_utc(value)
    if isinstance(value, list | tuple | dict):
        text = _json_text(_json_value(value))
    elif isinstance(value, bytes):
        text = _hexadecimal(value)
    else:
        text = value.isoformat() if isinstance(value, date | time) else str(value)
    return visibly(text)


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment


def _hexadecimal(value: bytes) -> str:
    return "\\x" + value.hex()


_ROWS_ALIGNED = 5_000


_LEAST_WIDTH = 8


def _as_columns(table: Table, room: int | None = None, *, bold: bool = False) -> Iterator[str]:
    """Columns wide enough for the rows so far, of which some thousands are seen at once.

    Args:
        table: What to print.
        room: Columns of the terminal; the widest cells are cut, and say so by an ellipsis, where there is not enough.
        bold: Print the header so.

    """
    rows = iter(table.rows)
    header = [visibly(name) for name in table.columns]
    widths = [_width(name) for name in header]
    right = [kind is int for kind in table.columns.values()]
    first = True
    while True:
        batch = [["" if value is None else _text(value) for value in row] for row in islice(rows, _ROWS_ALIGNED)]
        widths = [max(width, *(_width(row[i]) for row in batch), 0) for i, width in enumerate(widths)]
        if room is not None:
            widths = _within(room, widths)
        if first:
            line = _line(map(_cut, header, widths), widths, right)
            yield f"\x1b[1m{line}\x1b[0m\n" if bold else f"{line}\n"
            yield "  ".join("-" * width for width in widths) + "\n"
        yield "".join(_line(row if room is None else map(_cut, row, widths), widths, right) + "\n" for row in batch)
        if len(batch) < _ROWS_ALIGNED:
            return
        first = False


def _line(cells: Iterable[str], widths: list[int], right: list[bool]) -> str:
    filled = [
        " " * (width - _width(cell)) + cell if flush else cell + " " * (width - _width(cell))
        for cell, width, flush in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(filled).rstrip()


def _within(room: int, widths: list[int]) -> list[int]:
    """Widths that fit, if they can: the widest are made as narrow as the next ones."""
    widths, over = list(widths), sum(widths) + 2 * (len(widths) - 1) - room
    while over > 0 and (widest := max(widths)) > _LEAST_WIDTH:
        many = widths.count(widest)
        below = max([_LEAST_WIDTH, *(width for width in widths if width < widest)])
        target = max(below, widest - max(1, over // many))
        over -= many * (widest - target)
        widths = [target if width == widest else width for width in widths]
    return widths


def _cut(text: str, width: int) -> str:
    """Text that is no wider than it may be."""
    if _width(text) <= width:
        return text
    end = width - 1
    while _width(text[:end]) > width - 1:
        end -= 1
    return text[:end] + "…"


def _width(text: str) -> int:
    """Columns that a terminal takes for a text: two for each wide character of East Asia, none for a mark above one."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )
