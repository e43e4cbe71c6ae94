"""Reading a drop: blocks side by side, records in order, memory bounded by a few blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from uda_assets.contract import Platforms
from uda_assets.ingest.blocks import BlockRecords, read_block
from uda_assets.ingest.header import Header, read_header
from uda_assets.ingest.records import LookAhead
from uda_assets.ingest.source import Source

BLOCK_BYTES = 8 << 20


class Batch(NamedTuple):
    """Consecutive records of a drop.

    Attributes:
        kept: Accepted records, in ``certify.KEPT_SCHEMA``.
        quarantined: Malformed ones: ``line`` (physical, from 1), ``reason``, ``raw``.
        read: Records read, counted on their own.
        spellings: Records by normalised platform spelling.
        position: Bytes of the (plain) drop read so far.

    """

    kept: pa.Table
    quarantined: pl.DataFrame
    read: int
    spellings: dict[str, int]
    position: int


def read_batches(
    source: Source, platforms: Platforms, *, threads: int = 1, block_bytes: int = BLOCK_BYTES
) -> Iterator[Batch]:
    """Read a drop to its end, in batches of about ``block_bytes`` bytes.

    Blocks are read ahead by ``threads`` threads on the assumption that each starts with a record. Where the record
    before it turns out to reach into a block, that block is read again from the record's end.

    Raises:
        DropUnreadable: The drop has no usable header.

    """
    header = read_header(source)
    ahead = LookAhead(source)
    position, line = header.body, header.line
    if source.size - position <= block_bytes:
        # Starting a thread would take longer than many a small drop.
        if source.size > position:
            yield _batch(read_block(source, position, source.size, header, ahead, platforms), line)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="uda-read") as pool:
        bounds = _bounds(source, header, block_bytes)
        pending: deque[tuple[int, int, Future[BlockRecords]]] = deque()

        def submit() -> None:
            for start, stop in bounds:
                pending.append((start, stop, pool.submit(read_block, source, start, stop, header, ahead, platforms)))
                if len(pending) > threads:
                    break

        submit()
        while pending:
            start, stop, future = pending.popleft()
            submit()
            if stop <= position:
                future.cancel()
                continue
            block = future.result() if start == position else read_block(
                source, position, stop, header, ahead, platforms
            )  # fmt: skip
            yield _batch(block, line)
            position, line = block.end, line + block.lines


def _batch(block: BlockRecords, line: int) -> Batch:
    """A block's records, with their lines counted from the drop's first."""
    quarantined = block.quarantined.with_columns(pl.col("line") + line)
    return Batch(block.kept, quarantined, block.read, block.spellings, block.end)


def _bounds(source: Source, header: Header, block_bytes: int) -> Iterator[tuple[int, int]]:
    start = header.body
    while start < source.size:
        stop = source.block_end(start, block_bytes)
        yield start, stop
        start = stop
