"""Converting a drop in parts: byte ranges that are read apart, possibly on several machines, and joined in order.

Each part but the first is read on the assumption that it starts with a record, as the blocks of
:mod:`uda_assets.ingest.reader` are. If the record before it reaches into a part, that part is read again from the
record's end. Each attempt at a part writes to a directory of its own, and the caller decides which attempts count. So
an attempt that runs twice, or dies midway, leaves nothing in what is committed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, TypeVar

import msgspec
import pyarrow.compute as pc
import pyarrow.parquet as pq

from uda_assets.basics.limits import Workplace, block_bytes
from uda_assets.contract.reasons import MalformedRecord
from uda_assets.ingest.convert import (
    CONVERTED,
    Conversion,
    Converted,
    DropJob,
    Reading,
    convert,
    take_converted,
    write_batches,
)
from uda_assets.ingest.header import read_header
from uda_assets.ingest.reader import Batch, Part, PlatformNames, cut, read_batches
from uda_assets.ingest.source import open_source
from uda_assets.lake import Outputs, PartFile
from uda_assets.lake.drop_files import NamedWriter, part_path, quarantine_writer, write_summaries
from uda_assets.storage import Location, make_dir_alone, naming_file, storage_of

Result_co = TypeVar("Result_co", covariant=True)
_ROWS_AT_ONCE = 16_384

ATTEMPTS = "attempts"
"""The directory below the staged one in which attempts write. The caller makes it."""


class Attempt(NamedTuple):
    """What an attempt at a drop, or a part of one, wrote.

    Attributes:
        directory: Where it is: ``data/`` and ``quarantine.parquet``.
        done: What it read; the paths of its files are those below ``data/``.
        end: Where the record behind its last one starts, which may lie beyond the part.
        lines: Physical lines up to there.
        fault: The first malformed record of a part that stopped there: line, reason and raw text.

    """

    directory: Location
    done: Conversion
    end: int = 0
    lines: int = 0
    fault: tuple[int, str, str] | None = None


class Pending(Protocol[Result_co]):
    """A result that is not there yet."""

    def result(self) -> Result_co:
        """Wait for the result, or raise the error of the work."""
        ...

    def cancel(self) -> object:
        """Cancel the work, because its result is not needed any more."""
        ...


Submit = Callable[[DropJob, Part], Pending[Attempt]]
"""Starts :func:`convert_part`, possibly on another machine."""


def convert_alone(job: DropJob, place: Workplace) -> Attempt:
    """Convert a whole drop as one task.

    Raises:
        DropUnreadable: The drop cannot be read as a whole.
        MalformedRecord: A record is malformed, and ``fail_fast`` is set.

    """
    attempt = _new_attempt(job)
    reading = Reading(place.threads, block_bytes(place), place.spill)
    done = convert(job._replace(outputs=_outputs_of(attempt)), reading)
    _account(place, done)
    return Attempt(attempt, done)


def adopt(job: DropJob, attempt: Attempt) -> Conversion:
    """Move the files of an attempt at a whole drop to the places of the drop's converted form."""
    files = storage_of(job.outputs.parts)
    done = attempt.done
    _move_parts(job, attempt, 0)
    files.move(attempt.directory / "quarantine.parquet", job.outputs.quarantine)
    done.files = _named(job, done.files, 0)
    # Those of the attempt name its files as they were called there.
    done.checksums |= write_summaries(job.outputs.summaries, done.files, done.footers)
    return done


def convert_part(job: DropJob, part: Part, place: Workplace) -> Attempt:
    """Convert the records of a plain drop that start in a part; lines are counted from 0 at its start."""
    attempt = _new_attempt(job)
    reached = [(part.start, part.line)]

    def followed(batches: Iterator[Batch[Converted]]) -> Iterator[Batch[Converted]]:
        for batch in batches:
            reached[0] = batch.position, batch.line
            yield batch

    fault = None
    with open_source(job.source, bounds=job.bounds, dialect=job.dialect) as plain:
        batches = read_batches(
            plain, PlatformNames(job.platforms), CONVERTED, take_converted, threads=place.threads,
            block_bytes=block_bytes(place), part=part, dialect=job.dialect,
        )  # fmt: skip
        try:
            done = write_batches(
                followed(batches), job.drop, _outputs_of(attempt), threads=place.threads, fail_fast=job.fail_fast
            )
        except MalformedRecord as malformed:
            # Only the caller knows where the part really starts, and so whether this is a record.
            done, fault = Conversion(), (malformed.line, malformed.reason, malformed.raw)
        done.bytes_read, done.identity = plain.bytes_read, plain.identity
    if fault is None:
        _account(place, done)
    return Attempt(attempt, done, *reached[0], fault)


