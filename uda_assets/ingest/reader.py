"""Reading a drop: blocks side by side, records in order, memory bounded by a few blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

import polars as pl
import pyarrow as pa

from uda_assets.contract.platforms import Platforms
from uda_assets.ingest.blocks import BlockRecords, read_block
from uda_assets.ingest.header import Header, read_header
from uda_assets.ingest.lookahead import LookAhead
from uda_assets.ingest.source import Source

BLOCK_BYTES = 8 << 20


Kept = TypeVar("Kept")
"""What the reader makes of a block's accepted records."""


class Batch(NamedTuple, Generic[Kept]):
    """Consecutive records of a drop.

    Attributes:
        kept: What was made of the accepted records.
        rows: How many they are.
        quarantined: Malformed ones: ``line`` (physical, from 1), ``reason``, ``raw``.
        read: Records read, counted on their own.
        spellings: Records by normalised platform spelling.
        position: Bytes of the (plain) drop read so far: where the next record starts.
        line: The line on which it starts.

    """

    kept: Kept
    rows: int
    quarantined: pl.DataFrame
    read: int
    spellings: dict[str, int]
    position: int
    line: int


class Part(NamedTuple):
    """The records of a drop that start in ``[start, stop)``.

    Attributes:
        start: Offset of a record's first byte.
        stop: Offset behind a line end, or the drop's size.
        line: The line on which the first record starts.

    """

    start: int
    stop: int
    line: int


class _Block(NamedTuple, Generic[Kept]):
    """A block that was read, and what was made of its accepted records."""

    records: BlockRecords
    kept: Kept

    def batch(self, line: int) -> Batch[Kept]:
        """The block as a batch, with its lines counted from the drop's first."""
        records = self.records
        quarantined = records.quarantined.with_columns(pl.col("line") + line)
        after = line + records.lines
        return Batch(self.kept, records.kept.num_rows, quarantined, records.read, records.spellings, records.end, after)


def read_batches(
    source: Source,
    platforms: Platforms,
    prepare: Callable[[pa.Table], Kept],
    *,
    threads: int = 1,
    block_bytes: int = BLOCK_BYTES,
    part: Part | None = None,
) -> Iterator[Batch[Kept]]:
    """Read a drop to its end, or a part of it, in batches of about ``block_bytes`` bytes.

    Blocks are read ahead by ``threads`` threads on the assumption that each starts with a record. Where the record
    before it turns out to reach into a block, that block is read again from the record's end.

    Args:
        source: The drop.
        platforms: The platform table of the contract.
        prepare: Makes of the accepted records of a block, in ``certify.KEPT_SCHEMA``, what the caller wants; it runs
            in the thread that read them.
        threads: Blocks read at once.
        block_bytes: About how large a block is.
        part: Which records to read; all by default.

    Raises:
        DropUnreadable: The drop has no usable header.

    """
    header = read_header(source)
    reader = _Reader(source, header, LookAhead(source), platforms, prepare)
    position, stop, line = part or Part(header.body, source.size, header.line)
    # Starting a thread would take longer than many a small drop.
    blocks = (
        reader.one_by_one(position, stop)
        if stop - position <= block_bytes
        else reader.side_by_side(position, stop, threads, block_bytes)
    )
    for block in blocks:
        yield block.batch(line)
        line += block.records.lines


class _Reader(NamedTuple, Generic[Kept]):
    """Reads blocks of a drop; each from where the records before it end."""

    source: Source
    header: Header
    ahead: LookAhead
    platforms: Platforms
    prepare: Callable[[pa.Table], Kept]

    def read(self, start: int, stop: int) -> _Block[Kept]:
        """A block; its records may end before ``stop``, or behind it."""
        records = read_block(self.source, start, stop, self.header, self.ahead, self.platforms)
        return _Block(records, self.prepare(records.kept))

    def one_by_one(self, start: int, stop: int, block: _Block[Kept] | None = None) -> Iterator[_Block[Kept]]:
        """The blocks from ``start`` up to ``stop``, of which the first may have been read already."""
        end = stop
        while start < stop:
            block = block or self.read(start, end)
            yield block
            # Where it was too dense to be read at once, the rest is read in pieces as large.
            length = block.records.end - start
            start, block = block.records.end, None
            if start < stop:
                end = min(stop, self.source.block_end(start, length))

    def side_by_side(self, position: int, stop_at: int, threads: int, block_bytes: int) -> Iterator[_Block[Kept]]:
        """The blocks up to ``stop_at``, read ahead on the assumption that each starts with a record."""
        with ThreadPoolExecutor(threads, thread_name_prefix="uda-read") as pool:
            bounds = cut(self.source, position, stop_at, block_bytes)
            pending: deque[tuple[int, int, Future[_Block[Kept]]]] = deque()
            reached = position

            def submit() -> None:
                nonlocal reached
                # A block of one long record counts as the many that it is as large as.
                while reached - position <= threads * block_bytes and (found := next(bounds, None)):
                    start, reached = found
                    pending.append((start, reached, pool.submit(self.read, start, reached)))

            submit()
            while pending:
                start, stop, future = pending.popleft()
                if stop <= position:
                    future.cancel()
                    submit()
                    continue
                for block in self.one_by_one(position, stop, future.result() if start == position else None):
                    yield block
                    position = block.records.end
                submit()


def cut(source: Source, start: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    """Pieces of about ``length`` bytes from ``start`` to ``end``, cut after whole lines."""
    while start < end:
        stop = min(source.block_end(start, length), end)
        yield start, stop
        start = stop
