"""Whether a drop has about as many records as such drops usually have.

Drops are compared with earlier ones of the same series: the same directory below ``datasets/``, numbers in its name
aside (``supplier-a/2026-01`` and ``supplier-a/2026-02`` are one series). Counts are compared by their logarithm, since
half as many are as far off as twice as many. What is usual is the median of the earlier ones; how far from it is still
usual follows from their median absolute deviation (MAD), as proposed by Iglewicz and Hoaglin, "How to Detect and Handle
Outliers" (1993): a modified z-score, deviation / (1.4826 MAD), of 3.5 at most. Both are robust: half of the earlier
drops could be wrong themselves. Where they are all alike, anything within a factor of two is usual.
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
"""Earlier drops of a series without which nothing is said."""
COMPARED = 50
"""So many earlier drops, the latest, are compared with, so that what is usual may change with time."""
JUDGED = 100
"""So many drops, the latest of all, are judged."""
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
        """As a person is told of it."""
        return (
            f"{self.drop}: {self.records:,} records, where {self.usual:,} are usual and {self.least:,} to "
            f"{self.most:,} would be no surprise"
        )


def unusual_drops(manifests: Mapping[str, DropManifest]) -> list[Unusual]:
    """The unusual ones among the latest drops, by when they were converted."""
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
    """Which drops a drop is compared with: those of its directory, numbers aside."""
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
