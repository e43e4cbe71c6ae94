"""Tells whether a drop has an unusual number of records.

A drop is compared with earlier drops of its series, which are those in the same directory below ``datasets/``.
Numbers in the directory's name are ignored, so that ``supplier-a/2026-01`` and ``supplier-a/2026-02`` are one series.
Counts are compared by their logarithm, since half as many are as far off as twice as many. The usual count is the median of the
earlier ones. The usual range follows from their median absolute deviation (MAD), as proposed by Iglewicz and Hoaglin,
"How to Detect and Handle Outliers" (1993): a modified z-score, deviation / (1.4826 MAD), of at most 3.5. Both are
robust: half of the earlier drops could be wrong themselves. Anything within a factor of two of the median is usual.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from uda_assets.lake import DropManifest

LEAST_EARLIER = 8
"""The number of earlier drops that a series needs before a drop is judged."""
COMPARED = 50
"""The number of latest earlier drops to compare with, so that the usual count may change with time."""
JUDGED = 100
"""The number of latest drops that are judged."""
_MOST_DEVIATION = 3.5
_MAD_TO_SIGMA = 1.4826
_FACTOR = 2


class Unusual(NamedTuple):
    """A drop whose number of records is not between ``least`` and ``most``, where ``usual`` is the median."""

    drop: str
    records: int
    usual: int
    least: int
    most: int

    def __str__(self) -> str:
        """Return the finding as a line for people."""
        return (
            f"{self.drop}: {self.records:,} records, where {self.usual:,} are usual and {self.least:,} to "
            f"{self.most:,} would be no surprise"
        )


def unusual_drops(manifests: Mapping[str, DropManifest]) -> list[Unusual]:
    """Return the unusual drops among the latest ones, in the order in which they were converted."""
    ordered = sorted(manifests.values(), key=lambda one: (one.converted_at, one.drop))
    newest = {one.drop for one in ordered[-JUDGED:]}
    earlier: dict[str, list[int]] = defaultdict(list)
    found = []
    for one in ordered:
        before = earlier[series_of(one.drop)]
        if one.drop in newest and len(before) >= LEAST_EARLIER and (fault := _judge(one, before[-COMPARED:])):
            found.append(fault)
        before.append(one.records)
    return found


def series_of(drop: str) -> str:
    """Return the series of a drop: its directory, with numbers replaced."""
    return re.sub(r"\d+", "#", posixpath.dirname(drop))


def _judge(one: DropManifest, earlier: Sequence[int]) -> Unusual | None:
    logs = [math.log1p(records) for records in earlier]
    centre = median(logs)
    spread = _MAD_TO_SIGMA * median(abs(value - centre) for value in logs)
    room = max(_MOST_DEVIATION * spread, math.log(_FACTOR))
    if abs(math.log1p(one.records) - centre) <= room + 1e-9:
        return None
    usual, least, most = (round(math.expm1(bound)) for bound in (centre, centre - room, centre + room))
    return Unusual(one.drop, one.records, usual, max(least, 0), most)
