"""One block of a drop, from bytes to judged records.

Lines without quotes, and lines whose quotes are all in order, are tokenised by pyarrow, a block at a time. The few
others (the *odd* lines: stray quotes, bytes that are not UTF-8, quoted fields padded with white space, records of
several lines) are read one by one with the exact grammar of :mod:`uda_assets.ingest.records`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.csv

from uda_assets.contract import COLUMNS, RECORD_SCHEMA, Platforms, Reason, judge
from uda_assets.ingest.header import Header
from uda_assets.ingest.records import LookAhead, Scan, decode, is_blank, is_utf8, printable_raw, scan
from uda_assets.ingest.source import Source

Offsets = npt.NDArray[np.int64]

LINE_REASON_RAW = pl.Schema({"line": pl.Int64, "reason": pl.String, "raw": pl.String})
"""Quarantined records of a block or drop, before the drop's name is added."""

# A line whose every field is either bare and free of quotes or quoted to its last character.
_IN_ORDER = r'^(?:[^",]*|"[^"]*(?:""[^"]*)*")(?:,(?:[^",]*|"[^"]*(?:""[^"]*)*"))*[\r\n]*$'
_QUOTE, _LF, _CR = ord('"'), ord("\n"), ord("\r")
_BEYOND = 0x7F - ord(" ")
# Where exotic lines are fewer than one in so many, it pays to read the plain ones apart.
_FEW = 8


class BlockRecords(NamedTuple):
    """What a block holds.

    Attributes:
        kept: Accepted records, in ``contract.RECORD_SCHEMA``.
        quarantined: Malformed records in ``LINE_REASON_RAW``; lines counted from 0 at the start of the block.
        read: Number of records, counted as they were tokenised and not from the two frames.
        lines: Physical lines from the start of the block to ``end``.
        end: Offset in the drop at which the next record starts, which may lie beyond the block.
        spellings: Records by normalised platform spelling.

    """

    kept: pl.DataFrame
    quarantined: pl.DataFrame
    read: int
    lines: int
    end: int
    spellings: dict[str, int]


class Lines(NamedTuple):
    """Where the physical lines of a block are: offsets of first byte, of line end, and of the next line."""

    starts: Offsets
    ends: Offsets
    followings: Offsets


