"""Tables on stdout and in files, messages on stderr."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from uda_assets.errors import UdaError, UsageError
from uda_assets.storage import replacing

if TYPE_CHECKING:
    import polars as pl


class Format(StrEnum):
    """How a table is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class Table(NamedTuple):
    """What a command prints: columns with the types of their values, and rows.

    Not a data frame: to import one takes longer than most commands do.
    """

    columns: Mapping[str, type]
    rows: Sequence[tuple[Any, ...]]


def table_of(frame: pl.DataFrame) -> Table:
    """A data frame as a table."""
    return Table({name: kind.to_python() for name, kind in frame.schema.items()}, frame.rows())


_BY_SUFFIX = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".txt": "table"}


def say(message: str) -> None:
    """A message for people, on stderr."""
    print(message, file=sys.stderr)  # noqa: T201


def print_table(table: Table, form: Format) -> None:
    """A table on stdout, in UTF-8 whatever the locale, as it would be in a file."""
    if sys.stdout is None:
        raise UdaError("stdout is closed; name a file by --output")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(_render(table, form))
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
    buffer = io.BytesIO()
    if kind == "parquet":
        _write_parquet(table, buffer)
    else:
        buffer.write(_render(table, Format(kind)).encode())
    write_whole(buffer.getvalue(), path)


def write_whole(content: bytes, path: Path) -> None:
    """A file, whole or not at all; a device or a pipe is written to, a link stays one.

    Raises:
        UdaError: It cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        with replacing(path.resolve()) as temporary:
            temporary.write_bytes(content)
    except (OSError, RuntimeError) as error:
        raise UdaError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None


def _write_parquet(table: Table, buffer: io.BytesIO) -> None:
    import polars as pl

    kinds = {str: pl.String(), int: pl.Int64(), datetime: pl.Datetime("us", "UTC")}
    schema = {name: kinds[kind] for name, kind in table.columns.items()}
    pl.DataFrame(table.rows, schema=schema, orient="row").write_parquet(buffer)


def _render(table: Table, form: Format) -> str:
    if form is Format.CSV:
        lines = [table.columns, *([_csv_text(value) for value in row] for row in table.rows)]
        return "".join(",".join(map(_quoted, line)) + "\n" for line in lines)
    if form is Format.JSON:
        rows = [_plain(dict(zip(table.columns, row, strict=True))) for row in table.rows]
        return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
    return _columns(table)


def _csv_text(value: object) -> str | None:
    """The text of a field, as Polars writes it to the result files."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "+0000"
    return None if value is None else str(value)


def _quoted(text: str | None) -> str:
    """A CSV field: nothing where there is no value, which an empty text is not."""
    if text is None:
        return ""
    if text and not any(character in text for character in ',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'


def _plain(row: dict[str, object]) -> dict[str, object]:
    return {name: value if value is None or isinstance(value, str | int | float) else _text(value)
            for name, value in row.items()}  # fmt: skip


def _text(value: object) -> str:
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    # Control codes in data must not reach the terminal.
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _columns(table: Table) -> str:
    cells = [[("" if value is None else _text(value)) for value in row] for row in table.rows]
    rows = [list(table.columns), *cells]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    right = [kind is int for kind in table.columns.values()]
    lines = [
        "  ".join(cell.rjust(width) if flush else cell.ljust(width)
                  for cell, width, flush in zip(row, widths, right, strict=True)).rstrip()
        for row in [rows[0], ["-" * width for width in widths], *cells]
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
