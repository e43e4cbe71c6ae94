"""How the settings ``threads`` and ``memory_limit`` reach the libraries that do the work.

DuckDB takes both for each connection, and our reader for each drop. Polars and pyarrow have pools for the whole
process: pyarrow's can be set at any time, Polars' only before Polars is imported.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from uda_assets.basics.settings import Settings
from uda_assets.basics.sizes import memory_bytes

_LARGEST_BLOCK, _SMALLEST_BLOCK = 8 << 20, 1 << 18
# What a block takes while it is read: its bytes, its fields, and what is made of them; see benchmarks/README.md.
_TIMES_A_BLOCK = 16


class Limits(Protocol):
    """Anything that says how many threads may run and how much memory may be taken, as the settings do."""

    @property
    def threads(self) -> int:
        """Threads at once."""
        ...

    @property
    def memory_limit(self) -> str:
        """Memory before work spills, such as ``1GiB``."""
        ...


@dataclass
class Workplace:
    """Where a task runs: within which limits, where it may spill, and what it reads and writes there.

    Attributes:
        threads: Threads that the task may use.
        memory_limit: Memory before it spills, such as ``1GiB``.
        spill: Directory for temporary files.
        bytes_read: Bytes of the files that it was given to read, or that it counted itself.
        bytes_written: Bytes of the files that it wrote.

    """

    threads: int
    memory_limit: str
    spill: Path
    bytes_read: int = 0
    bytes_written: int = 0


def limit_pools(settings: Settings) -> None:
    """Bound the libraries' own pools by ``threads``; Polars' only where it is not imported yet."""
    if "polars" not in sys.modules:
        os.environ.setdefault("POLARS_MAX_THREADS", str(settings.threads))
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].set_cpu_count(settings.threads)


def block_bytes(limits: Limits) -> int:
    """How much of a drop a thread reads at once, so that all of them stay within ``memory_limit``.

    Raises:
        UsageError: The memory limit is none.

    """
    share = memory_bytes(limits.memory_limit) // (_TIMES_A_BLOCK * (limits.threads + 1))
    return max(_SMALLEST_BLOCK, min(_LARGEST_BLOCK, share))
