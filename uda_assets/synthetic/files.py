"""Output files: compressed according to their names, and never visible before they are complete."""

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
"""Suffixes of files that can be generated; the suffix determines the compression."""


class Sink(Protocol):
    """Accepts a file's content piece by piece."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Write all of ``data``."""


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary file name beside ``path``, and rename that file to ``path`` unless an error occurs."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        # When the disk is full, the error does not name the file.
        error.filename = error.filename or str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def check_target(path: Path) -> str:
    """Return the suffix of ``path``, after checking that such a file can be generated.

    Raises:
        UsageError: The name ends in none of ``SUFFIXES``.
        IsADirectoryError: ``path`` is a directory.
    """
    suffix = next((suffix for suffix in reversed(SUFFIXES) if path.name.endswith(suffix)), None)
    if suffix is None:
        raise UsageError(f"the name must end in one of {', '.join(SUFFIXES)}: {path}")
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return suffix


@contextmanager
def opened(path: Path, suffix: str) -> Iterator[Sink]:
    """Open a file for writing, with the compression that ``suffix`` stands for."""
    # The file is buffered: an unbuffered one may write only part of the data, which the compressors would not notice.
    with path.open("wb") as file:
        if suffix.endswith(".gz"):
            # Without a name and a time in the file, equal content gives equal bytes. The fastest level will do for test
            # data.
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as compressed:
                yield compressed
        elif suffix.endswith(".zst"):
            with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as writer:
                yield writer
        else:
            yield file
