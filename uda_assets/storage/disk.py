"""What to say where a disk fails: which file it was, and why, whichever library wrote."""

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
    errno.EFBIG: "the file system takes no larger files",
    errno.EROFS: "mount it for writing",
    errno.EIO: "the disk may be failing; see the system's log, then run again and `uda verify`",
}
_BY_TEXT = {os.strerror(number): number for number in _ADVICE}
_IN_QUOTES = re.compile(r'file \\?"([^"\\]+)')
_TEMPORARY = re.compile(r"/\.([^/]+)\.[0-9a-f]{32}\.tmp")


@contextmanager
def naming_file(path: Location) -> Iterator[None]:
    """Say which file it was where writing one fails, which neither the system does nor all libraries do."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        cause = _cause(error)
        if cause is None:
            raise
        named = _IN_QUOTES.search(str(error))
        raise OSError(cause, os.strerror(cause), named[1] if named else str(path)) from error


def disk_fault(error: BaseException) -> str | None:
    """A line for people about an error of the file system or a disk; None for any other error."""
    cause = _cause(error)
    if cause is None:
        return None
    filename = error.filename if isinstance(error, OSError) else None
    named = _IN_QUOTES.search(str(error))
    path = os.fsdecode(filename) if filename is not None else named[1] if named else "the file system"
    shown = _TEMPORARY.sub(r"/\1", path)
    return f"{shown}: {os.strerror(cause)}" + (f"; {_ADVICE[cause]}" if cause in _ADVICE else "")


def _cause(error: BaseException) -> int | None:
    """The system's error number, which libraries have in their texts alone."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    for told, number in _BY_TEXT.items():
        if told in text:
            return number
    return errno.EIO if "fsync failed" in text else None
