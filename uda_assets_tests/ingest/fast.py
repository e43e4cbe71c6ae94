"""The fast reader, run in the reference reader's terms."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from uda_assets.basics.bounds import DEFAULT_BOUNDS, Bounds
from uda_assets.basics.errors import DropUnreadable
from uda_assets.basics.limits import Workplace
from uda_assets.contract.dialects import CSV, Dialect
from uda_assets.contract.platforms import Platforms
from uda_assets.ingest import Source, open_source, parts, read_batches
from uda_assets.ingest.convert import CONVERTED, Conversion, DropJob, take_converted
from uda_assets.ingest.parts import ATTEMPTS, Attempt, convert_in_parts, convert_part
from uda_assets.ingest.reader import Part, PlatformNames
from uda_assets.kernel import REASONS
from uda_assets.lake import Outputs
from uda_assets_tests.ingest import reference

REJECTIONS = {
    "no_header": "empty",
    "binary_content": "header_unreadable",
    "bad_header": "header_unreadable",
    "missing_column": "missing_column",
    "duplicate_column": "duplicate_column",
    **{reason: reason for reason in ("record_too_long", "broken_archive", "too_many_columns")},
}

Answer = tuple[str | None, list[tuple[object, ...]], list[tuple[object, ...]]]


def read_fast(
    data: bytes,
    *,
    block_bytes: int,
    threads: int = 1,
    keep_unknown: bool = False,
    suffix: str = "",
    bounds: Bounds = DEFAULT_BOUNDS,
    dialect: Dialect = CSV,
) -> Answer:
    """Rejection, kept records and quarantined records, both sorted."""
    kept: list[tuple[object, ...]] = []
    quarantined: list[tuple[object, ...]] = []
    read = 0
    try:
        with _opened(data, suffix, bounds) as source:
            platforms = PlatformNames(Platforms(keep_unknown=keep_unknown))
            batches = read_batches(
                source, platforms, CONVERTED, take_converted, threads=threads, block_bytes=block_bytes, dialect=dialect
            )
            for batch in batches:
                found = [
                    row
                    for platform, records in batch.kept.records.items()
                    for row in _rows(platform, pl.DataFrame(pl.from_arrow(records)))
                ]
                assert len(found) == batch.rows
                kept += found
                if batch.kept.malformed:
                    malformed = pl.DataFrame(pl.from_arrow(batch.kept.malformed)).rows()
                    quarantined += [(line + batch.start, REASONS[reason].value, raw) for line, reason, raw in malformed]
                read += batch.read
    except DropUnreadable as error:
        return REJECTIONS[error.reason], [], []
    assert read == len(kept) + len(quarantined), "records read = kept + quarantined"
    return None, sorted(kept, key=repr), sorted(quarantined, key=repr)


def untaken(_kernel: object, _names: object) -> None:
    """Nothing is wanted of the records."""


@contextmanager
def _opened(data: bytes, suffix: str, bounds: Bounds) -> Iterator[Source]:
    """A drop; a plain one without a file, since that is read in the same way and takes most of a small one's time."""
    if not suffix:
        yield Source(len(data), lambda length, offset: data[offset : offset + length], bounds)
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"drop.csv{suffix}"
        path.write_bytes(data)
        with open_source(path, bounds=bounds) as source:
            yield source


class Done:
    """Work that was done at once."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def result(self) -> Attempt:
        return self._attempt

    def cancel(self) -> None:
        """There is nothing to stop."""


def convert_split(
    data: bytes,
    *,
    part_bytes: int,
    block_bytes: int,
    keep_unknown: bool = False,
    fail_fast: bool = False,
    bounds: Bounds = DEFAULT_BOUNDS,
) -> Answer:
    """The same by way of parts that are converted apart, read back from their files."""

    def convert(job: DropJob) -> Conversion:
        def submit(job: DropJob, part: Part) -> Done:
            return Done(convert_part(job, part, Workplace(1, "1GiB", job.staged)))

        (job.staged / ATTEMPTS).mkdir()
        return convert_in_parts(job, part_bytes, submit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "block_bytes", lambda _: block_bytes)
        return convert_by(convert, data, keep_unknown=keep_unknown, fail_fast=fail_fast, bounds=bounds)


def convert_by(
    convert: Callable[[DropJob], Conversion],
    data: bytes,
    *,
    keep_unknown: bool = False,
    fail_fast: bool = False,
    bounds: Bounds = DEFAULT_BOUNDS,
) -> Answer:
    """What a conversion makes of a drop, read back from its files."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "drop.csv").write_bytes(data)
        job = DropJob(
            root / "drop.csv", "drop.csv", Outputs(root / "data", "", root / "quarantine.parquet", root / "data"),
            Platforms(keep_unknown=keep_unknown), root, root, fail_fast=fail_fast, bounds=bounds,
        )  # fmt: skip
        try:
            done = convert(job)
        except DropUnreadable as error:
            return REJECTIONS[error.reason], [], []
        kept: list[tuple[object, ...]] = []
        for file in done.files:
            found = pl.read_parquet(root / "data" / file.path, hive_partitioning=False, glob=False)
            assert found.height == file.rows
            kept += _rows(file.platform, found)
        summary = pq.read_metadata(root / "data/_metadata")
        quarantine = pl.read_parquet(root / "quarantine.parquet")
    assert summary.num_rows == done.kept == len(kept)
    assert (quarantine.height, done.records) == (done.quarantined, done.kept + done.quarantined)
    assert dict(quarantine["reason"].value_counts().iter_rows()) == done.reasons
    assert set(quarantine["drop"]) <= {"drop.csv"}
    quarantined = quarantine.select("line", "reason", "raw").rows()
    assert quarantined == sorted(quarantined, key=lambda row: row[0]), "in the order of the file"
    return None, sorted(kept, key=repr), sorted(quarantined, key=repr)


def _rows(platform: str, records: pl.DataFrame) -> list[tuple[object, ...]]:
    return [(user, session, platform, at.astimezone(UTC), kind) for user, session, at, kind in records.rows()]


def read_slow(data: bytes, *, keep_unknown: bool = False, dialect: reference.Dialect = reference.PLAIN) -> Answer:
    """The same of the reference reader."""
    reading = reference.read(data, keep_unknown=keep_unknown, dialect=dialect)
    kept: list[tuple[object, ...]] = [tuple(record)[1:] for record in reading.kept]
    quarantined: list[tuple[object, ...]] = [tuple(record) for record in reading.quarantined]
    return reading.rejection, sorted(kept, key=repr), sorted(quarantined, key=repr)
