"""The names of drops and platforms, and what they are called on disk."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

# What a converted form cannot take over from a drop's name: a directory called like the converted form of another drop,
# the backslash that DuckDB takes for a separator, and what looks like one of these when percent-encoded.
_ESCAPED = re.compile(r"\\|\.(?=parquet/)|%(?=(?:25)*(?:5C|2Eparquet/))")
_LONGEST_NAME = 255 - len(".parquet")
_LONGEST_KEY = 1024 - 320
"""An S3 key has at most 1,024 bytes, some of which the data root, the platform and the part file's name need."""


def name_fault(drop: str, *, remote: bool = False) -> str | None:
    """Return what is wrong with a drop's name and what to do, or None if it can be used."""
    try:
        length = len(drop.rpartition("/")[2].encode())
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    if length > _LONGEST_NAME:
        return f"its name has {length} bytes, at most {_LONGEST_NAME} can be; rename it"
    if remote and not is_below(drop):
        return "a part of its name is empty, or dots alone; rename it"
    if remote and len(drop.encode()) > _LONGEST_KEY:
        return f"its name has {len(drop.encode())} bytes, at most {_LONGEST_KEY} can be; rename it"
    return None


def is_below(name: str) -> bool:
    """Return whether a name that a user wrote stays below the directory in which it is looked up."""
    return not {"", ".", ".."}.intersection(name.split("/"))


def printable_name(drop: str) -> str:
    r"""Return a file name as text, with bytes that are not UTF-8 as ``\xff``."""
    return os.fsencode(drop).decode(errors="backslashreplace")


def escaped(drop: str) -> str:
    """Return a drop's name as its converted form has it, percent-encoded where it would be ambiguous."""
    if "%" not in drop and "\\" not in drop and ".parquet/" not in drop:
        return drop
    return _ESCAPED.sub(lambda match: f"%{ord(match.group()):02X}", drop)


def platform_dir(platform: str) -> str:
    """Return the Hive-style directory of a platform. Characters with a meaning in paths are percent-encoded."""
    return f"platform={quote(platform, safe=' ')}"
