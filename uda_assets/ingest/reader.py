"""Parallel reading of a drop: several blocks at once, batches in order, and memory bounded by a few blocks."""

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
"""What ``prepare`` makes of a block's accepted records."""


class Batch(NamedTuple, Generic[Kept]):
    """Consecutive records of a drop.

    Attributes:
        kept: The accepted records, in the form that the reader's caller chose.
        rows: The number of accepted records.
        quarantined: The malformed records: ``line`` (physical, from 1), ``reason``, ``raw``.
        read: The number of records read, counted independently of the accepted and malformed ones.
        spellings: The number of records by normalised platform spelling.
        position: The offset in the decompressed drop at which the next record starts.
        line: The line on which the next record starts.
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
        start: The offset of a record's first byte.
        stop: The offset after a line end, or the drop's size.
        line: The line on which the first record starts.
    """

    start: int
    stop: int
    line: int


class _Block(NamedTuple, Generic[Kept]):
    """The records of a block, and what ``prepare`` made of the accepted ones."""

    records: BlockRecords
    kept: Kept

    def batch(self, line: int) -> Batch[Kept]:
        """Return the block as a batch; ``line`` is the drop's line on which the block starts."""
        records = self.records
        quarantined = records.quarantined.with_columns(pl.col("line") + line)
        next_line = line + records.lines
        return Batch(
            self.kept, records.kept.num_rows, quarantined, records.read, records.spellings, records.end, next_line
        )


def read_batches(
    source: Source,
    platforms: Platforms,
    prepare: Callable[[pa.Table], Kept],
    *,
    threads: int = 1,
    block_bytes: int = BLOCK_BYTES,
    part: Part | None = None,
) -> Iterator[Batch[Kept]]:
    """Read a drop, or a part of it, in batches of about ``block_bytes`` bytes.

    Several threads read blocks ahead, assuming that each block starts with a record. If it turns out that a record
    reaches into the next block, that block is read again from the end of the record.

    Args:
        source: The drop.
        platforms: The platform table of the contract.
        prepare: Converts the accepted records of a block, in ``certify.KEPT_SCHEMA``, to what the caller needs; it is
            called in the thread that read the block.
        threads: The number of blocks to read at once.
        block_bytes: The approximate size of a block.
        part: Which records to read; all by default.

    Raises:
        DropUnreadable: The drop has no usable header, or a record that is too long.
    """
    header = read_header(source)
    reader = _Reader(source, header, LookAhead(source), platforms, prepare)
    position, stop, line = part or Part(header.body, source.size, header.line)
    # For a small drop, starting threads would take longer than reading it.
    blocks = (
        reader.one_by_one(position, stop)
        if stop - position <= block_bytes
        else reader.side_by_side(position, stop, threads, block_bytes)
    )
    for block in blocks:
        yield block.batch(line)
        line += block.records.lines


class _Reader(NamedTuple, Generic[Kept]):
    """Reads the blocks of a drop."""

    source: Source
    header: Header
    ahead: LookAhead
    platforms: Platforms
    prepare: Callable[[pa.Table], Kept]

    def read(self, start: int, stop: int) -> _Block[Kept]:
        """Read a block; its last record may end before or after ``stop``."""
        records = read_block(self.source, start, stop, self.header, self.ahead, self.platforms)
        return _Block(records, self.prepare(records.kept))

    def one_by_one(self, start: int, stop: int, block: _Block[Kept] | None = None) -> Iterator[_Block[Kept]]:
        """Read the blocks from ``start`` to ``stop`` in order; the first one may be given as ``block``."""
        end = stop
        while start < stop:
            block = block or self.read(start, end)
            yield block
            # If the block held too many records to be read at once, the rest is read in pieces of the size that fitted.
            length = block.records.end - start
            start, block = block.records.end, None
            if start < stop:
                end = min(stop, self.source.block_end(start, length))

    def side_by_side(self, position: int, stop_at: int, threads: int, block_bytes: int) -> Iterator[_Block[Kept]]:
        """Read the blocks from ``position`` to ``stop_at`` with several threads, and yield them in order."""
        with ThreadPoolExecutor(threads, thread_name_prefix="uda-read") as pool:
            ranges = cut(self.source, position, stop_at, block_bytes)
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
                    submit()
                    continue
                for block in self.one_by_one(position, stop, future.result() if start == position else None):
                    yield block
                    position = block.records.end
                submit()


def cut(source: Source, start: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    """Divide ``[start, end)`` into ranges of about ``length`` bytes, each of which ends after a line end."""
    while start < end:
        stop = min(source.block_end(start, length), end)
        yield start, stop
        start = stop
