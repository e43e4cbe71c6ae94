"""Parse activity times, a strict subset of ISO 8601, into UTC microseconds, a column at a time.

The parsers of libraries are either lax (they accept one-digit months or second 60) or need a pattern for each form.
Therefore this module reads the digits itself, each position for the whole column at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from uda_assets.basics.arrow import Bytes, Mask, Numbers, bytes_of

UTC_MICROSECONDS = pl.Datetime("us", "UTC")

_CLOCK = len("YYYY-MM-DDTHH:MM:SS")
_LONGEST = len("YYYY-MM-DDTHH:MM:SS.123456+00:00")
# The first day of each month since January of the year 1, in days since 1970.
_MONTH_STARTS = np.arange("0001-01", "10000-02", dtype="datetime64[M]").astype("datetime64[D]").astype(np.int32)
_SECOND = 1_000_000
_FIRST = -62_135_596_800 * _SECOND  # 0001-01-01T00:00:00Z
_LAST = 253_402_300_800 * _SECOND - 1  # 9999-12-31T23:59:59.999999Z

Words = npt.NDArray[np.uint64]
_U = np.uint64


def parse_times(texts: pl.Series) -> pl.Series:
    """Parse a column of trimmed ISO 8601 texts.

    A time consists of ``YYYY-MM-DD``, ``T`` or one space, ``HH:MM:SS``, an optional fraction of one to six digits, and
    an optional ``Z`` or offset (``+HH``, ``+HHMM`` or ``+HH:MM``). A time without an offset is UTC. The year must be
    from 1 to 9999, both as written and in UTC.

    Returns:
        A series of ``Datetime("us", "UTC")`` of the same length, null where the text is not such a time.
    """
    micros, sound = read_times(texts.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string()))
    if texts.null_count():
        sound &= texts.is_not_null().to_numpy()
    times = pl.Series(texts.name, micros).cast(UTC_MICROSECONDS)
    return times if sound.all() else pl.select(pl.when(pl.Series(sound)).then(times)).to_series()


def read_times(texts: pa.Array) -> tuple[Numbers, Mask]:
    """Parse an Arrow array of trimmed texts, string or large_string, by the rules of :func:`parse_times`.

    Returns:
        Microseconds since 1970, and a mask that is true where the text is a time. Elsewhere the number is meaningless.
    """
    column = _column_of(texts)
    micros, sound = _clock(column)
    sound &= (column.lengths >= _CLOCK) & (column.lengths <= _LONGEST)
    # Most texts have no fraction, and end in Z or have no offset; only the others need further parsing.
    bare = column.lengths == _CLOCK
    zulu = (column.lengths == _CLOCK + 1) & (column.content[column.starts + _CLOCK] == ord("Z"))
    others = np.flatnonzero(sound & ~bare & ~zulu)
    if len(others):
        shift, sound[others] = _fraction_and_offset(column.gather(others))
        micros[others] += shift
        sound &= (micros >= _FIRST) & (micros <= _LAST)
    return micros, sound


class _Column(NamedTuple):
    """A column of texts.

    Attributes:
        content: The bytes of all texts, padded so that a window at any start lies within them.
        starts: Start of each text in ``content``, in bytes.
        lengths: Length of each text, in bytes.
    """

    content: Bytes
    starts: Numbers
    lengths: Numbers

    def windows(self, first: int | Numbers, width: int, *, transposed: bool = True) -> Bytes:
        """Return ``width`` bytes of each text, which may reach beyond its end.

        Args:
            first: Position of the first byte in its text, the same for all texts or one for each.
            width: Number of bytes.
            transposed: Whether a row of the result holds one position of all texts, rather than one text.
        """
        rows = np.lib.stride_tricks.sliding_window_view(self.content, width)[self.starts + first]
        return np.ascontiguousarray(rows.T) if transposed else rows

    def gather(self, indexes: Numbers) -> _Column:
        """Return the texts at some indexes."""
        return _Column(self.content, self.starts[indexes], self.lengths[indexes])


def _column_of(texts: pa.Array) -> _Column:
    content, bounds = bytes_of(texts)
    content = content[: bounds[-1]]
    return _Column(np.append(content, np.zeros(2 * _LONGEST, np.uint8)), bounds[:-1], np.diff(bounds))


def _clock(column: _Column) -> tuple[Numbers, Mask]:
    """Parse ``YYYY-MM-DDTHH:MM:SS`` at the start of each text.

    Eight characters are handled as one number (SIMD within a register; Lemire, "Quickly parsing eight digits").

    Returns:
        Microseconds since 1970, and a mask of the texts that start like this. Elsewhere the number is meaningless.
    """
    words = column.windows(0, 24, transposed=False).view("<u8")
    front, middle, back = (np.ascontiguousarray(words[:, at]) for at in range(3))
    mark = (middle >> _U(16)) & _U(0xFF)
    sound = (mark == _U(ord("T"))) | (mark == _U(ord(" ")))
    months, months_sound = _digits_of(front, "0000-00-")
    days, days_sound = _digits_of(middle & _U(0xFFFF), "00\0\0\0\0\0\0")
    clock, clock_sound = _digits_of((middle >> _U(24)) | (back << _U(40)), "00:00:00")
    sound &= months_sound & days_sound & clock_sound
    year, month, day = _two(months, 0) * 100 + _two(months, 2), _two(months, 5), _two(days, 0)
    hour, minute, second = _two(clock, 0), _two(clock, 3), _two(clock, 6)
    place = np.clip(year * 12 + month - 13, 0, len(_MONTH_STARTS) - 2)
    date = _MONTH_STARTS[place] + day - 1
    sound &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (date < _MONTH_STARTS[place + 1])
    sound &= (hour < 24) & (minute < 60) & (second < 60)
    seconds = date.astype(np.int64) * 86_400 + (hour * 3_600 + minute * 60 + second)
    return seconds * _SECOND, sound


def _digits_of(words: Words, pattern: str) -> tuple[Words, Mask]:
    """Match words of eight characters against a pattern of zeros, which stand for any digit, and literal characters.

    Returns:
        Words in which the byte at each digit holds ten times that digit plus the next one, and a mask of the words that
        match.
    """
    zeros = int.from_bytes(pattern.encode(), "little")
    # Adding this sets the high bit of a byte that is not a digit, or not the literal character.
    beyond = int.from_bytes(bytes(0x76 if character == "0" else 0x7F for character in pattern), "little")
    digits = words ^ _U(zeros)
    sound = ((digits | (digits + _U(beyond))) & _U(0x8080808080808080)) == 0
    return digits * _U(10) + (digits >> _U(8)), sound


def _two(digits: Words, at: int) -> npt.NDArray[np.int32]:
    """Return the number that the two digits at ``at`` and ``at + 1`` form."""
    return ((digits >> _U(8 * at)) & _U(0xFF)).astype(np.int32)


def _fraction_and_offset(column: _Column) -> tuple[Numbers, Mask]:
    """Parse what follows the seconds.

    Returns:
        Microseconds to add to the time, and a mask of the texts in which this part is well formed.
    """
    fraction, width, sound = _fraction(column)
    position = _CLOCK + width
    offset, sound_offset = _offset(column.windows(position, len("+00:00")), column.lengths - position)
    return fraction - offset * 60 * _SECOND, sound & sound_offset


def _fraction(column: _Column) -> tuple[Numbers, Numbers, Mask]:
    """Parse the optional fraction: a point and one to six digits.

    Returns:
        Microseconds, the number of characters, and a mask of the texts in which the fraction is well formed or absent.
    """
    characters = column.windows(_CLOCK, len(".123456"))
    pointed = (characters[0] == ord(".")) & (column.lengths > _CLOCK)
    running = pointed.copy()
    micros, count = np.zeros(len(column.starts), np.int64), np.zeros(len(column.starts), np.int64)
    for place in range(1, 7):
        digit = characters[place] - np.uint8(ord("0"))
        running &= (digit < 10) & (column.lengths > _CLOCK + place)
        micros += np.where(running, digit.astype(np.int64) * 10 ** (6 - place), 0)
        count += running
    return micros, count + pointed, ~pointed | (count > 0)


def _offset(characters: Bytes, length: Numbers) -> tuple[Numbers, Mask]:
    """Parse the optional offset: ``Z``, or a sign with ``HH``, ``HHMM`` or ``HH:MM``.

    Args:
        characters: Six rows, one for each position from the start of the offset.
        length: Number of characters of each text from there on.

    Returns:
        Minutes east of UTC, and a mask of the texts in which the offset is well formed or absent.
    """
    digits = characters - np.uint8(ord("0"))
    signed = (characters[0] == ord("+")) | (characters[0] == ord("-"))
    hour = digits[1].astype(np.int64) * 10 + digits[2]
    signed &= (digits[1] < 10) & (digits[2] < 10) & (hour < 24)
    at = np.where(length == len("+00:00"), 4, 3)
    columns = np.arange(characters.shape[1])
    tens, ones = digits[at, columns], digits[at + 1, columns]
    with_minutes = (length == len("+0000")) | ((length == len("+00:00")) & (characters[3] == ord(":")))
    minute = np.where(with_minutes, tens.astype(np.int64) * 10 + ones, 0)
    minutes_sound = with_minutes & (tens < 6) & (ones < 10)
    sound = (length == 0) | ((length == 1) & (characters[0] == ord("Z")))
    spelled = signed & ((length == len("+00")) | minutes_sound)
    east = np.where(characters[0] == ord("-"), -1, 1) * (hour * 60 + minute)
    return np.where(spelled, east, 0), sound | spelled
