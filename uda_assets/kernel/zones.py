"""The offsets of a time zone within a day, for times that are written without an offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

SKIPPED = -(2**31)
"""In the place of an offset, where the clock jumps ahead: no such time exists."""
_DAY = 86_400
_EPOCH = datetime(1970, 1, 1)
_STEP = 6 * 3600
_MOST_PIECES = 8


@lru_cache(4096)
def offsets_of_day(zone: str, day: int) -> tuple[tuple[int, int], ...]:
    """Return from which second of a local day on which offset holds.

    Of a time that occurs twice, the first occurrence counts.

    Args:
        zone: The name of the zone.
        day: The local day, in days since 1970-01-01.

    Returns:
        Pairs of a second, the first being 0, and an offset east of UTC in seconds, or ``SKIPPED``.
    """
    start = _EPOCH + timedelta(days=day)
    seconds = [*range(0, _DAY, _STEP), _DAY - 1]
    offsets = [_offset(start, second, zone) for second in seconds]
    pieces = [(0, offsets[0])]
    for first, last in zip(range(len(seconds)), range(1, len(seconds)), strict=False):
        pieces += _changes(start, zone, seconds[first], offsets[first], seconds[last], offsets[last])
    return tuple(pieces[:_MOST_PIECES])


def _changes(start: datetime, zone: str, low: int, before: int, high: int, after: int) -> list[tuple[int, int]]:
    """Return where the offset changes between two seconds of a day, by bisection."""
    if before == after:
        return []
    if high - low == 1:
        return [(high, after)]
    middle = (low + high) // 2
    found = _offset(start, middle, zone)
    return _changes(start, zone, low, before, middle, found) + _changes(start, zone, middle, found, high, after)


def _offset(start: datetime, second: int, zone: str) -> int:
    local = start + timedelta(seconds=second)
    moment = local.replace(tzinfo=ZoneInfo(zone))
    offset = moment.utcoffset()
    assert offset is not None
    try:
        exists = moment.astimezone(UTC).astimezone(moment.tzinfo).replace(tzinfo=None) == local
    except OverflowError:  # beyond the years 1 to 9999 in UTC, which the caller finds out by itself
        exists = True
    return int(offset.total_seconds()) if exists else SKIPPED
