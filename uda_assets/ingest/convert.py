"""From a drop to Parquet: accepted records by platform, malformed ones to quarantine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from uda_assets.basics.bounds import DEFAULT_BOUNDS, Bounds
from uda_assets.basics.progress import Advance, OnAdvance
from uda_assets.contract.dialects import CSV, Dialect
from uda_assets.contract.platforms import Platforms
from uda_assets.contract.reasons import MalformedRecord
from uda_assets.contract.schemas import QUARANTINE_PARQUET_SCHEMA
from uda_assets.ingest.reader import BLOCK_BYTES, Batch, PlatformNames, read_batches
from uda_assets.ingest.source import open_source
from uda_assets.kernel import REASONS, Kernel, Wanted
from uda_assets.lake import QUARANTINE, Outputs, PartFile
from uda_assets.lake.drop_files import PartWriters, WrittenFile, quarantine_writer, write_summaries
from uda_assets.storage import Location

CONVERTER_VERSION = "3"
"""Part of every fingerprint: raise it when the same drop would be converted differently."""

_MAX_SPELLINGS = 1_000
_SEVERAL = -1
"""The identity of a drop that changed while its parts were read."""


class Converted(NamedTuple):
    """What a conversion takes of a block.

    Attributes:
        records: The accepted records by platform, in ``PARQUET_SCHEMA``.
        malformed: The malformed records: ``line`` (from 0 at the start of the block), ``reason`` (its number), ``raw``.
    """

    records: dict[str, pa.RecordBatch]
    malformed: pa.RecordBatch | None


def take_converted(kernel: Kernel, names: PlatformNames) -> Converted:
    """Take the records of a block, accepted and malformed."""
    records = {
        names.names[number]: pa.record_batch(exported)
        for number in range(kernel.state.platforms)
        if (exported := kernel.records(number))
    }
    malformed = kernel.malformed()
    return Converted(records, pa.record_batch(malformed) if malformed else None)


CONVERTED = Wanted.RECORDS | Wanted.FAULTS
"""What :func:`take_converted` needs."""


@dataclass
class Conversion:
    """What a conversion read and wrote.

    Attributes:
        records: Records read.
        kept: Rows written to the part files.
        reasons: Quarantined records by reason.
        files: The part files.
        footers: Their footers, in the same order.
        rows_quarantined: The rows of the quarantine, according to its footer.
        spellings: Records by normalised platform spelling; None where there were too many to list.
        checksums: BLAKE3 of what was written beside the part files: ``quarantine``, and the summaries by name.
        size: Bytes of the plain drop.
        bytes_read: Bytes of it that were read.
        bytes_written: Bytes of part files and quarantine.
        is_marked: Whether a byte order mark decided its encoding, against the dialect.
        identity: What the signature of the object that was read says of its identity; None on a file system.

    """

    size: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    is_marked: bool = False
    records: int = 0
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    files: list[PartFile] = field(default_factory=list)
    footers: list[pq.FileMetaData] = field(default_factory=list)
    rows_quarantined: int = 0
    identity: int | None = None
    spellings: Counter[str] | None = field(default_factory=Counter)
    checksums: dict[str, str] = field(default_factory=dict)

    @property
    def quarantined(self) -> int:
        """Malformed records."""
        return self.reasons.total()

    @property
    def reject_ratio(self) -> float:
        """Share of malformed records, 0 to 1."""
        return self.quarantined / self.records if self.records else 0.0

    def add(self, batch: Batch[Converted]) -> None:
        """Count a batch."""
        self.records += batch.read
        self.kept += batch.rows
        self.reasons.update(batch.reasons)
        self._add_spellings(batch.spellings)

    def join(self, part: Conversion) -> None:
        """Count a part of the drop that was read on its own; its files are not taken over."""
        self.bytes_read += part.bytes_read
        if part.identity != self.identity:
            self.identity = _SEVERAL
        self.records += part.records
        self.kept += part.kept
        self.reasons.update(part.reasons)
        self._add_spellings(part.spellings)

    def add_quarantine(self, written: WrittenFile) -> None:
        """Count the rows of the quarantine, which is complete."""
        self.checksums[QUARANTINE] = written.checksum
        self.rows_quarantined = written.footer.num_rows
        self.bytes_written += written.size

    def _add_spellings(self, spellings: Mapping[str, int] | None) -> None:
        if spellings is None:
            self.spellings = None
        if self.spellings is not None:
            self.spellings.update(spellings)
            if len(self.spellings) > _MAX_SPELLINGS:
                self.spellings = None


class DropJob(NamedTuple):
    """A drop to convert.

    Attributes:
        source: The CSV file.
        drop: The drop's name.
        outputs: Where to write. The directory must be new.
        platforms: The platform table of the contract.
        staged: A directory on the same storage, for temporary files that other machines see too.
        scratch: A directory on this machine, for temporary files.
        dialect: How the drop is written.
        fail_fast: Whether to stop at the first malformed record.
        bounds: How much may be decompressed, and how long a record may be.
        beside: How many drops are converted at once, this one included.
    """

    source: Location
    drop: str
    outputs: Outputs
    platforms: Platforms
    staged: Location
    scratch: Path
    dialect: Dialect = CSV
    fail_fast: bool = False
    bounds: Bounds = DEFAULT_BOUNDS
    beside: int = 1


class Reading(NamedTuple):
    """How a drop is read.

    Attributes:
        threads: Blocks read at once.
        block_bytes: About how much a thread reads at once.
        spill: A directory for decompressed files, or None for the system's own.
    """

    threads: int = 1
    block_bytes: int = BLOCK_BYTES
    spill: Path | None = None


def convert(job: DropJob, reading: Reading, on_advance: OnAdvance | None = None) -> Conversion:
    """Convert a drop. Memory does not grow with its size.

    The outputs are ``platform=P/part.0.parquet`` for each platform, ``_metadata`` and ``_common_metadata``, and a
    quarantine in ``QUARANTINE_SCHEMA``.

    Args:
        job: The drop.
        reading: How to read it.
        on_advance: Called with the progress, in bytes of the decompressed drop.

    Raises:
        DropUnreadable: The drop cannot be read as a whole.
        MalformedRecord: A record is malformed, and ``fail_fast`` is set.
    """
    with open_source(job.source, reading.spill, job.bounds, dialect=job.dialect) as plain:
        batches = read_batches(
            plain, PlatformNames(job.platforms), CONVERTED, take_converted, threads=reading.threads,
            block_bytes=reading.block_bytes, dialect=job.dialect,
        )  # fmt: skip

        def on_progress(position: int, records: int) -> None:
            if on_advance:
                on_advance(Advance(job.drop, position, plain.size, records))

        done = write_batches(
            batches, job.drop, job.outputs, threads=reading.threads, fail_fast=job.fail_fast, on_progress=on_progress
        )
        done.size, done.bytes_read, done.is_marked = plain.size, plain.bytes_read, plain.is_marked
        done.identity = plain.identity
    done.checksums |= write_summaries(job.outputs.summaries, done.files, done.footers)
    return done


def write_batches(
    batches: Iterable[Batch[Converted]],
    drop: str,
    outputs: Outputs,
    *,
    threads: int = 1,
    fail_fast: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Write the batches of a drop to part files and quarantine, and count the records.

    ``on_progress`` is called with the bytes of the plain drop and the records that were read so far.

    Raises:
        MalformedRecord: A record is malformed, and ``fail_fast`` is set.

    """
    done = Conversion()
    with (
        PartWriters(outputs, threads) as parts,
        quarantine_writer(outputs.quarantine) as malformed,
    ):
        for batch in batches:
            if fail_fast and batch.first_fault:
                raise MalformedRecord(drop, *batch.first_fault)
            done.add(batch)
            parts.write(batch.kept.records)
            if batch.kept.malformed:
                malformed.write(_quarantined(drop, batch.kept.malformed, batch.start))
            if on_progress:
                on_progress(batch.position, done.records)
    done.files, done.footers, done.bytes_written = parts.files, parts.footers, parts.size
    done.add_quarantine(malformed.written)
    return done


def _quarantined(drop: str, malformed: pa.RecordBatch, start: int) -> pa.Table:
    """Return malformed records of a block that starts on a line, in ``QUARANTINE_PARQUET_SCHEMA``."""
    frame = pl.DataFrame(pl.from_arrow(malformed))
    reasons = pl.Series("reason", REASONS, pl.String).gather(frame["reason"])
    columns = [pl.repeat(drop, frame.height, eager=True).alias("drop"), frame["line"] + start, reasons, frame["raw"]]
    return pl.DataFrame(columns).to_arrow().cast(QUARANTINE_PARQUET_SCHEMA)
