"""Parallel reading of a drop: several blocks at once, batches in order, and memory bounded by a few blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from uda_assets.contract.dialects import CSV, Dialect
from uda_assets.contract.platforms import Platforms, normalise_platform
from uda_assets.ingest.header import Header, read_header
from uda_assets.ingest.source import Source
from uda_assets.kernel import Extent, Kernel, Status, Wanted

BLOCK_BYTES = 4 << 20

Kept = TypeVar("Kept")
"""What ``take`` makes of a block."""

Take = Callable[[Kernel, "PlatformNames"], Kept]
"""Takes what is wanted of a block from the kernel that has read it, in the thread that read it."""


class Fault(NamedTuple):
    """A malformed record; its line is counted from 1, or from where a block or a part starts."""

    line: int
    reason: str
    raw: str


class Batch(NamedTuple, Generic[Kept]):
    """Consecutive records of a drop.

    Attributes:
        kept: What the reader's caller took of them.
        start: The line on which the batch starts, from 1. Lines of malformed records are counted from there.
        read: The number of records read, counted independently of the accepted and malformed ones.
        rows: The number of accepted records.
        reasons: The number of malformed records by reason.
        first_fault: The first malformed record.
        spellings: The number of records by normalised platform spelling; None if there are too many to list.
        position: The offset in the decompressed drop at which the next record starts.
        line: The line on which the next record starts.
    """

    kept: Kept
    start: int
    read: int
    rows: int
    reasons: dict[str, int]
    first_fault: Fault | None
    spellings: dict[str, int] | None
    position: int
    line: int


class Part(NamedTuple):
    """The records of a drop that start in ``[start, stop)``.

    Attributes:
        start: The offset of a record's first byte.
        stop: The offset after a line end, or the drop's size.
        line: The line on which the first record starts.
    """

    start: int
    stop: int
    line: int


class PlatformNames:
    """Numbers the platforms of a drop as they occur.

    Attributes:
        names: The canonical names, by number.
    """

    def __init__(self, platforms: Platforms) -> None:
        self.names: list[str] = []
        self._platforms = platforms
        self._numbers: dict[str, int] = {}
        self._lock = Lock()

    def number(self, spelling: str) -> int:
        """Return the number of the platform that a spelling means, or -1 if it is unknown."""
        name = self._platforms.resolve(spelling)
        if name is None:
            return -1
        with self._lock:
            number = self._numbers.setdefault(name, len(self.names))
            if number == len(self.names):
                self.names.append(name)
            return number


class _Extents:
    """Remembers where records end that leave their block.

    Stray quotes may open on many lines and all run to the same place, so that a drop would be walked through again and
    again.
    """

    _REMEMBERED = 64

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: list[Extent] = []
        self._lock = Lock()

    def find(self, kernel: Kernel, offset: int, state: int) -> Extent:
        """Return what follows a line end inside a record, which ``kernel`` has reached in a state."""
        with self._lock:
            for extent in self._known:
                if extent.covers(offset, state):
                    return extent
            extent = kernel.walk(self._source.blocks(offset), offset, state)
            self._known = [extent, *self._known[: self._REMEMBERED - 1]]
            return extent


def read_batches(
    source: Source,
    platforms: PlatformNames,
    wanted: Wanted,
    take: Take[Kept],
    *,
    dialect: Dialect = CSV,
    threads: int = 1,
    block_bytes: int = BLOCK_BYTES,
    part: Part | None = None,
) -> Iterator[Batch[Kept]]:
    """Read a drop, or a part of it, in batches of about ``block_bytes`` bytes.

    Several threads read blocks ahead, assuming that each block starts with a record. If it turns out that a record
    reaches into the next block, that block is read again from the end of the record.

    Args:
        source: The drop.
        platforms: Resolves the spellings of platforms.
        wanted: What the kernel collects.
        take: Takes it from the kernel, in the thread that read the block.
        dialect: How the drop is written.
        threads: The number of blocks to read at once.
        block_bytes: The approximate size of a block.
        part: Which records to read; all by default.

    Raises:
        DropUnreadable: The drop has no usable header, or a record that is too long.
    """
    header = read_header(source, dialect)
    reader = _Reader(source, header, dialect, wanted, take, platforms)
    position, stop, line = part or Part(header.body, source.size, header.line)
    blocks: Iterable[_Block[Kept]]
    if stop - position > block_bytes:
        blocks = reader.side_by_side(position, stop, threads, block_bytes)
    else:
        # For a small drop, starting threads would take longer than reading it.
        blocks = [reader.read(position, stop)] if position < stop else []
    for block in blocks:
        yield block.batch(line)
        line += block.lines


class _Block(NamedTuple, Generic[Kept]):
    """What was read of a block; lines are counted from 0 at its start, and ``end`` is an offset in the drop."""

    kept: Kept
    read: int
    rows: int
    reasons: dict[str, int]
    first_fault: Fault | None
    spellings: dict[str, int] | None
    end: int
    lines: int

    def batch(self, line: int) -> Batch[Kept]:
        """Return the block as a batch that starts on a line of the drop."""
        fault = self.first_fault and self.first_fault._replace(line=self.first_fault.line + line)
        return Batch(
            self.kept, line, self.read, self.rows, self.reasons, fault, self.spellings, self.end, line + self.lines
        )


class _Reader(Generic[Kept]):
    """Reads the blocks of a drop."""

    def __init__(
        self, source: Source, header: Header, dialect: Dialect, wanted: Wanted, take: Take[Kept], names: PlatformNames
    ) -> None:
        self._source, self._take, self._names = source, take, names
        self._extents = _Extents(source)
        self._kernel_arguments = (dialect, header.columns, wanted, source.bounds.record)
        self._idle: deque[Kernel] = deque()

    def read(self, start: int, stop: int) -> _Block[Kept]:
        """Read the records that start in ``[start, stop)``. The last one may end after ``stop``."""
        try:
            kernel = self._idle.pop()
        except IndexError:
            kernel = Kernel(*self._kernel_arguments)
        self._run(kernel, start, self._source.read(start, stop - start))
        state = kernel.state
        fault = kernel.first_fault
        block = _Block(
            self._take(kernel, self._names), state.read, state.kept, kernel.reasons, fault and Fault(*fault),
            _normalised(kernel), start + state.at, state.line,
        )  # fmt: skip
        self._idle.append(kernel)
        return block

    def _run(self, kernel: Kernel, start: int, block: bytes) -> None:
        """Let the kernel read a block that starts at an offset, and give it what it asks for."""
        kernel.begin()
        while status := kernel.read(block, is_last=start + len(block) >= self._source.size):
            if status is Status.NEEDS_PLATFORM:
                kernel.answer(self._names.number(kernel.question))
            elif status is Status.NEEDS_DAY:
                kernel.tell_day()
            elif status is Status.NEEDS_EXTENT:
                extent = self._extents.find(kernel, start + kernel.state.open_at, kernel.state.open_state)
                kernel.follow(extent.moved(-start))
            elif status is Status.NEEDS_DATA:
                block += self._source.read(start + len(block), kernel.state.open_at - len(block))
            else:
                raise self._source.too_long(start + kernel.state.at)

    def side_by_side(self, position: int, stop_at: int, threads: int, block_bytes: int) -> Iterator[_Block[Kept]]:
        """Read the blocks from ``position`` to ``stop_at`` with several threads, and yield them in order."""
        with ThreadPoolExecutor(threads, thread_name_prefix="uda-read") as pool:
            ranges = cut(self._source, position, stop_at, block_bytes)
            pending: deque[tuple[int, int, Future[_Block[Kept]]]] = deque()
            reached = position

            def submit() -> None:
                nonlocal reached
                # The limit is in bytes, because a block with one long record can be many times as large as usual.
                while reached - position <= threads * block_bytes and (block_range := next(ranges, None)):
                    start, reached = block_range
                    pending.append((start, reached, pool.submit(self.read, start, reached)))

            submit()
            while pending:
                start, stop, future = pending.popleft()
                if stop <= position:
                    future.cancel()
                else:
                    block = future.result() if start == position else self.read(position, stop)
                    yield block
                    position = block.end
                submit()


def _normalised(kernel: Kernel) -> dict[str, int] | None:
    """Return the number of a block's records by normalised platform spelling; None if there were too many."""
    if kernel.state.lost_spellings:
        return None
    counts: dict[str, int] = {}
    for spelling, records in kernel.spellings.items():
        normal = normalise_platform(spelling)
        counts[normal] = counts.get(normal, 0) + records
    return counts


def cut(source: Source, start: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    """Divide ``[start, end)`` into ranges of about ``length`` bytes, each of which ends after a line end."""
    while start < end:
        stop = min(source.block_end(start, length), end)
        yield start, stop
        start = stop