def _new_attempt(job: DropJob) -> Location:
    directory = job.staged / ATTEMPTS / uuid.uuid4().hex
    # Its parents are not made: if they are gone, nobody would join the attempt.
    make_dir_alone(directory)
    return directory


def _outputs_of(attempt: Location) -> Outputs:
    return Outputs(attempt / "data", "", attempt / "quarantine.parquet", attempt / "data")


def _account(place: Workplace, done: Conversion) -> None:
    place.bytes_read += done.bytes_read
    place.bytes_written += done.bytes_written


def convert_in_parts(job: DropJob, part_bytes: int, submit: Submit) -> Conversion:
    """Convert a plain drop in parts of about ``part_bytes`` bytes.

    Raises:
        DropUnreadable: The drop has no usable header.
        MalformedRecord: A record is malformed, and ``fail_fast`` is set: the first one of the drop.

    """
    whole = Conversion()
    with open_source(job.source, bounds=job.bounds, dialect=job.dialect) as plain:
        header = read_header(plain, job.dialect)
        parts = [Part(*bounds, 0) for bounds in cut(plain, header.body, plain.size, part_bytes)]
        whole.size, whole.bytes_read, whole.identity = plain.size, plain.bytes_read, plain.identity
    pending = [submit(job, part) for part in parts]
    try:
        with quarantine_writer(job.outputs.quarantine) as malformed:
            position, line = header.body, header.line
            for number, (part, found) in enumerate(zip(parts, pending, strict=True)):
                if part.stop <= position:
                    found.cancel()
                    continue
                if part.start != position:
                    found.cancel()
                    pending[number] = submit(job, part._replace(start=position))
                attempt = pending[number].result()
                if attempt.fault:
                    at, reason, raw = attempt.fault
                    raise MalformedRecord(job.drop, line + at, reason, raw)
                _join(job, whole, attempt, number)
                _join_quarantine(malformed, attempt, line)
                position, line = attempt.end, line + attempt.lines
    finally:
        for found in pending:
            found.cancel()
    whole.add_quarantine(malformed.written)
    in_order = sorted(range(len(whole.files)), key=lambda number: whole.files[number].platform)
    whole.files = [whole.files[number] for number in in_order]
    whole.footers = [whole.footers[number] for number in in_order]
    whole.checksums |= write_summaries(job.outputs.summaries, whole.files, whole.footers)
    return whole


def _join(job: DropJob, whole: Conversion, attempt: Attempt, number: int) -> None:
    whole.join(attempt.done)
    _move_parts(job, attempt, number)
    whole.files += _named(job, attempt.done.files, number)
    whole.footers += attempt.done.footers


def _move_parts(job: DropJob, attempt: Attempt, number: int) -> None:
    files = storage_of(job.outputs.parts)
    for file, named in zip(attempt.done.files, _named(job, attempt.done.files, number), strict=True):
        files.move(attempt.directory / "data" / file.path, job.outputs.parts / named.path)


def _named(job: DropJob, files: list[PartFile], number: int) -> list[PartFile]:
    """Return the part files of an attempt under their names in the drop's converted form."""
    suffix = job.outputs.suffix
    return [msgspec.structs.replace(file, path=part_path(file.platform, number, suffix)) for file in files]


def _join_quarantine(malformed: NamedWriter, attempt: Attempt, line: int) -> None:
    """Add the malformed records of a part. Their lines become those of the drop."""
    if not attempt.done.quarantined:
        return
    path = attempt.directory / "quarantine.parquet"
    with naming_file(path), path.open("rb") as file, pq.ParquetFile(file) as piece:
        for batch in piece.iter_batches(_ROWS_AT_ONCE):
            place = batch.schema.get_field_index("line")
            malformed.write(batch.set_column(place, "line", pc.add(batch.column(place), line)))
