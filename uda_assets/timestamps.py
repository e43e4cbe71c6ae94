"""Activity times: a strict subset of ISO 8601, parsed column-wise into UTC microseconds.

Parsers of libraries are either lax (one-digit months, second 60) or need a pattern for each form, so the digits are
read here: position by position, each over the whole column.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

UTC_MICROSECONDS = pl.Datetime("us", "UTC")

_CLOCK = len("YYYY-MM-DDTHH:MM:SS")
_LONGEST = len("YYYY-MM-DDTHH:MM:SS.123456+00:00")
_DIGITS = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_MONTH_LENGTHS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0])
_SECOND = 1_000_000
_FIRST = -62_135_596_800 * _SECOND  # 0001-01-01T00:00:00Z
_LAST = 253_402_300_800 * _SECOND - 1  # 9999-12-31T23:59:59.999999Z

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def parse_times(texts: pl.Series) -> pl.Series:
    """Parse trimmed ISO 8601 texts.

    A time is ``YYYY-MM-DD``, ``T`` or one space, ``HH:MM:SS``, optionally a fraction of one to six digits, optionally
    ``Z`` or an offset (``+HH``, ``+HHMM``, ``+HH:MM``); without one it is UTC. Years 1 to 9999, in UTC too.

    Returns:
        A series of ``Datetime("us", "UTC")`` of the same length, null where the text is not such a time.

    """
    column = _column_of(texts)
    micros, sound = _clock(column.windows(0, _CLOCK))
    sound &= (column.lengths >= _CLOCK) & (column.lengths <= _LONGEST)
    # What most texts end in needs no further look.
    bare = column.lengths == _CLOCK
    zulu = (column.lengths == _CLOCK + 1) & (column.content[column.starts + _CLOCK] == ord("Z"))
    others = np.flatnonzero(sound & ~bare & ~zulu)
    if len(others):
        shift, sound[others] = _fraction_and_offset(column.gather(others))
        micros[others] += shift
        sound &= (micros >= _FIRST) & (micros <= _LAST)
    if texts.null_count():
        sound &= texts.is_not_null().to_numpy()
    times = pl.Series(texts.name, micros).cast(UTC_MICROSECONDS)
    return times if sound.all() else pl.select(pl.when(pl.Series(sound)).then(times)).to_series()


class _Column(NamedTuple):
    """Texts as one run of bytes, padded so that there is something behind each start; starts and lengths in bytes."""

    content: Bytes
    starts: Numbers
    lengths: Numbers

    def windows(self, first: int | Numbers, width: int) -> Bytes:
        """So many bytes of each text from position ``first``, a row a position; they may reach beyond its end."""
        rows = np.lib.stride_tricks.sliding_window_view(self.content, width)[self.starts + first]
        return np.ascontiguousarray(rows.T)

    def gather(self, indexes: Numbers) -> _Column:
        """Some of the texts."""
        return _Column(self.content, self.starts[indexes], self.lengths[indexes])


def _column_of(texts: pl.Series) -> _Column:
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    content = np.frombuffer(data, np.uint8)[: bounds[-1]] if data is not None else np.empty(0, np.uint8)
    return _Column(np.append(content, np.zeros(2 * _LONGEST, np.uint8)), bounds[:-1], np.diff(bounds))


def _clock(characters: Bytes) -> tuple[Numbers, Mask]:
    """Microseconds since 1970 of ``YYYY-MM-DDTHH:MM:SS``, and where it is one; elsewhere the number means nothing."""
    digits = [characters[position] - np.uint8(ord("0")) for position in _DIGITS]
    sound = np.logical_and.reduce([digit < 10 for digit in digits])
    for position, mark in ((4, "-"), (7, "-"), (13, ":"), (16, ":")):
        sound &= characters[position] == ord(mark)
    sound &= (characters[10] == ord("T")) | (characters[10] == ord(" "))
    wide = [digit.astype(np.int32) for digit in digits]
    year = wide[0] * 1000 + wide[1] * 100 + wide[2] * 10 + wide[3]
    month, day, hour, minute, second = (wide[at] * 10 + wide[at + 1] for at in (4, 6, 8, 10, 12))
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    lengths = _MONTH_LENGTHS[np.minimum(month, 13)] + (leap & (month == 2))
    sound &= (year >= 1) & (day >= 1) & (day <= lengths) & (hour < 24) & (minute < 60) & (second < 60)
    # Days since 1970 of a Gregorian date, in years that begin in March (Howard Hinnant, days_from_civil).
    past = year - (month <= 2)
    era = past // 400
    of_era = past - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    seconds = days.astype(np.int64) * 86_400 + (hour * 3_600 + minute * 60 + second)
    return seconds * _SECOND, sound


def _fraction_and_offset(column: _Column) -> tuple[Numbers, Mask]:
    """What stands behind the clock: microseconds to add, and where it is sound."""
    fraction, width, sound = _fraction(column)
    position = _CLOCK + width
    offset, sound_offset = _offset(column.windows(position, len("+00:00")), column.lengths - position)
    return fraction - offset * 60 * _SECOND, sound & sound_offset


def _fraction(column: _Column) -> tuple[Numbers, Numbers, Mask]:
    """Microseconds, number of characters, and where it is sound: a point and one to six digits, or nothing."""
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
    """Minutes east of UTC, and where it is sound: nothing, ``Z``, or a sign with ``HH``, ``HHMM`` or ``HH:MM``."""
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
