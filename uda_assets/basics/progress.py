"""The progress of long work, as reported to a progress bar or a log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from time import monotonic
from typing import NamedTuple, Protocol


class Advance(NamedTuple):
    """The progress of the work on one file.

    Attributes:
        name: Name of the file.
        done: Amount of work done so far, in any unit.
        total: Total amount of work, in the same unit.
        records: Number of records read or written so far.
    """

    name: str
    done: int
    total: int
    records: int


OnAdvance = Callable[[Advance], None]


class Progress(Protocol):
    """Shows the progress of the work on some files."""

    def begin(self, sizes: Mapping[str, int]) -> None:
        """Start work on these files; a file's size is its share of the whole work."""

    def advance(self, advance: Advance) -> None:
        """Report the progress of one file; any thread may call this."""


class Pace:
    """Computes the overall progress and the speed of the work on some files."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self.begin({})

    def begin(self, sizes: Mapping[str, int]) -> None:
        """Forget all earlier progress and start the clock for these files."""
        with self._lock:
            self._sizes = dict(sizes)
            self._advances: dict[str, Advance] = {}
            self._began = self._clock()

    def advance(self, advance: Advance) -> None:
        """Replace what was known about the file, whose progress falls back if it is read again."""
        with self._lock:
            self._advances[advance.name] = advance

    @property
    def records(self) -> int:
        """Number of records read or written so far."""
        with self._lock:
            return sum(advance.records for advance in self._advances.values())

    @property
    def share(self) -> float:
        """Share of all work that is done, from 0 to 1."""
        with self._lock:
            whole = sum(self._sizes.values())
            done = sum(
                self._sizes.get(advance.name, 0) * advance.done / advance.total
                for advance in self._advances.values()
                if advance.total
            )
        return min(1.0, done / whole) if whole else 0.0

    @property
    def seconds(self) -> float:
        """Seconds since work began."""
        return self._clock() - self._began

    @property
    def records_per_second(self) -> float:
        """Average number of records per second so far."""
        return self.records / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds until all work is done, or None before any progress."""
        share = self.share
        return self.seconds * (1 - share) / share if share else None


class Log:
    """Logs progress in one line every few seconds.

    Args:
        say: Logs a line.
        every: Seconds between two lines; work that takes less time logs nothing.
        clock: Returns the current time in seconds.
    """

    def __init__(
        self, say: Callable[[str], object], every: float = 5.0, clock: Callable[[], float] = monotonic
    ) -> None:
        self._say, self._every, self._clock = say, every, clock
        self._pace = Pace(clock)
        self._last_line = clock()
        self._lock = Lock()

    def begin(self, sizes: Mapping[str, int]) -> None:
        """Start work on these files."""
        self._pace.begin(sizes)
        self._last_line = self._clock()

    def advance(self, advance: Advance) -> None:
        """Record the progress of one file, and log the overall progress if it is time to."""
        self._pace.advance(advance)
        if self._is_time():
            left = self._pace.seconds_left
            self._say(
                f"{self._pace.records:,} records so far, {self._pace.share:.0%}, "
                f"{self._pace.records_per_second:,.0f} records/s" + ("" if left is None else f", {left:.0f} s left")
            )

    def tasks(self, done: int, started: int) -> None:
        """Log how many of the started tasks are done, if it is time to."""
        if self._is_time():
            self._say(f"{done:,} of {started:,} tasks done")

    def _is_time(self) -> bool:
        with self._lock:
            now = self._clock()
            if now - self._last_line < self._every:
                return False
            self._last_line = now
            return True
