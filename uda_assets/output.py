"""Tables on stdout and in files, messages on stderr."""

from __future__ import annotations

import io
import json
import sys
from enum import StrEnum
from pathlib import Path

import polars as pl

from uda_assets.errors import UdaError, UsageError
from uda_assets.lake import replacing


class Format(StrEnum):
    """How a table is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


_BY_SUFFIX = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".txt": "table"}


def say(message: str) -> None:
    """A message for people, on stderr."""
    print(message, file=sys.stderr)  # noqa: T201


def print_table(frame: pl.DataFrame, form: Format) -> None:
    """A table on stdout, in UTF-8 whatever the locale, as it would be in a file."""
    if sys.stdout is None:
        raise UdaError("stdout is closed; name a file by --output")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(_render(frame, form))
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


def write_table(frame: pl.DataFrame, path: Path, form: Format | None = None) -> None:
    """A table in a file, whole or not at all; its kind is ``form`` or follows from the name.

    A device or a pipe is written to; a link stays one.
    """
    kind = form.value if form else output_kind(path)
    buffer = io.BytesIO()
    if kind == "parquet":
        frame.write_parquet(buffer)
    else:
        buffer.write(_render(frame, Format(kind)).encode())
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(buffer.getvalue())
            return
        with replacing(path.resolve()) as temporary:
            temporary.write_bytes(buffer.getvalue())
    except (OSError, RuntimeError) as error:
        raise UdaError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None


def _render(frame: pl.DataFrame, form: Format) -> str:
    if form is Format.CSV:
        return frame.write_csv()
    if form is Format.JSON:
        return json.dumps([_plain(row) for row in frame.iter_rows(named=True)], indent=2, ensure_ascii=False) + "\n"
    return _columns(frame)


def _plain(row: dict[str, object]) -> dict[str, object]:
    return {name: value if value is None or isinstance(value, str | int | float) else _text(value)
            for name, value in row.items()}  # fmt: skip


def _text(value: object) -> str:
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    # Control codes in data must not reach the terminal.
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _columns(frame: pl.DataFrame) -> str:
    cells = [[("" if value is None else _text(value)) for value in row] for row in frame.iter_rows()]
    rows = [list(frame.columns), *cells]
    widths = [max(len(row[i]) for row in rows) for i in range(frame.width)]
    right = [kind.is_numeric() for kind in frame.dtypes]
    lines = [
        "  ".join(cell.rjust(width) if flush else cell.ljust(width)
                  for cell, width, flush in zip(row, widths, right, strict=True)).rstrip()
        for row in [rows[0], ["-" * width for width in widths], *cells]
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
