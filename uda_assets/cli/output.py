"""Writing of answers to stdout and to files, and of messages to stderr."""

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
from uda_assets.warehouse.answers import Answer

if TYPE_CHECKING:
    import polars as pl


_KIND_OF_SUFFIX = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".txt": "table"}
_ROWS_ALIGNED = 5_000
"""How many rows of a table are aligned with each other, and held in memory at once."""
_LEAST_WIDTH = 8
_MOST_WIDTH = 120
"""A longer cell sticks out instead of widening its column, so that one long id does not pad every row."""


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def table_of(frame: pl.DataFrame) -> Answer:
    """Return a data frame as an answer."""
    return Answer({name: kind.to_python() for name, kind in frame.schema.items()}, frame.rows())


def say(message: str) -> None:
    """Print a message on stderr."""
    print(visibly(message), file=sys.stderr)  # noqa: T201


def print_table(answer: Answer, form: Format) -> None:
    """Print an answer on stdout as :func:`write_table` would write it to a file: in UTF-8 whatever the locale."""
    if sys.stdout is None:
        raise UdaError("stdout is closed; name a file by --output")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    pieces = render(answer, form)
    if form is Format.TABLE and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        pieces = _as_columns(answer, shutil.get_terminal_size().columns, bold=not os.environ.get("NO_COLOR"))
    for piece in pieces:
        sys.stdout.write(piece)
    sys.stdout.flush()


def output_kind(path: Path) -> str:
    """Return the kind of file that a name's suffix asks for.

    Raises:
        UsageError: No kind of file has this suffix.
    """
    kind = _KIND_OF_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"--output {path}: name a file that ends in .csv, .parquet, .json or .txt")
    return kind


def write_table(answer: Answer, path: Path, form: Format | None = None) -> None:
    """Write an answer to a file as :func:`write_atomically` does; its kind is ``form`` or follows from the name."""
    kind = form.value if form else output_kind(path)
    with write_atomically(path) as target:
        if kind == "parquet":
            buffer = io.BytesIO()
            _write_parquet(answer, buffer)
            target.write_bytes(buffer.getvalue())
        else:
            with target.open("w", encoding="utf-8", newline="") as file:
                file.writelines(render(answer, Format(kind)))


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file as :func:`write_atomically` does.

    Raises:
        UdaError: It cannot be written.
    """
    with write_atomically(path) as target:
        target.write_bytes(content)


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces the file at the end, or is removed if there is an error.

    If the path is a device or a pipe, it is itself yielded. If it is a link, its target is replaced.

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


def _write_parquet(answer: Answer, buffer: io.BytesIO) -> None:
    import polars as pl

    kinds = {str: pl.String(), int: pl.Int64(), datetime: pl.Datetime("us", "UTC")}
    schema = {name: kinds[kind] for name, kind in answer.columns.items()}
    pl.DataFrame(list(answer.rows), schema=schema, orient="row").write_parquet(buffer)


def render(answer: Answer, form: Format) -> Iterator[str]:
    """Yield an answer as text in pieces; only a few thousand of its rows are held in memory at once."""
    return {Format.CSV: _as_csv, Format.JSON: _as_json, Format.TABLE: _as_columns}[form](answer)


def _as_csv(answer: Answer) -> Iterator[str]:
    yield ",".join(map(_quoted, answer.columns)) + "\n"
    for row in answer.rows:
        yield ",".join([_quoted(_csv_text(value)) for value in row]) + "\n"


def _as_json(answer: Answer) -> Iterator[str]:
    separator = "[\n"
    for row in answer.rows:
        values = dict(zip(answer.columns, map(_json_value, row), strict=True))
        yield separator + "  " + _json_text(values, indent=2).replace("\n", "\n  ")
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def _csv_text(value: object) -> str | None:
    """Return the text of a CSV field as Polars writes it to the result files; nested values become JSON."""
    if isinstance(value, datetime):
        text = _in_utc(value).replace(tzinfo=None).isoformat(timespec="microseconds")
        return text + "+0000" if value.tzinfo else text
    if isinstance(value, list | tuple | dict):
        return _json_text(_json_value(value))
    if isinstance(value, bytes):
        return _hexadecimal(value)
    return None if value is None else str(value)


def _quoted(text: str | None) -> str:
    """Return a CSV field, quoted if necessary; a missing value becomes an empty field, and an empty text two quotes."""
    if text is None:
        return ""
    if text and not any(character in text for character in ',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'


def _json_value(value: object) -> object:
    """Return a value that JSON can hold; numbers that JSON cannot hold exactly become texts."""
    if isinstance(value, dict):
        return {_text(key): _json_value(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(part) for part in value]
    if isinstance(value, Decimal):
        return number if Decimal(repr(number := float(value))) == value else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float) else _text(value)


def _json_text(value: object, indent: int | None = None) -> str:
    """Return JSON with all unprintable characters escaped, including those that JSON allows."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\n" else _json_escape(character) for character in text
    )


def _json_escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if character <= "\uffff" else json.dumps(character)[1:-1]


def _text(value: object) -> str:
    """Return a value as the text of a table cell, without anything that a terminal would interpret."""
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


def _as_columns(answer: Answer, room: int | None = None, *, bold: bool = False) -> Iterator[str]:
    """Yield a table whose columns are wide enough for the rows read so far, in batches of some thousands.

    Args:
        answer: What to print.
        room: The terminal's width; if it is too small, the widest columns are cut, which an ellipsis shows.
        bold: Whether to print the header in bold.
    """
    rows = iter(answer.rows)
    header = [visibly(name) for name in answer.columns]
    widths = [_width(name) for name in header]
    right = [kind is int for kind in answer.columns.values()]
    first = True
    while True:
        batch = [["" if value is None else _text(value) for value in row] for row in islice(rows, _ROWS_ALIGNED)]
        widths = [max(width, *(min(_width(row[i]), _MOST_WIDTH) for row in batch), 0) for i, width in enumerate(widths)]
        if room is not None:
            widths = _fit(widths, room)
        if first:
            line = _line(map(_cut, header, widths), widths, right)
            yield f"\x1b[1m{line}\x1b[0m\n" if bold else f"{line}\n"
            yield "  ".join("-" * width for width in widths) + "\n"
        yield "".join(_line(row if room is None else map(_cut, row, widths), widths, right) + "\n" for row in batch)
        if len(batch) < _ROWS_ALIGNED:
            return
        first = False


def _line(cells: Iterable[str], widths: list[int], right: list[bool]) -> str:
    padded = [
        " " * (width - _width(cell)) + cell if is_right else cell + " " * (width - _width(cell))
        for cell, width, is_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _fit(widths: list[int], room: int) -> list[int]:
    """Narrow the widest columns, step by step to the width of the next ones, until the line fits if it can."""
    widths, excess = list(widths), sum(widths) + 2 * (len(widths) - 1) - room
    while excess > 0 and (widest := max(widths)) > _LEAST_WIDTH:
        count = widths.count(widest)
        next_widest = max([_LEAST_WIDTH, *(width for width in widths if width < widest)])
        target = max(next_widest, widest - max(1, excess // count))
        excess -= count * (widest - target)
        widths = [target if width == widest else width for width in widths]
    return widths


def _cut(text: str, width: int) -> str:
    """Return a text that is no wider than ``width``; an ellipsis shows that it was cut."""
    if _width(text) <= width:
        return text
    end = width - 1
    while _width(text[:end]) > width - 1:
        end -= 1
    return text[:end] + "…"


def _width(text: str) -> int:
    """Return a text's width on a terminal: East Asian wide characters take two columns, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
