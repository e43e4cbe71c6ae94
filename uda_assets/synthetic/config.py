"""The configuration of the generator, and the numbers of records, events and sessions that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from uda_assets.synthetic.draws import I64

MAX_RECORDS = 10**10
"""The most records that one file may have; more would be hundreds of gigabytes."""

# The number of events in each session, repeated over and over. Because the pattern is fixed, an event's session follows
# from its number by arithmetic, so that events can be drawn in any order. The sum must be a power of two.
EVENTS = (2, 1, 4, 1, 9, 3, 1, 6, 2, 12, 1, 3, 5, 2, 8, 4)
ROUND = sum(EVENTS)
SESSION_OF: I64 = np.repeat(np.arange(len(EVENTS)), EVENTS)

# Sessions start in bursts, so that they overlap even when there are few of them over many days.
BURST = 8
BURST_SECONDS = 120
STEP_SECONDS = 40
SECONDS_IN: I64 = np.concatenate([np.arange(count) * STEP_SECONDS for count in EVENTS])
LONGEST_SECONDS = BURST_SECONDS + max(EVENTS) * STEP_SECONDS

CHUNK = 250_000
"""Records that are planned, drawn and held in memory together. A different number would give different files."""

PAGE = 16_384
"""Records that are processed in one step: few enough to fit into the processor's cache, which is many times faster."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class GeneratorConfig:
    """What to generate; equal configurations give equal bytes.

    Attributes:
        records: Number of records in the file, including duplicates and malformed records but not the header.
        users: Size of the population, some of whom may have no records. The default is a twentieth of the records, but
            no more than 500,000.
        seed: Determines the population and all random choices.
        shuffled: Whether to write the records in random order instead of the order of their times.
        duplicate_ratio: Share of the records that exactly repeat an earlier record of the file.
        malformed_ratio: Share of the records that are malformed, spread evenly over all reasons.
        start: When the activity starts.
        days: How long the activity lasts: at least an hour, and fractions are allowed.
        first_session: Number of the first session. Files with the same seed and the same users agree on the user,
            platform and id of each session number, so files with overlapping ranges share sessions.
        variant: Varies the records (times, order, spellings and types) but not the owners of the sessions.

    Raises:
        ValueError: A value is out of its range; the message is one line.
    """

    records: int = 100_000
    users: int | None = None
    seed: int = 0
    shuffled: bool = False
    duplicate_ratio: float = 0.1
    malformed_ratio: float = 0.005
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    days: float = 30
    first_session: int = 0
    variant: int = 0

    def __post_init__(self) -> None:
        require_range("records", self.records, 1, MAX_RECORDS)
        require_range("users", self.population, 1, 2**31 - 1)
        for name in ("seed", "first_session", "variant"):
            require_range(name, getattr(self, name), 0, 2**63 - 1)
        for name in ("duplicate_ratio", "malformed_ratio"):
            require_range(name, getattr(self, name), 0, 1)
        total = self.duplicate_ratio + self.malformed_ratio
        if total > 1:
            raise ValueError(f"the sum of duplicate_ratio and malformed_ratio must not exceed 1, but it is {total}")
        if not 1 / 24 <= self.days <= 36_525:
            raise ValueError(f"days must be from 1/24 (an hour) to 36525, not {self.days}")
        if self.start.tzinfo is None:
            raise ValueError("start must have a time zone, such as 2026-01-01T00:00:00Z")
        try:
            # Two days to spare, because a time with an offset may fall on the day before or after.
            self.start.astimezone(UTC) - timedelta(days=2)
            self.start.astimezone(UTC) + timedelta(days=self.days + 2)
        except OverflowError:
            raise ValueError(f"the activity must stay within the years 1 to 9999, but it starts {self.start}") from None

    @property
    def population(self) -> int:
        """The number of users, given or derived."""
        return max(1, min(self.records // 20, 500_000)) if self.users is None else self.users

    @property
    def malformed(self) -> int:
        """The number of malformed records."""
        return round(self.records * self.malformed_ratio)

    @property
    def duplicates(self) -> int:
        """The number of records that repeat an earlier one; at least one well-formed record is not a duplicate."""
        return min(round(self.records * self.duplicate_ratio), max(0, self.records - self.malformed - 1))

    @property
    def originals(self) -> int:
        """The number of events, which are the records that are neither malformed nor duplicates."""
        return self.records - self.malformed - self.duplicates

    @property
    def sessions(self) -> int:
        """The number of sessions to which the events belong."""
        rounds, rest = divmod(self.originals - 1, ROUND)
        return rounds * len(EVENTS) + int(SESSION_OF[rest]) + 1 if self.originals else 0


def require_range(name: str, value: float, low: int, high: int, unit: str = "") -> None:
    """Raise a ``ValueError`` unless ``value`` is from ``low`` to ``high``."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}{unit}, not {value}")
