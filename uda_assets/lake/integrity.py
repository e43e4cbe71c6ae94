"""Whether the files of the sessions, and what is published, are as they were written: by their checksums.

For the files of the drops see :mod:`uda_assets.lake.footers`, which reads them anyway.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from uda_assets.lake import Lake, PartFile, Segment, SessionsManifest
from uda_assets.storage import RACY_NANOSECONDS, Signature

ALTERED = "not as it was written"
_NOTE = "sessions"
_DISTRUSTED = Signature(0, 0, 0, 0)


def damaged_sessions(lake: Lake, manifest: SessionsManifest) -> dict[str, str]:
    """The files that a manifest names and that are missing, or not as they were written: by path, what is wrong.

    A file that has the signature with which it was last read is not read again.
    """
    known = lake.noted(_NOTE, dict[str, Signature]) or {}
    trusted_until = time.time_ns() - RACY_NANOSECONDS
    look = lake.files.looking(lake.sessions)
    damaged, trusted = {}, {}

    def one(file: Segment | PartFile) -> tuple[Signature | None, str]:
        mark = look(f"{lake.sessions}/{file.path}")
        if mark is None:
            return None, "missing"
        # A bucket compares what it is given with a checksum itself, so that what is seen first is as it was put.
        if known.get(file.path) == mark or (lake.files.remote and file.path not in known):
            return mark, ""
        return mark, compared(lake, f"sessions/{file.path}", file.checksum)

    for file, (mark, wrong) in lake.side_by_side(one, manifest.files()):
        if wrong:
            damaged[file.path] = wrong
            trusted[file.path] = _DISTRUSTED
        elif mark and mark.changed < trusted_until:
            trusted[file.path] = mark
    if trusted != known:
        lake.note(_NOTE, trusted)
    return damaged


def distrust_sessions(lake: Lake, paths: Iterable[str]) -> None:
    """Let the next one who asks read these files again, whatever their stat says."""
    known = lake.noted(_NOTE, dict[str, Signature]) or {}
    lake.note(_NOTE, known | dict.fromkeys(paths, _DISTRUSTED))


def altered(lake: Lake, checksums: Mapping[str, str]) -> dict[str, str]:
    """Of files by their paths below the data root: those that differ from their checksums, and what is wrong."""
    found = lake.side_by_side(lambda item: compared(lake, *item), list(checksums.items()))
    return {path: wrong for (path, _), wrong in found if wrong}


def compared(lake: Lake, path: str, checksum: str) -> str:
    """What is wrong with a file, read in full; without a checksum, whether it can be read."""
    try:
        found = lake.files.hash(lake.root / path)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return ALTERED if checksum and found != checksum else ""
