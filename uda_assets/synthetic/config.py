"""What is asked for, and how many records of which kind that makes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from uda_assets.synthetic.draws import I64

MAX_RECORDS = 10**10
"""Records that one file may have; more would be hundreds of gigabytes."""

# How many events each session has, over and over. A fixed pattern makes the session of an event a matter of arithmetic,
# which is what allows to draw the events in any order. Its sum must be a power of two.
EVENTS = (2, 1, 4, 1, 9, 3, 1, 6, 2, 12, 1, 3, 5, 2, 8, 4)
ROUND = sum(EVENTS)
SESSION_OF: I64 = np.repeat(np.arange(len(EVENTS)), EVENTS)

# Sessions start in bursts, so that they overlap even where there are few of them in many days.
BURST = 8
BURST_SECONDS = 120
STEP_SECONDS = 40
SECONDS_IN: I64 = np.concatenate([np.arange(count) * STEP_SECONDS for count in EVENTS])
LONGEST_SECONDS = BURST_SECONDS + max(EVENTS) * STEP_SECONDS

CHUNK = 250_000
"""Records that are planned, drawn and held in memory together. Another number makes other files."""

PAGE = 16_384
"""Records that are worked out in one step; so few fit into a processor's own memory, which is many times faster."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class GeneratorConfig:
    """What to generate; equal configurations give equal bytes.

    Attributes:
        records: Records of the file, duplicates and malformed ones included, the header not.
        users: Size of the population, of which some may stay silent; by default a twentieth of the records, but no
            more than 500,000.
        seed: Chooses the population and everything else.
        shuffled: Put the records into random order instead of the order of their times.
        duplicate_ratio: Share of the records that exactly repeat an earlier record of the file.
        malformed_ratio: Share of the records that are malformed, spread evenly over all reasons.
        start: When the activity starts.
        days: How long it lasts; a fraction is allowed, an hour is the least.
        first_session: Number of the first session. Files of the same seed and users agree on the user, platform and id
            of a session number, so overlapping ranges make sessions that go on from one file to another.
        variant: Varies the records (their times, order, spellings, types) and leaves alone to whom the sessions belong.

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
        _require(1 <= self.records <= MAX_RECORDS, f"records must be from 1 to {MAX_RECORDS}, not {self.records}")
        _require(1 <= self.population < 2**31, f"users must be from 1 to {2**31 - 1}, not {self.users}")
        for name in ("seed", "first_session", "variant"):
            _require(
                0 <= getattr(self, name) < 2**63, f"{name} must be from 0 to {2**63 - 1}, not {getattr(self, name)}"
            )
        for name in ("duplicate_ratio", "malformed_ratio"):
            _require(0 <= getattr(self, name) <= 1, f"{name} must be from 0 to 1, not {getattr(self, name)}")
        ratios = self.duplicate_ratio + self.malformed_ratio
        _require(ratios <= 1, f"duplicate_ratio and malformed_ratio must not exceed 1 together, not make {ratios}")
        _require(1 / 24 <= self.days <= 36_525, f"days must be from 1/24 (an hour) to 36525, not {self.days}")
        _require(self.start.tzinfo is not None, "start must have a time zone, such as 2026-01-01T00:00:00Z")
        # The room of two days is for times written with an offset, which may fall on the day before or after.
        _require(
            _has_days_around(self.start, self.days), f"start and days must stay within years 1 to 9999: {self.start}"
        )

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
        """The number of records that repeat an earlier one; one record at least is left to be repeated."""
        return min(round(self.records * self.duplicate_ratio), max(0, self.records - self.malformed - 1))

    @property
    def originals(self) -> int:
        """The number of events: of records that are neither malformed nor repeat another one."""
        return self.records - self.malformed - self.duplicates

    @property
    def sessions(self) -> int:
        """The number of sessions that the events make up."""
        rounds, rest = divmod(self.originals - 1, ROUND)
        return rounds * len(EVENTS) + int(SESSION_OF[rest]) + 1 if self.originals else 0


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _has_days_around(start: datetime, days: float) -> bool:
    try:
        start.astimezone(UTC) - timedelta(days=2)
        start.astimezone(UTC) + timedelta(days=days + 2)
    except OverflowError:
        return False
    return True
