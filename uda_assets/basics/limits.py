"""Apply the settings ``threads`` and ``memory_limit`` to the libraries that do the work.

DuckDB takes both limits for each connection, and our reader takes them for each drop. Polars and pyarrow have one
thread pool for the whole process: pyarrow's size can be set at any time, Polars' only before Polars is imported.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from uda_assets.basics.settings import Settings
from uda_assets.basics.sizes import memory_bytes

_LARGEST_BLOCK, _SMALLEST_BLOCK = 4 << 20, 1 << 18
# Memory that reading a block takes (for its bytes, the columns made from them, and those that wait to be written), as a
# multiple of its size.
_MEMORY_PER_BLOCK_BYTE = 8


class Limits(Protocol):
    """The limits on threads and memory that work must stay within; the settings are such limits."""

    @property
    def threads(self) -> int:
        """Number of threads that may run at once."""
        ...

    @property
    def memory_limit(self) -> str:
        """Memory that work may use before it spills to disk, such as ``1GiB``."""
        ...


@dataclass
class Workplace:
    """The limits and the spill directory of a task, and a count of the bytes that it reads and writes.

    Attributes:
        threads: Number of threads that the task may use.
        memory_limit: Memory that the task may use before it spills to disk, such as ``1GiB``.
        spill: Directory for temporary files.
        bytes_read: Size of the files that the task was given to read, or the bytes that it counted itself.
        bytes_written: Size of the files that the task wrote.
    """

    threads: int
    memory_limit: str
    spill: Path
    bytes_read: int = 0
    bytes_written: int = 0


def limit_pools(settings: Settings) -> None:
    """Limit the thread pools of pyarrow, and of Polars unless it is already imported, to the setting ``threads``."""
    if "polars" not in sys.modules:
        os.environ.setdefault("POLARS_MAX_THREADS", str(settings.threads))
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].set_cpu_count(settings.threads)


def block_bytes(limits: Limits) -> int:
    """Return how many bytes of a drop each thread may read at once, so that all stay within ``memory_limit``.

    Raises:
        UsageError: The memory limit is not a size.
    """
    share = memory_bytes(limits.memory_limit) // (_MEMORY_PER_BLOCK_BYTE * (limits.threads + 1))
    return max(_SMALLEST_BLOCK, min(_LARGEST_BLOCK, share))