def find_lines(block: bytes) -> Lines:
    """The physical lines of a block; LF, CRLF and CR end one."""
    codes = np.frombuffer(block, np.uint8)
    feeds = np.flatnonzero(codes == _LF)
    if b"\r" in block:
        returns = np.flatnonzero(codes == _CR)
        before_feed = np.append(codes, 0)[returns + 1] == _LF
        paired = np.zeros(len(feeds), bool)
        paired[np.searchsorted(feeds, returns[before_feed])] = True
        ends = np.concatenate([feeds - paired, returns[~before_feed]])
        followings = np.concatenate([feeds, returns[~before_feed]]) + 1
        order = np.argsort(followings)
        ends, followings = ends[order], followings[order]
    else:
        ends, followings = feeds, feeds + 1
    if not len(followings) or followings[-1] < len(block):
        ends, followings = np.append(ends, len(block)), np.append(followings, len(block))
    starts = np.concatenate([[0], followings[:-1]])
    return Lines(starts, ends, followings)


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

    """
    block = source.read(start, stop - start)
    exotic_bytes = _exotic_bytes(block)
    if b'"' not in block and not len(exotic_bytes):
        return _read_regular(block, stop, header, platforms, plain=True)
    lines = find_lines(block)
    exotic = np.zeros(len(lines.starts), bool)
    exotic[np.searchsorted(lines.followings, exotic_bytes, side="right")] = True
    odd = _odd_lines(block, lines, exotic)
    one_by_one = _OddReader(source, start, block, lines, header, ahead)
    one_by_one.read(odd)
    # Without empty lines, whose line feed would join the carriage return of a line before.
    regular = lines.ends > lines.starts
    regular[odd] = False
    for first, last in one_by_one.consumed:
        regular[first : last + 1] = False
    if np.count_nonzero(exotic) * _FEW > len(exotic):
        exotic[:] = True
    found = [
        _read_regular(_join_lines(block, lines, numbers), stop, header, platforms, plain=plain, numbers=numbers)
        for plain, numbers in ((True, np.flatnonzero(regular & ~exotic)), (False, np.flatnonzero(regular & exotic)))
        if len(numbers)
    ]
    return _joined(found, one_by_one, stop, len(lines.starts), platforms)


def _exotic_bytes(block: bytes) -> Offsets:
    """Where bytes are that plain text has not: control characters that end no line, and all beyond ASCII."""
    codes = np.frombuffer(block, np.uint8)
    # Below a space wraps around, so that one comparison finds both ends of the range.
    places = np.flatnonzero(codes - np.uint8(ord(" ")) >= _BEYOND)
    found = codes[places]
    exotic: Offsets = places[(found != _LF) & (found != _CR)]
    return exotic


def _read_regular(
    block: bytes, stop: int, header: Header, platforms: Platforms, *, plain: bool, numbers: Offsets | None = None
) -> BlockRecords:
    """Tokenise lines that are each a record, or blank. ``numbers`` are their line numbers where some were left out."""
    table, ragged = _tokenise(block, header)
    fields = pl.DataFrame(pl.from_arrow(table)).with_row_index("row")
    verdict = judge(fields, platforms, plain=plain)
    kept = verdict.kept.drop("row")
    if not ragged and not verdict.rejected.height:
        lines = len(numbers) if numbers is not None else _count_lines(block)
        return BlockRecords(kept, LINE_REASON_RAW.to_frame(), table.num_rows, lines, stop, verdict.spellings)
    lines_of_block = find_lines(block)
    # The tokeniser skips empty lines and hands the ragged ones out, so rows are counted among the remaining ones.
    rows = np.flatnonzero(lines_of_block.ends > lines_of_block.starts)
    ragged_lines = rows[[number for number, _ in ragged]] if ragged else rows[:0]
    sound = np.delete(rows, [number for number, _ in ragged]) if ragged else rows
    faults: list[tuple[int, str, str]] = []
    for index, (_, reason) in zip(ragged_lines.tolist(), ragged, strict=True):
        raw = block[lines_of_block.starts[index] : lines_of_block.ends[index]].decode()
        if not is_blank(raw):
            faults.append((index, reason.value, raw))
    read = table.num_rows + len(faults)
    for row, reason_name in verdict.rejected.select("row", "reason").iter_rows():
        index = int(sound[row])
        raw = block[lines_of_block.starts[index] : lines_of_block.ends[index]].decode()
        faults.append((index, reason_name, raw))
    if numbers is not None:
        faults = [(int(numbers[index]), reason, raw) for index, reason, raw in faults]
    line_count = len(numbers) if numbers is not None else len(lines_of_block.starts)
    return BlockRecords(kept, _faults(faults), read, line_count, stop, verdict.spellings)


def _count_lines(block: bytes) -> int:
    if b"\r" in block:
        return len(find_lines(block).starts)
    return block.count(b"\n") + (not block.endswith(b"\n"))


def _tokenise(block: bytes, header: Header) -> tuple[pa.Table, list[tuple[int, Reason]]]:
    """The five columns as strings, and the numbers (from 0) of non-empty lines with too few or too many fields."""
    ragged: list[tuple[int, Reason]] = []
    if not block.strip(b"\r\n"):
        return pa.table({name: pa.array([], pa.string()) for name in COLUMNS}), ragged

    def note(row: pa.csv.InvalidRow) -> str:
        short = row.actual_columns < row.expected_columns
        ragged.append((row.number - 1, Reason.TOO_FEW_FIELDS if short else Reason.TOO_MANY_FIELDS))
        return "skip"

    if block.startswith(codecs.BOM_UTF8):
        # The tokeniser would take it for a mark, but here it is data; empty lines it skips.
        block = b"\n" + block
    names = [f"column_{i}" for i in range(header.width)]
    wanted = [names[header.positions[name]] for name in COLUMNS]
    table = pa.csv.read_csv(
        pa.py_buffer(block),
        # One block and no threads: rows keep their numbers; blocks run side by side instead.
        read_options=pa.csv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1),
        parse_options=pa.csv.ParseOptions(invalid_row_handler=note),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()),
            include_columns=wanted,
            strings_can_be_null=False,
            check_utf8=False,
        ),
    )
    return table.rename_columns(list(COLUMNS)), ragged


def _odd_lines(block: bytes, lines: Lines, exotic: npt.NDArray[np.bool_]) -> Offsets:
    """Indexes of the lines that must be read one by one."""
    odd = np.zeros(len(lines.starts), bool)
    odd[list(_undecodable_lines(block, lines, np.flatnonzero(exotic)))] = True
    quotes = np.flatnonzero(np.frombuffer(block, np.uint8) == _QUOTE)
    # Positions ascend, so that a line's quotes are neighbours.
    quoted = np.searchsorted(lines.followings, quotes, side="right")
    quoted = quoted[np.append(True, quoted[1:] != quoted[:-1])] if len(quoted) else quoted
    quoted = quoted[~odd[quoted]]
    if len(quoted):
        texts = _line_series(block, lines).gather(quoted).cast(pl.String)
        odd[quoted[~texts.str.contains(_IN_ORDER).to_numpy()]] = True
    return np.flatnonzero(odd)


def _undecodable_lines(block: bytes, lines: Lines, exotic: Offsets) -> list[int]:
    """Lines that are not UTF-8, among those that are not plain."""
    if not len(exotic) or is_utf8(block):
        return []
    starts, followings = lines.starts[exotic].tolist(), lines.followings[exotic].tolist()
    return [
        line
        for line, start, following in zip(exotic.tolist(), starts, followings, strict=True)
        if not is_utf8(block[start:following])
    ]


def _line_series(block: bytes, lines: Lines) -> pl.Series:
    """The lines with their ends, as a binary column over the block's own memory."""
    offsets = np.append(lines.starts, len(block)).astype(np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(block)]
    return pl.Series(pl.from_arrow(pa.Array.from_buffers(pa.large_binary(), len(lines.starts), buffers)))


