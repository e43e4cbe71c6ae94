"""Checks of the paths that a command was given, with clear errors, and the printing of a result's path."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
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
def errors_name(path: Path) -> Iterator[None]:
    """Add the file's path to errors about its content."""
    try:
        yield
    except DropUnreadable as error:
        raise UdaError(f"{path}: {error}") from None


def drop_name(path: Path, settings: Settings) -> str:
    """Return the name by which a file is a supplier's: that of a drop if it is below ``datasets/``, or its own."""
    from uda_assets.storage import root_of

    return name_below(Path(str(root_of(settings)), "datasets"), path) or path.name


def name_below(datasets: Path, path: Path) -> str | None:
    """Return the name that a drop at a path has, or None if the path is not below ``datasets``."""
    try:
        # Only the directory is resolved, because the drop itself may be a link to a file elsewhere.
        return (path.parent.resolve() / path.name).relative_to(datasets.resolve()).as_posix()
    except (ValueError, OSError):
        return None


def open_data_root(settings: Settings) -> Lake:
    """Open the data root of the settings, which must exist.

    Raises:
        UdaError: It does not exist.
    """
    from uda_assets.lake import open_lake
    from uda_assets.storage import root_of

    root = root_of(settings)
    if not root.is_dir():
        raise UdaError(f"there is no data root at {root}; name one by --data-root or UDA_DATA_ROOT")
    return open_lake(settings)


def refuse_directory(path: Path) -> None:
    """Check early that the path of an output file is not a directory.

    Raises:
        UdaError: It is a directory.
    """
    if path.is_dir():
        raise UdaError(f"{path} is a directory; name a file")


def require_readable(path: Path) -> None:
    """Check early that an input file can be read.

    Raises:
        UdaError: The file is missing, not a regular file, or not readable.
    """
    if path.is_dir():
        raise UdaError(f"{path} is a directory; name a CSV file")
    if not path.exists():
        raise UdaError(f"{path} does not exist")
    if not path.is_file():
        raise UdaError(f"{path} is not a regular file; write its content to a regular file and name that")
    if not os.access(path, os.R_OK):
        raise UdaError(f"{path} cannot be read: permission denied")


def print_path(path: Path) -> None:
    """Print the path of a result on stdout; on a terminal, unprintable characters are escaped."""
    click.echo(visibly(str(path)) if sys.stdout and sys.stdout.isatty() else path)
