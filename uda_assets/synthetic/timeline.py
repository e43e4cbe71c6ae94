"""The events by number: their sessions, their times, and the orders in which they are written."""

from __future__ import annotations

import math
from datetime import timedelta
from random import Random
from typing import NamedTuple, Protocol

import numpy as np

from uda_assets.synthetic.config import (  # fmt: skip
    BURST,
    BURST_SECONDS,
    CHUNK,
    EPOCH,
    EVENTS,
    LONGEST_SECONDS,
    PAGE,
    ROUND,
    SECONDS_IN,
    SESSION_OF,
    STEP_SECONDS,
    GeneratorConfig,
)
from uda_assets.synthetic.draws import I64, below, bits, make_key, mix

# Must exceed the number of different fractions of a second among the time spellings.
_FRACTIONS = 32

# Whether an event is the first of its session, by its place in the round.
_BEGINS = SECONDS_IN == 0


class _TimeSpelling(NamedTuple):
    """A way to write a time.

    Attributes:
        separator: What stands between date and time of day.
        ending: What follows the seconds.
        shift: Seconds by which the written time is ahead of UTC.
        micros: Microseconds that the ending adds.
    """

    separator: str
    ending: str
    shift: int = 0
    micros: int = 0


def time_spellings(seed: int) -> list[_TimeSpelling]:
    """Return 256 ways to write a time, most of them the plain one; a byte of an event's draw selects one."""
    random = Random(seed)
    spellings = [_TimeSpelling(" ", "Z")] * 8 + [_TimeSpelling(" ", "")] * 6 + [_TimeSpelling("T", "")] * 4
    spellings += [_TimeSpelling("T", "+02:00", 7200)] * 12 + [_TimeSpelling("T", "-05:30", -19800)] * 2
    spellings += [_TimeSpelling(" ", " UTC")] * 4 + [_TimeSpelling("T", "+00")] * 2
    for millis in random.sample(range(1000), 16):
        spellings.append(_TimeSpelling("T", f".{millis:03}Z", 0, millis * 1000))
    for micros in random.sample(range(1_000_000), 8):
        spellings.append(_TimeSpelling("T", f".{micros:06}Z", 0, micros))
    for nanos in random.sample(range(1_000_000_000), 4):
        spellings.append(_TimeSpelling("T", f".{nanos:09}Z", 0, nanos // 1000))
    return spellings + [_TimeSpelling("T", "Z")] * (256 - len(spellings))


class _Sessions(NamedTuple):
    """The sessions of some events: session numbers, and for each event the index of its session among them."""

    numbers: I64
    place: I64


def sessions_of(session_numbers: I64) -> _Sessions:
    """Return the sessions of some events, each of them once if that costs nothing.

    In order of time, the sessions of a chunk are close to each other, so the range from the first to the last is short.
    """
    first, last = (int(session_numbers.min()), int(session_numbers.max())) if len(session_numbers) else (0, -1)
    if last - first < len(session_numbers):
        return _Sessions(np.arange(first, last + 1), session_numbers - first)
    return _Sessions(session_numbers, np.arange(len(session_numbers)))


class _Details(NamedTuple):
    """What is drawn for each event: indexes into tables, and a pause in seconds."""

    time_spelling: I64
    platform_spelling: I64
    activity: I64
    pause: I64


class Timeline:
    """Computes the session, the time and the other details of each event from the event's number."""

    def __init__(self, config: GeneratorConfig) -> None:
        self._start = (config.start - EPOCH) // timedelta(seconds=1)
        self._seconds_per_burst = (int(config.days * 86_400) - LONGEST_SECONDS) / max(1, -(-config.sessions // BURST))
        self._longest_lag = max(1, min(int(self._seconds_per_burst), BURST_SECONDS))
        self._keys = [make_key(config.seed, 2, config.variant, config.first_session, purpose) for purpose in range(2)]
        micros = [spelling.micros for spelling in time_spellings(config.seed)]
        self._fractions = np.unique(micros, return_inverse=True)[1].astype(np.int64)

    def sessions(self, events: I64) -> I64:
        """Return the session number of each event, counted from the first session of this file."""
        return events // ROUND * len(EVENTS) + SESSION_OF[events & ROUND - 1]  # type: ignore[no-any-return]

    def begun(self, events: I64) -> I64:
        """Return the sessions whose first event is among ``events``."""
        return self.sessions(events[_BEGINS[events & ROUND - 1]])

    def details(self, events: I64) -> _Details:
        """Return what is drawn for each event."""
        draws = mix(events, self._keys[0])
        return _Details(bits(draws, 0, 8), bits(draws, 8, 8), bits(draws, 16, 4), below(draws, STEP_SECONDS))

    def seconds(self, events: I64, sessions: _Sessions, pause: I64) -> I64:
        """Return the time of each event in whole seconds since 1970."""
        lag = below(mix(sessions.numbers, self._keys[1]), self._longest_lag)
        begins = self._burst_starts(sessions.numbers) + lag
        return begins[sessions.place] + SECONDS_IN[events & ROUND - 1] + pause  # type: ignore[no-any-return]

    def sort_keys(self, events: I64) -> I64:
        """Return numbers that sort the events by time.

        There are few different fractions of a second, so the rank of the fraction replaces it, which saves many bits.
        """
        details = self.details(events)
        sort_keys = self.seconds(events, sessions_of(self.sessions(events)), details.pause) * _FRACTIONS
        sort_keys += self._fractions.take(details.time_spelling)
        return sort_keys

    def lower_bound(self, event: int) -> int:
        """Return a lower bound of the sort keys of all events from ``event`` on, which must be the first of a round."""
        return int(self._burst_starts(self.sessions(np.array([event])))[0]) * _FRACTIONS

    def _burst_starts(self, sessions: I64) -> I64:
        """Return when the burst of each session starts, in seconds since 1970."""
        return self._start + (sessions // BURST * self._seconds_per_burst).astype(np.int64)


class EventOrder(Protocol):
    """An order of all events."""

    def take(self, count: int) -> I64:
        """Return the next ``count`` events."""


def event_order(config: GeneratorConfig, timeline: Timeline) -> EventOrder:
    """Return the order that the configuration asks for."""
    if not config.shuffled:
        return _ByTime(timeline, config.originals)
    return _Shuffled(config.originals, make_key(config.seed, 4, config.variant, config.first_session))


class _ByTime:
    """The events in order of time.

    Sessions overlap, so events are drawn one block ahead; those before the earliest time of the next block are final.
    """

    _BLOCK = ROUND * (CHUNK // ROUND)

    def __init__(self, timeline: Timeline, events: int) -> None:
        self._timeline, self._total = timeline, events
        self._drawn = self._final = 0
        self._events = self._sort_keys = np.empty(0, dtype=np.int64)

    def take(self, count: int) -> I64:
        while self._final < count:
            self._draw_block()
        taken, self._events = np.split(self._events, [count])
        self._sort_keys = self._sort_keys[count:]
        self._final -= count
        return taken

    def _draw_block(self) -> None:
        block = np.arange(self._drawn, min(self._drawn + self._BLOCK, self._total))
        pages = [block[first : first + PAGE] for first in range(0, len(block), PAGE)]
        events = np.concatenate([self._events, block])
        sort_keys = np.concatenate([self._sort_keys, *(self._timeline.sort_keys(page) for page in pages)])
        self._sort_keys, self._events = _sorted_pairs(sort_keys, events)
        self._drawn += len(block)
        if self._drawn < self._total:
            self._final = int(np.searchsorted(self._sort_keys, self._timeline.lower_bound(self._drawn)))
        else:
            self._final = len(events)


def _sorted_pairs(sort_keys: I64, events: I64) -> tuple[I64, I64]:
    """Return the pairs of sort key and event in ascending order.

    Each pair is packed into one number, because sorting numbers costs a fraction of sorting indexes. The bits suffice:
    either there are many events in a second, which are close in time, or there are few, which are close in number.
    """
    lowest_key, lowest_event = sort_keys.min(), events.min()
    event_bits = int(events.max() - lowest_event).bit_length()
    assert int(sort_keys.max() - lowest_key).bit_length() + event_bits < 64
    pairs = (sort_keys - lowest_key << event_bits) | (events - lowest_event)
    pairs.sort()
    return (pairs >> event_bits) + lowest_key, (pairs & (1 << event_bits) - 1) + lowest_event


class _Shuffled:
    """The events in random order: a pseudo-random permutation that is computed place by place and never stored.

    A Feistel network permutes a rectangle that is a little larger than the number of events. Results beyond the last
    event are permuted again until they are events.
    """

    def __init__(self, events: int, seed: int) -> None:
        self._total, self._taken = events, 0
        self._width = math.isqrt(max(events - 1, 0)) + 1
        self._height = -(-events // self._width)
        self._keys = [make_key(seed, turn) for turn in range(6)]

    def take(self, count: int) -> I64:
        events = self._permute(np.arange(self._taken, self._taken + count))
        self._taken += count
        while len(outside := np.flatnonzero(events >= self._total)):
            events[outside] = self._permute(events[outside])
        return events

    def _permute(self, numbers: I64) -> I64:
        left = numbers // self._height
        right = numbers - left * self._height
        for turn, turn_key in enumerate(self._keys):
            if turn % 2:
                right = _sum_modulo(right, below(mix(left, turn_key), self._height), self._height)
            else:
                left = _sum_modulo(left, below(mix(right, turn_key), self._width), self._width)
        return left * self._height + right


def _sum_modulo(first: I64, second: I64, modulus: int) -> I64:
    """Return the sums, modulo ``modulus``, of numbers that are below it; this avoids a division."""
    sums = first + second
    return sums - (sums >= modulus) * modulus
