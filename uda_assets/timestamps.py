"""Activity times: a strict subset of ISO 8601, parsed column-wise into UTC microseconds."""

from __future__ import annotations

import polars as pl

UTC_MICROSECONDS = pl.Datetime("us", "UTC")

# Polars' own parser takes one-digit months and second 60; the patterns do not.
_CLOCK = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-5][0-9]"
_PLAIN = rf"^{_CLOCK}Z?$"
_FULL = rf"^{_CLOCK}(?:\.([0-9]{{1,6}}))?(?:Z|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?$"


def parse_times(texts: pl.Series) -> pl.Series:
    """Parse trimmed ISO 8601 texts.

    A time is ``YYYY-MM-DD``, ``T`` or one space, ``HH:MM:SS``, optionally a fraction of one to six digits, optionally
    ``Z`` or an offset (``+HH``, ``+HHMM``, ``+HH:MM``); without one it is UTC. Years 1 to 9999, in UTC too.

    Returns:
        A series of ``Datetime("us", "UTC")`` of the same length, null where the text is not such a time.

    """
    plain = texts.str.contains(_PLAIN).fill_null(False)
    times = pl.select(pl.when(plain).then(_in_range(_clock(texts)))).to_series()
    if plain.all():
        return times
    # Fractions and offsets cost more to take apart, so only the texts that need it are.
    others = (~plain).arg_true()
    return times.scatter(others, _full(texts.gather(others)))


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
