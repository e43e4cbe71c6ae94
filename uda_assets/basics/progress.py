"""How far long work is, told to whoever shows it: a terminal's bar or a log, of which this module knows nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from time import monotonic
from typing import NamedTuple, Protocol


class Advance(NamedTuple):
    """How far the work on one file is.

    Attributes:
        name: The file.
        done: What was done of it, in any unit.
        total: What there is to do, in the same unit.
        records: Records read or written so far.

    """

    name: str
    done: int
    total: int
    records: int


OnAdvance = Callable[[Advance], None]


class Progress(Protocol):
    """Shows how far the work on some files is."""

    def begin(self, sizes: Mapping[str, int]) -> None:
        """Work on these files begins; sizes tell how much of the whole each is."""

    def advance(self, advance: Advance) -> None:
        """The work on one of them is so far; called from any thread."""


class Pace:
    """Adds up how far the work on some files is, and how fast it goes."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._changing = Lock()
        self.begin({})

    def begin(self, sizes: Mapping[str, int]) -> None:
        """See :class:`Progress`, as for the next."""
        with self._changing:
            self._sizes = dict(sizes)
            self._advances: dict[str, Advance] = {}
            self._began = self._clock()

    def advance(self, advance: Advance) -> None:
        """A file that is read again starts anew."""
        with self._changing:
            self._advances[advance.name] = advance

    @property
    def records(self) -> int:
        """Records so far."""
        with self._changing:
            return sum(one.records for one in self._advances.values())

    @property
    def share(self) -> float:
        """How much of all is done, 0 to 1."""
        with self._changing:
            whole = sum(self._sizes.values())
            parts = ((self._sizes.get(one.name, 0), one) for one in self._advances.values())
            done = sum(size * one.done / one.total for size, one in parts if one.total)
        return min(1.0, done / whole) if whole else 0.0

    @property
    def seconds(self) -> float:
        """Seconds since work began."""
        return self._clock() - self._began

    @property
    def records_per_second(self) -> float:
        """On average so far."""
        return self.records / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None as long as there is none."""
        share = self.share
        return self.seconds * (1 - share) / share if share else None


class Log:
    """Progress as a line every few seconds.

    Args:
        say: Takes a line.
        every: Seconds between two lines; work that takes less says nothing.
        clock: Seconds that pass.

    """

    def __init__(
        self, say: Callable[[str], object], every: float = 5.0, clock: Callable[[], float] = monotonic
    ) -> None:
        self._say, self._every, self._clock = say, every, clock
        self._pace = Pace(clock)
        self._last = clock()
        self._saying = Lock()

    def begin(self, sizes: Mapping[str, int]) -> None:
        """See :class:`Progress`."""
        self._pace.begin(sizes)
        self._last = self._clock()

    def advance(self, advance: Advance) -> None:
        """See :class:`Progress`."""
        self._pace.advance(advance)
        if self._is_time():
            left = self._pace.seconds_left
            self._say(
                f"{self._pace.records:,} records so far, {self._pace.share:.0%}, "
                f"{self._pace.records_per_second:,.0f} records/s" + ("" if left is None else f", {left:.0f} s left")
            )

    def tasks(self, done: int, started: int) -> None:
        """Of the tasks that were begun so many are done."""
        if self._is_time():
            self._say(f"{done:,} of {started:,} tasks done")

    def _is_time(self) -> bool:
        with self._saying:
            now = self._clock()
            if now - self._last < self._every:
                return False
            self._last = now
            return True
