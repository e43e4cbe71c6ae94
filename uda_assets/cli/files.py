"""What is said of files that a command cannot work on, and of what was read from those that it could."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda_assets.basics.errors import DropUnreadable, UdaError
from uda_assets.basics.visible import visibly

if TYPE_CHECKING:
    from uda_assets.basics.settings import Settings
    from uda_assets.lake import Lake


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name the file in what is said of its content."""
    try:
        yield
    except DropUnreadable as error:
        raise UdaError(f"{path}: {error}") from None


def open_root(settings: Settings) -> Lake:
    """The data root of the settings.

    Raises:
        UdaError: There is none.
    """
    from uda_assets.lake import open_lake
    from uda_assets.storage import root_of

    root = root_of(settings)
    if not root.is_dir():
        raise UdaError(f"there is no data root at {root}; name one by --data-root or UDA_DATA_ROOT")
    return open_lake(settings)


def refuse_directory(path: Path) -> None:
    """Say at once that a directory is no place to write a file.

    Raises:
        UdaError: It is one.
    """
    if path.is_dir():
        raise UdaError(f"{path} is a directory; name a file")


def require_readable(path: Path) -> None:
    """Say at once what is wrong with an input file.

    Raises:
        UdaError: Something is.
    """
    if path.is_dir():
        raise UdaError(f"{path} is a directory; name a CSV file")
    if not path.exists():
        raise UdaError(f"{path} does not exist")
    if not path.is_file():
        raise UdaError(f"{path} is not a regular file; write what it gives to a file and name that")
    if not os.access(path, os.R_OK):
        raise UdaError(f"{path} cannot be read: permission denied")


def print_path(path: Path) -> None:
    """The path of what was written, on stdout: for a program as it is, for a person without what cannot be seen."""
    click.echo(visibly(str(path)) if sys.stdout and sys.stdout.isatty() else path)


def account(what: str, records: int, quarantined: int, reasons: Mapping[str, int]) -> str:
    """What became of some records, in one line."""
    by_reason = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    return f"{what}: {records} records, {records - quarantined} kept, {quarantined} quarantined" + (
        f" ({by_reason})" if by_reason else ""
    )