def _join_lines(block: bytes, lines: Lines, indexes: Offsets) -> bytes:
    """The bytes of some lines, cut out in runs of neighbours."""
    if not len(indexes):
        return b""
    breaks = np.flatnonzero(np.diff(indexes) > 1)
    firsts = lines.starts[indexes[np.append(0, breaks + 1)]].tolist()
    lasts = lines.followings[indexes[np.append(breaks, len(indexes) - 1)]].tolist()
    return b"".join([block[first:last] for first, last in zip(firsts, lasts, strict=True)])


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
        following = self._start + int(self._lines.followings[line])
        record = scan(decode(raw))
        fault = self._quote_fault(raw, record, following)
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
        raw = _without_line_end(self._source.read(start, extent.end - start)).decode()
        record = scan(raw)
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

    def _quote_fault(self, raw: bytes, record: Scan, following: int) -> Reason | None:
        """The first of encoding, unterminated_quote and bad_quote that holds, over all lines of the record."""
        faults = {self._ahead.fault(following) if record.open else None}
        if not is_utf8(raw):
            faults.add(Reason.ENCODING)
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
        self.malformed.append((line, reason.value, printable_raw(first)))


def _without_line_end(raw: bytes) -> bytes:
    if raw.endswith(b"\r\n"):
        return raw[:-2]
    return raw[:-1] if raw.endswith((b"\n", b"\r")) else raw


def _has_control(fields: Iterable[str]) -> bool:
    return bool(pl.Series(list(fields)).str.strip_chars().str.contains(r"\p{Cc}").any())


def _joined(found: list[BlockRecords], odd: _OddReader, stop: int, lines: int, platforms: Platforms) -> BlockRecords:
    """Join what was read in bulk and what was read one by one."""
    if odd.candidates or odd.malformed:
        found.append(_judge_odd(odd, stop, platforms))
    spellings: dict[str, int] = {}
    for part in found:
        for spelling, records in part.spellings.items():
            spellings[spelling] = spellings.get(spelling, 0) + records
    return BlockRecords(
        kept=pl.concat([part.kept for part in found]) if found else RECORD_SCHEMA.to_frame(),
        quarantined=pl.concat([LINE_REASON_RAW.to_frame(), *(part.quarantined for part in found)]).sort("line"),
        read=sum(part.read for part in found),
        lines=max(lines, odd.lines),
        end=max(stop, odd.end),
        spellings=spellings,
    )


def _judge_odd(odd: _OddReader, stop: int, platforms: Platforms) -> BlockRecords:
    """Apply the contract to the records that were read one by one."""
    columns = [list(column) for column in zip(*(fields for _, _, fields in odd.candidates), strict=True)]
    numbers = [number for number, _, _ in odd.candidates]
    raws = {number: raw for number, raw, _ in odd.candidates}
    frame = pl.DataFrame(
        {"line": numbers, **dict(zip(COLUMNS, columns or [[]] * len(COLUMNS), strict=True))},
        schema={"line": pl.Int64, **dict.fromkeys(COLUMNS, pl.String)},
    )
    verdict = judge(frame, platforms)
    rejected = [(line, reason, raws[line]) for line, reason in verdict.rejected.iter_rows()]
    return BlockRecords(
        kept=verdict.kept.drop("line"),
        quarantined=_faults([*odd.malformed, *rejected]),
        read=len(odd.candidates) + len(odd.malformed),
        lines=odd.lines,
        end=max(stop, odd.end),
        spellings=verdict.spellings,
    )


def _faults(faults: list[tuple[int, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(sorted(faults), schema=LINE_REASON_RAW, orient="row")
