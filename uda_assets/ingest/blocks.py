"""One block of a drop, from bytes to judged records.

Lines without quotes, and lines whose quotes are all in order, are tokenised by pyarrow, a block at a time; which of the
records are certainly sound is told over whole columns, and only the others are judged one rule after another. The few
*odd* lines (stray quotes, bytes that are not UTF-8, quoted fields padded with white space, records of several lines)
are read one by one with the exact grammar of :mod:`uda_assets.ingest.records`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv

from uda_assets.basics.arrow import rows_of
from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.platforms import Platforms
from uda_assets.contract.reasons import Reason
from uda_assets.contract.rules import judge
from uda_assets.ingest.certify import KEPT_SCHEMA, NOTHING_KEPT, TOKEN_TYPES, certify
from uda_assets.ingest.header import Header
from uda_assets.ingest.lines import (
    Lines,
    Offsets,
    count,
    count_lines,
    exotic_bytes,
    find_lines,
    is_text,
    join_lines,
    line_end_about,
    odd_lines,
    quotes_in_order,
)
from uda_assets.ingest.lookahead import LookAhead
from uda_assets.ingest.records import SPACES, Scan, decode, is_blank, is_utf8, printable_raw, scan
from uda_assets.ingest.source import Source

LINE_REASON_RAW = pl.Schema({"line": pl.Int64, "reason": pl.String, "raw": pl.String})
"""Quarantined records of a block or drop, before the drop's name is added."""


class BlockRecords(NamedTuple):
    """What a block holds.

    Attributes:
        kept: Accepted records, in ``certify.KEPT_SCHEMA``.
        quarantined: Malformed records in ``LINE_REASON_RAW``; lines counted from 0 at the start of the block.
        read: Number of records, counted as they were tokenised and not from the two tables.
        lines: Physical lines from the start of the block to ``end``.
        end: Offset in the drop at which the next record starts. It may lie beyond the block, or within it where the
            block holds too many lines or quotes to be read at once.
        spellings: Records by normalised platform spelling.

    """

    kept: pa.Table
    quarantined: pl.DataFrame
    read: int
    lines: int
    end: int
    spellings: dict[str, int]


