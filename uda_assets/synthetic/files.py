"""Files that appear under their name when they are complete, compressed as the name asks."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import zstandard

from uda_assets.basics.errors import UsageError

SUFFIXES = (".csv", ".csv.gz", ".csv.zst")
"""File names that can be generated; the end of the name chooses the compression."""


class Sink(Protocol):
    """What a file's content is written to."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Take all of ``data``."""


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; it takes the place of ``path`` unless an error occurs."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        # A full disk, unlike a missing directory, does not say where it happened.
        error.filename = error.filename or str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def check_target(path: Path) -> str:
    """The suffix of a file that can be generated.

    Raises:
        UsageError: The name has none of ``SUFFIXES``.
        IsADirectoryError: There is a directory of this name.
    """
    suffix = next((suffix for suffix in reversed(SUFFIXES) if path.name.endswith(suffix)), None)
    if suffix is None:
        raise UsageError(f"the name must end in one of {', '.join(SUFFIXES)}: {path}")
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return suffix


@contextmanager
def opened(part: Path, suffix: str) -> Iterator[Sink]:
    """The file to write, compressed as its suffix asks."""
    # An unbuffered file may take only a part of what it is given and say so by a number that the compressors ignore.
    with part.open("wb") as file:
        if suffix.endswith(".gz"):
            # No name and no time in the file, so that equal content is equal bytes. The fastest level: it is test data.
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as compressed:
                yield compressed
        elif suffix.endswith(".zst"):
            with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as writer:
                yield writer
        else:
            yield file
