"""Orders in which the events are handed out, some at a time."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from uda_assets.synthetic.config import CHUNK, PAGE, ROUND, GeneratorConfig
from uda_assets.synthetic.draws import I64, below, key, mix
from uda_assets.synthetic.timeline import Timeline


class EventOrder(Protocol):
    """Hands out all events once, in some order."""

    def take(self, count: int) -> I64:
        """The next ``count`` events."""


class _ByTime:
    """The events in order of their instants.

    Sessions overlap, so events are drawn a block ahead and handed out up to the earliest instant of the next block.
    """

    _BLOCK = ROUND * (CHUNK // ROUND)

    def __init__(self, timeline: Timeline, events: int) -> None:
        self._timeline, self._total = timeline, events
        self._drawn = self._certain = 0
        self._events = self._stamps = np.empty(0, dtype=np.int64)

    def take(self, count: int) -> I64:
        while self._certain < count:
            self._draw_block()
        taken, self._events = np.split(self._events, [count])
        self._stamps = self._stamps[count:]
        self._certain -= count
        return taken

    def _draw_block(self) -> None:
        fresh = np.arange(self._drawn, min(self._drawn + self._BLOCK, self._total))
        pages = [fresh[first : first + PAGE] for first in range(0, len(fresh), PAGE)]
        events = np.concatenate([self._events, fresh])
        stamps = np.concatenate([self._stamps, *(self._timeline.stamps(page) for page in pages)])
        self._stamps, self._events = _sorted_pairs(stamps, events)
        self._drawn += len(fresh)
        bound = self._timeline.earliest_from(self._drawn) if self._drawn < self._total else None
        self._certain = len(events) if bound is None else int(np.searchsorted(self._stamps, bound))


def _sorted_pairs(ones: I64, others: I64) -> tuple[I64, I64]:
    """The pairs in ascending order.

    Sorted as single numbers, which costs a fraction of sorting indexes. There are bits enough: either the events are
    many in a second, and close in time, or few, and close in number.
    """
    low, other_low = ones.min(), others.min()
    bits = int(others.max() - other_low).bit_length()
    assert int(ones.max() - low).bit_length() + bits < 64
    pairs = (ones - low << bits) | (others - other_low)
    pairs.sort()
    return (pairs >> bits) + low, (pairs & (1 << bits) - 1) + other_low


class _Shuffled:
    """The events in random order: a pseudo-random permutation computed for each place, so that none is stored.

    A Feistel network permutes a rectangle that is a little larger than the number of events; what lands outside of the
    events is sent through it again until it lands inside.
    """

    def __init__(self, events: int, seed: int) -> None:
        self._total, self._taken = events, 0
        self._width = math.isqrt(max(events - 1, 0)) + 1
        self._height = -(-events // self._width)
        self._keys = [key(seed, turn) for turn in range(6)]

    def take(self, count: int) -> I64:
        places = np.arange(self._taken, self._taken + count)
        self._taken += count
        places = self._permute(places)
        while len(outside := np.flatnonzero(places >= self._total)):
            places[outside] = self._permute(places[outside])
        return places

    def _permute(self, places: I64) -> I64:
        left = places // self._height
        right = places - left * self._height
        for turn, own in enumerate(self._keys):
            if turn % 2:
                right = _added(right, below(mix(left, own), self._height), self._height)
            else:
                left = _added(left, below(mix(right, own), self._width), self._width)
        return left * self._height + right


def _added(numbers: I64, others: I64, modulus: int) -> I64:
    """The sums of numbers below ``modulus``, modulo it; without a division."""
    sums = numbers + others
    return sums - (sums >= modulus) * modulus


def event_order(config: GeneratorConfig, timeline: Timeline) -> EventOrder:
    """The order that is asked for."""
    if not config.shuffled:
        return _ByTime(timeline, config.originals)
    return _Shuffled(config.originals, key(config.seed, 4, config.variant, config.first_session))
