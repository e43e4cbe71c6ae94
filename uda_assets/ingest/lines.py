"""Physical lines of a block, and which of them need care: looks at bytes, over the whole block at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from uda_assets.ingest.records import is_utf8

Offsets = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]

_QUOTE, _COMMA, _LF, _CR, _DEL = (ord(character) for character in '",\n\r\x7f')
# By which byte control characters and white space beyond ASCII begin, as of `contract.WHITE_SPACE` and category Cc.
_LEADS = (0xC2, 0xE1, 0xE2, 0xE3)


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


def line_end_about(block: bytes, place: int) -> int:
    """Offset behind the last line end before ``place``, or behind the first one after it, or behind the block."""
    end = max(block.rfind(b"\n", 0, place), block.rfind(b"\r", 0, place)) + 1
    if not end:
        feed, back = (block.find(code, place) + 1 or len(block) for code in (b"\n", b"\r"))
        end = min(feed, back)
    return end + (block[end - 1 : end + 1] == b"\r\n")


def join_lines(block: bytes, lines: Lines, indexes: Offsets) -> tuple[bytes, Lines]:
    """The bytes of some lines, cut out in runs of neighbours, and where the lines are in them."""
    breaks = np.flatnonzero(np.diff(indexes) > 1)
    firsts = lines.starts[indexes[np.append(0, breaks + 1)]].tolist()
    lasts = lines.followings[indexes[np.append(breaks, len(indexes) - 1)]].tolist()
    starts, ends, followings = (offsets[indexes] for offsets in lines)
    joined = np.cumsum(followings - starts)
    moved = joined - followings
    part = b"".join([block[first:last] for first, last in zip(firsts, lasts, strict=True)])
    return part, Lines(starts + moved, ends + moved, joined)


def is_text(block: bytes) -> bool:
    """Whether a block is well-formed UTF-8; as `records.is_utf8` tells, but many times faster."""
    if block.isascii():
        return True
    buffers = [None, pa.py_buffer(np.array([0, len(block)], np.int64)), pa.py_buffer(block)]
    try:
        pa.Array.from_buffers(pa.large_string(), 1, buffers).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def count(block: bytes, code: int) -> int:
    """How often a byte occurs; for frequent ones many times faster than :meth:`bytes.count`."""
    if code not in block:
        return 0
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == code))


def count_lines(block: bytes) -> int:
    """How many lines a block has."""
    ended = count(block, _LF) + (count(block, _CR) - block.count(b"\r\n") if b"\r" in block else 0)
    return ended + (bool(block) and not block.endswith((b"\n", b"\r")))


def exotic_bytes(block: bytes) -> Offsets:
    """Where control characters that end no line are, and what may be one, or white space, beyond ASCII."""
    codes = np.frombuffer(block, np.uint8)
    found = []
    # Counting passes over a block are cheap, and mostly all that is needed.
    if np.count_nonzero(codes < ord(" ")) != count(block, _LF) + count(block, _CR):
        low = np.flatnonzero(codes < ord(" "))
        found.append(low[(codes[low] != _LF) & (codes[low] != _CR)])
    if b"\x7f" in block:
        found.append(np.flatnonzero(codes == _DEL))
    if not block.isascii():
        found.append(_exotic_beyond_ascii(codes))
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _exotic_beyond_ascii(codes: Codes) -> Offsets:
    """Where a C1 control character or white space begins, should the bytes be UTF-8; a few other characters too."""
    places = np.flatnonzero(codes.view(np.int8) < 0)
    places = places[(codes[places] >= _LEADS[0]) & (codes[places] <= _LEADS[-1])]
    last = len(codes) - 1
    lead, second, third = (codes[np.minimum(places + ahead, last)] for ahead in range(3))
    exotic = (
        ((lead == 0xC2) & (second <= 0xA0))  # U+0080 to U+00A0
        | ((lead == 0xE1) & (second == 0x9A) & (third == 0x80))  # U+1680
        | ((lead == 0xE2) & (second == 0x80) & (third <= 0xAF))  # U+2000 to U+202F
        | ((lead == 0xE2) & (second == 0x81) & (third == 0x9F))  # U+205F
        | ((lead == 0xE3) & (second == 0x80) & (third == 0x80))  # U+3000
    )
    found: Offsets = places[exotic]
    return found


def quotes_in_order(block: bytes) -> bool:
    """Whether each quote in a block opens or closes a field, or is doubled inside one, in turn.

    Line ends inside quotes, which would need the lines to be known, are not looked for.
    """
    if b'"' not in block:
        return True
    codes = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(codes == _QUOTE)
    if len(quotes) % 2:
        return False
    return not _misplaced(codes, quotes, np.arange(len(quotes)) % 2 == 0).any()


def odd_lines(block: bytes, lines: Lines) -> Offsets:
    """Indexes of the lines that must be read one by one: not UTF-8, or with quotes that are not in order."""
    odd = np.zeros(len(lines.starts), bool)
    odd[_undecodable_lines(block, lines)] = True
    codes = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(codes == _QUOTE)
    if len(quotes):
        line = np.searchsorted(lines.followings, quotes, side="right")
        # Positions ascend, so that a line's quotes are neighbours; every other one of them opens.
        first = np.flatnonzero(np.append(True, line[1:] != line[:-1]))
        counts = np.diff(np.append(first, len(quotes)))
        opening = (np.arange(len(quotes)) - np.repeat(first, counts)) % 2 == 0
        odd[line[first[counts % 2 == 1]]] = True
        odd[line[_misplaced(codes, quotes, opening)]] = True
    return np.flatnonzero(odd)


def _misplaced(codes: Codes, quotes: Offsets, opening: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which quotes do not stand where theirs may: an opening one at a field's start, a closing one at its end.

    A doubled quote closes and opens again.
    """
    # The block's edges are line ends.
    beside = np.where(opening, quotes - 1, quotes + 1)
    inside = (beside >= 0) & (beside < len(codes))
    neighbours = np.where(inside, codes[np.clip(beside, 0, len(codes) - 1)], _LF)
    misplaced: npt.NDArray[np.bool_] = ~(
        (neighbours == _COMMA) | (neighbours == _LF) | (neighbours == _CR) | (neighbours == _QUOTE)
    )
    return misplaced


def _undecodable_lines(block: bytes, lines: Lines) -> list[int]:
    if is_text(block):
        return []
    high = np.flatnonzero(np.frombuffer(block, np.uint8) >= 0x80)
    line = np.searchsorted(lines.followings, high, side="right")
    suspects = line[np.append(True, line[1:] != line[:-1])]
    bounds = zip(suspects.tolist(), lines.starts[suspects].tolist(), lines.followings[suspects].tolist(), strict=True)
    return [suspect for suspect, start, following in bounds if not is_utf8(block[start:following])]
