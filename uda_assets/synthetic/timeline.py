"""When: the events, their instants and the orders in which they are handed out."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import NamedTuple

import numpy as np

from uda_assets.synthetic.config import (  # fmt: skip
    BURST,
    BURST_SECONDS,
    EPOCH,
    EVENTS,
    LONGEST_SECONDS,
    ROUND,
    SECONDS_IN,
    SESSION_OF,
    STEP_SECONDS,
    GeneratorConfig,
)
from uda_assets.synthetic.draws import I64, below, bits, key, mix


class _Spelling(NamedTuple):
    """A way to write a time: the separator, what follows the seconds, and what this adds to the clock's time."""

    separator: str
    ending: str
    shift: int = 0
    micros: int = 0


def time_spellings(seed: int) -> list[_Spelling]:
    """256 ways to write a time, most of them the plain one; which one an event gets is a byte of its draw."""
    random = Random(seed)
    spellings = [_Spelling(" ", "Z")] * 8 + [_Spelling(" ", "")] * 6 + [_Spelling("T", "")] * 4
    spellings += [_Spelling("T", "+02:00", 7200)] * 12 + [_Spelling("T", "-05:30", -19800)] * 2
    for millis in random.sample(range(1000), 16):
        spellings.append(_Spelling("T", f".{millis:03}Z", 0, millis * 1000))
    for micros in random.sample(range(1_000_000), 8):
        spellings.append(_Spelling("T", f".{micros:06}Z", 0, micros))
    return spellings + [_Spelling("T", "Z")] * (256 - len(spellings))


# More than there are different fractions of a second among the spellings.
_FRACTIONS = 32


# Whether an event is the first of its session.
_BEGINS = SECONDS_IN == 0


class _Sessions(NamedTuple):
    """The sessions of some events: numbers that contain each of them, and each event's place among these."""

    numbers: I64
    place: I64


def sessions_of(of_events: I64) -> _Sessions:
    """Sessions to be worked out once each, as far as this is for free.

    In order of time the sessions of a chunk are close to each other, so the range from first to last is short.
    """
    first, last = (int(of_events.min()), int(of_events.max())) if len(of_events) else (0, -1)
    if last - first < len(of_events):
        return _Sessions(np.arange(first, last + 1), of_events - first)
    return _Sessions(of_events, np.arange(len(of_events)))


class _Details(NamedTuple):
    """What is drawn for each event, as indexes into tables."""

    time_spelling: I64
    platform_spelling: I64
    activity: I64
    pause: I64


class Timeline:
    """The events, by number: to which session each belongs, its instant, and what else is drawn for it."""

    def __init__(self, config: GeneratorConfig) -> None:
        self._first_session = config.first_session
        self._start = (config.start - EPOCH) // timedelta(seconds=1)
        self._every = (int(config.days * 86_400) - LONGEST_SECONDS) / max(1, -(-config.sessions // BURST))
        self._window = max(1, min(int(self._every), BURST_SECONDS))
        self._keys = [key(config.seed, 2, config.variant, config.first_session, purpose) for purpose in range(2)]
        micros = [spelling.micros for spelling in time_spellings(config.seed)]
        self._fractions = np.unique(micros, return_inverse=True)[1].astype(np.int64)

    def sessions(self, events: I64) -> I64:
        """Each event's session, counted from the first of this file."""
        return events // ROUND * len(EVENTS) + SESSION_OF[events & ROUND - 1]  # type: ignore[no-any-return]

    def begun(self, events: I64) -> I64:
        """The sessions that begin with one of the events: all events hold each session once."""
        return self.sessions(events[_BEGINS[events & ROUND - 1]])

    def details(self, events: I64) -> _Details:
        """What is drawn for the events."""
        draws = mix(events, self._keys[0])
        return _Details(bits(draws, 0, 8), bits(draws, 8, 8), bits(draws, 16, 4), below(draws, STEP_SECONDS))

    def seconds(self, events: I64, sessions: _Sessions, pause: I64) -> I64:
        """When the events happened, in whole seconds since 1970."""
        lag = below(mix(sessions.numbers, self._keys[1]), self._window)
        begins = self._bursts(sessions.numbers) + lag
        return begins[sessions.place] + SECONDS_IN[events & ROUND - 1] + pause  # type: ignore[no-any-return]

    def stamps(self, events: I64) -> I64:
        """Numbers that are ordered as the instants at which the events happened, and that spare many bits.

        There are few fractions of a second, so their rank does for them.
        """
        details = self.details(events)
        stamps = self.seconds(events, sessions_of(self.sessions(events)), details.pause) * _FRACTIONS
        stamps += self._fractions.take(details.time_spelling)
        return stamps

    def earliest_from(self, event: int) -> int:
        """A bound not above the stamps of all events from ``event`` on, which must be the first of a round."""
        return int(self._bursts(self.sessions(np.array([event])))[0]) * _FRACTIONS

    def _bursts(self, sessions: I64) -> I64:
        """When the sessions' bursts start."""
        return self._start + (sessions // BURST * self._every).astype(np.int64)