_LONG_LINE = 1 << 20
"""Bytes of a block of one line from which on looking at all its bytes side by side takes more than it saves."""
_MOST_LINES = 1 << 18
_MOST_QUOTES = 1 << 21
"""In a block; each takes far more memory than its byte. The largest blocks of usual records have fewer."""
_SOMETHING = re.compile(rb"[^\r\n]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""A character of category Cc."""
_Fault = tuple[int, str, str]
"""Line, reason and raw text, a row of ``LINE_REASON_RAW``."""


class _Tokens(NamedTuple):
    """A block's lines, tokenised.

    Attributes:
        fields: The five columns, in ``TOKEN_TYPES``.
        rows: Their length.
        ragged: Numbers (from 0, among the lines that are not empty) of lines with too few or too many fields.

    """

    fields: dict[str, pa.Array]
    rows: int
    ragged: list[tuple[int, Reason]]


class _Reading(NamedTuple):
    """What all reading of a block needs: where it ends, its drop's columns, and the platform table."""

    stop: int
    header: Header
    platforms: Platforms


def read_block(
    source: Source, start: int, stop: int, header: Header, ahead: LookAhead, platforms: Platforms
) -> BlockRecords:
    """Read the records that start between two offsets of a drop.

    Args:
        source: The drop.
        start: Offset of a record's first byte.
        stop: Offset behind a line end, or the drop's size.
        header: The drop's columns.
        ahead: Finds the end of records that leave the block.
        platforms: The platform table of the contract.

    Raises:
        DropUnreadable: A record, or a line, is longer than one may be.

    """
    block = _not_too_dense(source.read(start, stop - start))
    if len(block) > source.bounds.record:
        _require_short_lines(source, start, block)
    reading = _Reading(start + len(block), header, platforms)
    if len(block) > _LONG_LINE and line_end_about(block, 1) == len(block):
        return _read_long_line(source, start, block, ahead, reading)
    exotic = exotic_bytes(block)
    in_order = not len(exotic) and is_text(block) and quotes_in_order(block)
    found = _read_at_once(block, reading) if in_order else None
    return found or _read_apart(source, start, block, exotic, ahead, reading)


def _not_too_dense(block: bytes) -> bytes:
    """The first lines of a block, where all of them are too many, or their quotes are; one at least."""
    while count_lines(block) > _MOST_LINES or count(block, ord('"')) > _MOST_QUOTES:
        end = line_end_about(block, len(block) // 2)
        if end == len(block):
            break
        block = block[:end]
    return block


def _read_long_line(source: Source, start: int, line: bytes, ahead: LookAhead, reading: _Reading) -> BlockRecords:
    """Read a line that is a block of its own by the grammar alone, which holds it but a few times."""
    alone = _OddReader(source, start, line, find_lines(line), reading.header, ahead)
    alone.read(np.array([] if is_blank(decode(line)) else [0]))
    return _joined([], alone, 1, reading)


def _require_short_lines(source: Source, start: int, block: bytes) -> None:
    lines = find_lines(block)
    longest = np.argmax(lines.ends - lines.starts)
    source.require_short(start + int(lines.starts[longest]), start + int(lines.ends[longest]))


def _read_at_once(block: bytes, reading: _Reading) -> BlockRecords | None:
    """Read a block in which every line is a record; None where it turns out that one is not."""
    if b"\r" in block and count(block, ord("\r")) != block.count(b"\r\n"):
        return None
    tokens = _tokenise(block, reading.header)
    lines = count(block, ord("\n")) + (not block.endswith(b"\n"))
    # Blank lines, and line ends inside quotes, make records fewer than lines; nothing makes them more.
    if tokens.rows + len(tokens.ragged) != lines:
        return None
    return _judged(block, tokens, reading, lines=lines)


def _read_apart(
    source: Source, start: int, block: bytes, exotic_at: Offsets, ahead: LookAhead, reading: _Reading
) -> BlockRecords:
    """Read the lines that need care apart from those that do not."""
    lines = find_lines(block)
    exotic = np.zeros(len(lines.starts), bool)
    exotic[np.searchsorted(lines.followings, exotic_at, side="right")] = True
    odd = odd_lines(block, lines)
    one_by_one = _OddReader(source, start, block, lines, reading.header, ahead)
    one_by_one.read(odd)
    # Without empty lines, whose line feed would join the carriage return of a line before.
    regular = lines.ends > lines.starts
    regular[odd] = False
    for first, last in one_by_one.consumed:
        regular[first : last + 1] = False
    found = []
    for numbers, is_exotic in ((np.flatnonzero(regular & ~exotic), False), (np.flatnonzero(regular & exotic), True)):
        if len(numbers):
            part, part_lines = join_lines(block, lines, numbers)
            where = _Rows(part, part_lines, numbers)
            found.append(_judged(part, _tokenise(part, reading.header), reading, where, exotic=is_exotic))
    return _joined(found, one_by_one, len(lines.starts), reading)


def _judged(
    block: bytes,
    tokens: _Tokens,
    reading: _Reading,
    where: _Rows | None = None,
    *,
    lines: int = 0,
    exotic: bool = False,
) -> BlockRecords:
    """Judge lines that are each a record, or blank.

    Args:
        block: The lines.
        tokens: What they hold.
        reading: Where the block ends, and the rules.
        where: Where the lines are, if that is known.
        lines: How many there are.
        exotic: They hold control characters or unusual white space, so that no record is certainly sound.

    """
    if exotic:
        kept, doubtful, spellings = NOTHING_KEPT, np.arange(tokens.rows), dict[str, int]()
    else:
        kept, doubtful, spellings = certify(tokens.fields, reading.platforms)
    if not len(doubtful) and not tokens.ragged:
        return BlockRecords(kept, LINE_REASON_RAW.to_frame(), tokens.rows, lines, reading.stop, spellings)
    verdict = judge(_doubtful_records(tokens, doubtful), reading.platforms)
    where = where or _Rows(block, find_lines(block))
    ragged = [fault for fault in where.ragged(tokens.ragged) if not is_blank(fault[2])]
    rejected = where.rejected(verdict.rejected, {row for row, _ in tokens.ragged})
    kept = pa.concat_tables([kept, _as_kept(verdict.kept)])
    spellings = _sum_of([spellings, verdict.spellings])
    return BlockRecords(kept, _faults([*ragged, *rejected]), tokens.rows + len(ragged), lines, reading.stop, spellings)


def _doubtful_records(tokens: _Tokens, rows: Offsets) -> pl.DataFrame:
    """Some of the tokenised records, with their row numbers, as the contract judges them."""
    chosen = rows_of(rows)
    taken = {name: column.take(chosen).cast(pa.string()) for name, column in tokens.fields.items()}
    return pl.DataFrame(pl.from_arrow(pa.table({"row": chosen, **taken})))


class _Rows:
    """Where the rows of a tokenised block came from; ``numbers`` are its lines', where some were left out of it."""

    def __init__(self, block: bytes, lines: Lines, numbers: Offsets | None = None) -> None:
        self._block, self._lines, self._numbers = block, lines, numbers
        # The tokeniser skips empty lines.
        self._filled = np.flatnonzero(lines.ends > lines.starts)

    def ragged(self, ragged: list[tuple[int, Reason]]) -> list[_Fault]:
        """Line, reason and raw text of lines with too few or too many fields."""
        return [self._fault(int(self._filled[row]), reason) for row, reason in ragged]

    def rejected(self, rejected: pl.DataFrame, ragged: set[int]) -> list[_Fault]:
        """Line, reason and raw text of rows, which are counted without the ragged lines."""
        sound = np.delete(self._filled, list(ragged)) if ragged else self._filled
        return [self._fault(int(sound[row]), reason) for row, reason in rejected.select("row", "reason").iter_rows()]

    def _fault(self, index: int, reason: str) -> _Fault:
        raw = self._block[self._lines.starts[index] : self._lines.ends[index]].decode()
        return (index if self._numbers is None else int(self._numbers[index])), str(reason), raw


def _tokenise(block: bytes, header: Header) -> _Tokens:
    ragged: list[tuple[int, Reason]] = []
    if not _SOMETHING.search(block):
        return _Tokens({name: _one_chunk(pa.chunked_array([], kind)) for name, kind in TOKEN_TYPES.items()}, 0, ragged)

    def note(row: pa.csv.InvalidRow) -> str:
        short = row.actual_columns < row.expected_columns
        ragged.append((row.number - 1, Reason.TOO_FEW_FIELDS if short else Reason.TOO_MANY_FIELDS))
        return "skip"

    if block.startswith(codecs.BOM_UTF8):
        # The tokeniser would take it for a mark, but here it is data; empty lines it skips.
        block = b"\n" + block
    names = [f"column_{i}" for i in range(header.width)]
    wanted = {names[header.positions[name]]: kind for name, kind in TOKEN_TYPES.items()}
    table = pa.csv.read_csv(
        pa.py_buffer(block),
        # One block and no threads: rows keep their numbers; blocks run side by side instead.
        read_options=pa.csv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1),
        parse_options=pa.csv.ParseOptions(invalid_row_handler=note),
        convert_options=pa.csv.ConvertOptions(
            column_types=wanted, include_columns=list(wanted), strings_can_be_null=False, check_utf8=False
        ),
    )
    columns = [_one_chunk(column) for column in table.columns]
    return _Tokens(dict(zip(COLUMNS, columns, strict=True)), table.num_rows, ragged)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _as_kept(records: pl.DataFrame) -> pa.Table:
    """Records that the contract accepted, among those that were certified."""
    table = records.select(COLUMNS).to_arrow(compat_level=pl.CompatLevel.oldest())
    return table.cast(pa.schema([(name, _PLAIN.get(name, pa.string())) for name in COLUMNS])).cast(KEPT_SCHEMA)


_PLAIN = {"activity_time": KEPT_SCHEMA.field("activity_time").type}


def _sum_of(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in counts:
        for spelling, records in part.items():
            total[spelling] = total.get(spelling, 0) + records
    return total


class _OddReader:
    """Reads records one by one: candidates for the contract, and those malformed in their structure.

    Attributes:
        candidates: Line, raw text and the five fields.
        malformed: Line, reason and raw text.
        consumed: Ranges of lines, first to last, that are a record's further lines.
        end: Offset behind the last record.
        lines: Physical lines up to there.
    """

    def __init__(
        self, source: Source, start: int, block: bytes, lines: Lines, header: Header, ahead: LookAhead
    ) -> None:
        self._source, self._start, self._block, self._lines = source, start, block, lines
        self._header, self._ahead = header, ahead
        self.candidates: list[tuple[int, str, list[str]]] = []
        self.malformed: list[tuple[int, str, str]] = []
        self.consumed: list[tuple[int, int]] = []
        self.end, self.lines = start + len(block), len(lines.starts)

    def read(self, odd: Offsets) -> None:
        """Read the records that start on these lines; a line inside a record before it starts none."""
        resume = 0
        for line in odd.tolist():
            if line >= resume:
                resume = self._read_record(line)

    def _read_record(self, line: int) -> int:
        """Read one record and return the line after it."""
        raw = self._block[self._lines.starts[line] : self._lines.ends[line]]
        if not is_utf8(raw):
            self._reject(line, Reason.ENCODING, raw)
            return line + 1
        following = self._start + int(self._lines.followings[line])
        record = scan(decode(raw), most=self._header.width + 1)
        fault = self._quote_fault(record, following)
        if fault is None and record.open:
            return self._read_long_record(line, raw, following)
        fault = fault or self._width_fault(record)
        if fault:
            self._reject(line, fault, raw)
        else:
            self.candidates.append((line, decode(raw), self._five(record)))
        return line + 1

    def _read_long_record(self, line: int, first: bytes, following: int) -> int:
        """Read a record of several lines whose quotes are in order."""
        extent = self._ahead.extent(following)
        start = self._start + int(self._lines.starts[line])
        self._source.require_short(start, extent.end)
        raw = _without_line_end(self._source.read(start, extent.end - start)).decode()
        record = scan(raw, most=self._header.width + 1)
        fault = self._width_fault(record)
        if fault is None and _has_control(self._five(record)):
            fault = Reason.CONTROL_CHARACTER
        if fault:
            self._reject(line, fault, first)
            return line + 1
        self.candidates.append((line, raw, self._five(record)))
        after = line + 1 + extent.lines
        self.consumed.append((line + 1, after - 1))
        if extent.end > self.end:
            self.end, self.lines = extent.end, after
        return after

    def _quote_fault(self, record: Scan, following: int) -> Reason | None:
        """The first of encoding, unterminated_quote and bad_quote that holds, over all lines of the record."""
        faults = {self._ahead.fault(following) if record.open else None}
        if record.bad_quote:
            faults.add(Reason.BAD_QUOTE)
        by_precedence = (Reason.ENCODING, Reason.UNTERMINATED_QUOTE, Reason.BAD_QUOTE)
        return next((reason for reason in by_precedence if reason in faults), None)

    def _width_fault(self, record: Scan) -> Reason | None:
        if len(record.fields) == self._header.width:
            return None
        return Reason.TOO_FEW_FIELDS if len(record.fields) < self._header.width else Reason.TOO_MANY_FIELDS

    def _five(self, record: Scan) -> list[str]:
        return [record.fields[self._header.positions[name]] for name in COLUMNS]

    def _reject(self, line: int, reason: Reason, first: bytes) -> None:
        raw = printable_raw(first)
        if _is_longer(raw, self._source.bounds.record):
            raise self._source.too_long(self._start + int(self._lines.starts[line]))
        self.malformed.append((line, reason.value, raw))


def _is_longer(text: str, most: float) -> bool:
    """Whether a text has more bytes than that; a character has one to four, which mostly is all there is to know."""
    return len(text) > most or (4 * len(text) > most and len(text.encode()) > most)


def _without_line_end(raw: bytes) -> bytes:
    if raw.endswith(b"\r\n"):
        return raw[:-2]
    return raw[:-1] if raw.endswith((b"\n", b"\r")) else raw


def _has_control(fields: Iterable[str]) -> bool:
    # As the contract asks it of columns, of which one record is none.
    return any(_CONTROL.search(field.strip(SPACES)) for field in fields)


def _joined(found: list[BlockRecords], odd: _OddReader, lines: int, reading: _Reading) -> BlockRecords:
    """Join what was read in bulk and what was read one by one."""
    if odd.candidates or odd.malformed:
        found.append(_judge_odd(odd, reading))
    return BlockRecords(
        kept=pa.concat_tables([NOTHING_KEPT, *(part.kept for part in found)]),
        quarantined=pl.concat([LINE_REASON_RAW.to_frame(), *(part.quarantined for part in found)]).sort("line"),
        read=sum(part.read for part in found),
        lines=max(lines, odd.lines),
        end=max(reading.stop, odd.end),
        spellings=_sum_of(part.spellings for part in found),
    )


def _judge_odd(odd: _OddReader, reading: _Reading) -> BlockRecords:
    """Apply the contract to the records that were read one by one."""
    columns = [list(column) for column in zip(*(fields for _, _, fields in odd.candidates), strict=True)]
    numbers = [number for number, _, _ in odd.candidates]
    raws = {number: raw for number, raw, _ in odd.candidates}
    frame = pl.DataFrame(
        {"line": numbers, **dict(zip(COLUMNS, columns or [[]] * len(COLUMNS), strict=True))},
        schema={"line": pl.Int64, **dict.fromkeys(COLUMNS, pl.String)},
    )
    verdict = judge(frame, reading.platforms)
    rejected = [(line, reason, raws[line]) for line, reason in verdict.rejected.iter_rows()]
    return BlockRecords(
        kept=_as_kept(verdict.kept),
        quarantined=_faults([*odd.malformed, *rejected]),
        read=len(odd.candidates) + len(odd.malformed),
        lines=odd.lines,
        end=max(reading.stop, odd.end),
        spellings=verdict.spellings,
    )


def _faults(faults: list[_Fault]) -> pl.DataFrame:
    return pl.DataFrame(sorted(faults), schema=LINE_REASON_RAW, orient="row")
