"""The fast reader, run in the reference reader's terms."""

from __future__ import annotations

import tempfile
from datetime import UTC
from pathlib import Path

import polars as pl
import pyarrow as pa

from uda_assets.contract import Platforms
from uda_assets.errors import DropUnreadable
from uda_assets.ingest import open_source, read_batches

from . import reference

REJECTIONS = {
    "no_header": "empty",
    "binary_content": "header_unreadable",
    "bad_header": "header_unreadable",
    "missing_column": "missing_column",
    "duplicate_column": "duplicate_column",
}

Answer = tuple[str | None, list[tuple[object, ...]], list[tuple[object, ...]]]


def read_fast(
    data: bytes, *, block_bytes: int, threads: int = 1, keep_unknown: bool = False, suffix: str = ""
) -> Answer:
    """Rejection, kept records and quarantined records, both sorted."""
    kept: list[tuple[object, ...]] = []
    quarantined: list[tuple[object, ...]] = []
    read = 0
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"drop.csv{suffix}"
        path.write_bytes(data)
        try:
            with open_source(path) as source:
                platforms = Platforms(keep_unknown=keep_unknown)
                for batch in read_batches(source, platforms, _rows, threads=threads, block_bytes=block_bytes):
                    assert len(batch.kept) == batch.rows
                    kept += batch.kept
                    quarantined += batch.quarantined.rows()
                    read += batch.read
        except DropUnreadable as error:
            return REJECTIONS[error.reason], [], []
    assert read == len(kept) + len(quarantined), "records read = kept + quarantined"
    return None, sorted(kept, key=repr), sorted(quarantined, key=repr)


def _rows(kept: pa.Table) -> list[tuple[object, ...]]:
    return [(*row[:3], row[3].astimezone(UTC), row[4]) for row in pl.DataFrame(pl.from_arrow(kept)).rows()]


def read_slow(data: bytes, *, keep_unknown: bool = False) -> Answer:
    """The same of the reference reader."""
    reading = reference.read(data, keep_unknown=keep_unknown)
    kept: list[tuple[object, ...]] = [tuple(record)[1:] for record in reading.kept]
    quarantined: list[tuple[object, ...]] = [tuple(record) for record in reading.quarantined]
    return reading.rejection, sorted(kept, key=repr), sorted(quarantined, key=repr)
