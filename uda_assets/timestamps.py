"""Activity times: a strict subset of ISO 8601, parsed column-wise into UTC microseconds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

UTC_MICROSECONDS = pl.Datetime("us", "UTC")

_LENGTH = len("YYYY-MM-DDTHH:MM:SS")
_DIGITS = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_MONTH_LENGTHS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0])

# Polars' own parser takes one-digit months and second 60; the pattern does not.
_CLOCK = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-5][0-9]"
_FULL = rf"^{_CLOCK}(?:\.([0-9]{{1,6}}))?(?:Z|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?$"


def parse_times(texts: pl.Series) -> pl.Series:
    """Parse trimmed ISO 8601 texts.

    A time is ``YYYY-MM-DD``, ``T`` or one space, ``HH:MM:SS``, optionally a fraction of one to six digits, optionally
    ``Z`` or an offset (``+HH``, ``+HHMM``, ``+HH:MM``); without one it is UTC. Years 1 to 9999, in UTC too.

    Returns:
        A series of ``Datetime("us", "UTC")`` of the same length, null where the text is not such a time.

    """
    times, parsed = _fixed(texts)
    if parsed.all():
        return times
    # Fractions and offsets cost more to take apart, so only the others are; malformed ones are among them.
    others = pl.Series(np.flatnonzero(~parsed))
    return times.scatter(others, _full(texts.gather(others)))


def _fixed(texts: pl.Series) -> tuple[pl.Series, npt.NDArray[np.bool_]]:
    """The times without fraction and offset, digit by digit over the whole column; and which of them those are."""
    characters, candidates = _first_characters(texts)
    digits = [characters[position] - np.uint8(ord("0")) for position in _DIGITS]
    sound = candidates & np.logical_and.reduce([digit < 10 for digit in digits])
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
    micros = seconds * 1_000_000
    return pl.select(pl.when(pl.Series(sound)).then(pl.Series(micros).cast(UTC_MICROSECONDS))).to_series(), sound


def _first_characters(texts: pl.Series) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The first 19 bytes of each text, a row a position; and which texts are so long, or a Z longer."""
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    content = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    # Padded, so that every text has so many bytes behind its start.
    content = np.append(content[: starts[-1] if len(starts) else 0], np.zeros(_LENGTH + 1, np.uint8))
    lengths = np.diff(starts)
    zulu = (lengths == _LENGTH + 1) & (content[starts[:-1] + _LENGTH] == ord("Z"))
    candidates = ((lengths == _LENGTH) | zulu) & ~texts.is_null().to_numpy()
    windows = np.lib.stride_tricks.sliding_window_view(content, _LENGTH)[starts[:-1]]
    return np.ascontiguousarray(windows.T), candidates


def _clock(texts: pl.Series) -> pl.Series:
    """The first 19 characters as a time in UTC; null where there is no such date."""
    heads = texts.str.head(19)
    parsed = heads.str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us")
    if parsed.null_count():
        spaced = heads.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
        parsed = pl.select(pl.coalesce(parsed, spaced)).to_series()
    return parsed.dt.replace_time_zone("UTC")


def _full(texts: pl.Series) -> pl.Series:
    parts = texts.str.extract_groups(_FULL).struct.unnest()
    fraction, sign, hours, minutes = (parts.to_series(i) for i in range(4))
    micros = fraction.fill_null("0").str.pad_end(6, "0").cast(pl.Int64)
    offset = hours.fill_null("0").cast(pl.Int64) * 60 + minutes.fill_null("0").cast(pl.Int64)
    shift = micros - pl.select(pl.when(sign == "-").then(-offset).otherwise(offset)).to_series() * 60_000_000
    parsed = _clock(texts).dt.timestamp("us") + shift
    matched = texts.str.contains(_FULL) & ~texts.str.starts_with("0000")
    return _in_range(pl.select(pl.when(matched).then(parsed)).to_series().cast(UTC_MICROSECONDS))


def _in_range(times: pl.Series) -> pl.Series:
    return pl.select(pl.when(times.dt.year().is_between(1, 9999)).then(times)).to_series()
