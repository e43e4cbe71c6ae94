"""Names of drops and platforms, and what they are called on disk."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

# What of a drop's name cannot be in the name of its converted form: a directory called like the converted form of
# another drop, the backslash that DuckDB takes for a separator, and what looks like one of these written otherwise.
_ESCAPED = re.compile(r"\\|\.(?=parquet/)|%(?=(?:25)*(?:5C|2Eparquet/))")
_LONGEST_NAME = 255 - len(".parquet")
_LONGEST_KEY = 1024 - 320
"""An S3 key has at most 1,024 bytes; a data root, a platform and what else is in a part file's name need some."""


def name_fault(drop: str, *, remote: bool = False) -> str | None:
    """What keeps a file from being a drop under its name."""
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
    """Whether a name, as somebody wrote it, leads nowhere else than below the directory that it is looked for in."""
    return not {"", ".", ".."}.intersection(name.split("/"))


def printable_name(drop: str) -> str:
    r"""A file name as text: bytes that are not UTF-8 as ``\xff``."""
    return os.fsencode(drop).decode(errors="backslashreplace")


def escaped(drop: str) -> str:
    """A drop's name as its converted form has it: percent-encoded where it could be taken for something else."""
    if "%" not in drop and "\\" not in drop and ".parquet/" not in drop:
        return drop
    return _ESCAPED.sub(lambda match: f"%{ord(match.group()):02X}", drop)


def platform_dir(platform: str) -> str:
    """The Hive-style directory of a platform; characters that mean something in paths are percent-encoded."""
    return f"platform={quote(platform, safe=' ')}"
