"""Explain errors of a file system or disk: name the file and the cause, whichever library was writing."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from uda_assets.storage.base import Location

_ADVICE = {
    errno.ENOSPC: "make room and run again",
    errno.EDQUOT: "make room and run again",
    errno.EFBIG: "the file system does not allow larger files",
    errno.EROFS: "mount the file system for writing",
    errno.EMFILE: "raise the limit (ulimit -n), or lower UDA_THREADS",
    errno.ENFILE: "the system has no more; raise fs.file-max",
    errno.EIO: "the disk may be failing; check the system's log, run again, then run `uda verify`",
}
_ERROR_NUMBERS = {os.strerror(number): number for number in _ADVICE}
_QUOTED_FILE = re.compile(r'file \\?"([^"\\]+)')
_TEMPORARY = re.compile(r"/\.([^/]+)\.[0-9a-f]{32}\.tmp")


@contextmanager
def naming_file(path: Location) -> Iterator[None]:
    """Add the name of a file to errors that occur while it is written or read, which often do not name it.

    Raises:
        OSError: An error of the file system or disk occurred; it names the file.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        number = _error_number(error)
        if number is None:
            raise
        quoted = _QUOTED_FILE.search(str(error))
        raise OSError(number, os.strerror(number), quoted[1] if quoted else str(path)) from error


def disk_fault(error: BaseException) -> str | None:
    """Return a line that explains an error of the file system or disk, or None for any other error."""
    number = _error_number(error)
    if number is None:
        return None
    filename = error.filename if isinstance(error, OSError) else None
    quoted = _QUOTED_FILE.search(str(error))
    path = os.fsdecode(filename) if filename is not None else quoted[1] if quoted else "the file system"
    # A user knows the file, not the temporary one from which it is made.
    path = _TEMPORARY.sub(r"/\1", path)
    return f"{path}: {os.strerror(number)}" + (f"; {_ADVICE[number]}" if number in _ADVICE else "")


def raise_if_exhausted(error: OSError) -> None:
    """Raise an error that says nothing about the file: the process or the system can open no more files."""
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        raise error


def _error_number(error: BaseException) -> int | None:
    """Return the system's error number, which some libraries state only in the text of their errors."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    for description, number in _ERROR_NUMBERS.items():
        if description in text:
            return number
    return errno.EIO if "fsync failed" in text else None
