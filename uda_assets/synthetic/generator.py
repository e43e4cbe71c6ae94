"""Activity with a known right answer, of any size, reproducible from a seed.

Everything about a record is a pure function of two numbers: its session's number says who and where, its event's number
says when and what. So records can be drawn a chunk at a time, in order of time or shuffled, on several threads, and
the right answer follows from the numbers drawn, without a look at the file. Memory holds a few chunks, the users, and
one byte for each session.

    session number -> user, platform, session id           _Population
    event number   -> session, instant, details            _Timeline
    both           -> the fields of a record, as text      _Scribe
    line number    -> event, duplicate or malformed        _plan, _Painter
"""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import zstandard
from faker import Faker

from uda_assets.contract import COLUMNS, Reason
from uda_assets.errors import UsageError

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

SUFFIXES = (".csv", ".csv.gz", ".csv.zst")
"""File names that can be generated; the end of the name chooses the compression."""

MAX_RECORDS = 10**10
"""Records that one file may have; more would be hundreds of gigabytes."""

HEADER = ",".join(COLUMNS).encode() + b"\n"

_CHUNK = 250_000
_THREADS = 2

# --- What is asked for ------------------------------------------------------------------------------------------------

# How many events each session has, over and over. A fixed pattern makes the session of an event a matter of arithmetic,
# which is what allows to draw the events in any order. Its sum must be a power of two.
_EVENTS = (2, 1, 4, 1, 9, 3, 1, 6, 2, 12, 1, 3, 5, 2, 8, 4)
_ROUND = sum(_EVENTS)
_SESSION_OF: I64 = np.repeat(np.arange(len(_EVENTS)), _EVENTS)

# Sessions start in bursts, so that they overlap even where there are few of them in many days.
_BURST = 8
_BURST_SECONDS = 120
_STEP_SECONDS = 40
_SECONDS_IN: I64 = np.concatenate([np.arange(count) * _STEP_SECONDS for count in _EVENTS])
_LONGEST_SECONDS = _BURST_SECONDS + max(_EVENTS) * _STEP_SECONDS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


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
        rounds, rest = divmod(self.originals - 1, _ROUND)
        return rounds * len(_EVENTS) + int(_SESSION_OF[rest]) + 1 if self.originals else 0


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


# --- The right answer -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class GeneratedTruth:
    """The right answer to a generated file.

    Attributes:
        config: What was generated.
        records: Records of the file; always ``kept + quarantined``.
        kept: Records that are sound, duplicates included.
        quarantined: Malformed records.
        duplicates: Sound records that repeat an earlier one.
        reasons: Malformed records by reason, in order of precedence; reasons that do not occur are left out.
        sessions: Unique sessions.
        session_counts: ``platform, user_id, session_count``, by platform, falling count, then user.
    """

    config: GeneratorConfig
    records: int
    kept: int
    quarantined: int
    duplicates: int
    reasons: Mapping[str, int]
    sessions: int
    session_counts: pl.DataFrame

    def write(self, directory: Path) -> None:
        """Write ``truth.json`` and ``session_counts.csv`` into ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        with written_atomically(directory / "session_counts.csv") as part:
            self.session_counts.write_csv(part)
        with written_atomically(directory / "truth.json") as part:
            part.write_text(json.dumps(self._summary(), indent=2) + "\n", encoding="utf-8")

    def _summary(self) -> dict[str, object]:
        return {
            "records": self.records,
            "kept": self.kept,
            "quarantined": self.quarantined,
            "duplicates": self.duplicates,
            "reasons": dict(self.reasons),
            "sessions": self.sessions,
            "config": asdict(self.config) | {"start": self.config.start.isoformat()},
        }


class _Tally:
    """Counts what is written while it is written."""

    def __init__(self, config: GeneratorConfig, population: _Population) -> None:
        self._config, self._population = config, population
        self._seen = np.zeros(config.sessions, dtype=np.bool_)
        self._reasons = np.zeros(len(_REASONS), dtype=np.int64)
        self._kept = self._duplicates = 0

    def add(self, chunk: _Painted) -> None:
        self._seen[chunk.sessions] = True
        self._reasons += chunk.reasons
        self._kept += chunk.kept
        self._duplicates += chunk.kept - len(chunk.sessions)

    def truth(self) -> GeneratedTruth:
        quarantined = int(self._reasons.sum())
        counted = dict(zip(_REASONS, self._reasons.tolist(), strict=True))
        return GeneratedTruth(
            config=self._config,
            records=self._kept + quarantined,
            kept=self._kept,
            quarantined=quarantined,
            duplicates=self._duplicates,
            reasons={reason.value: counted[reason] for reason in Reason if counted[reason]},
            sessions=int(self._seen.sum()),
            session_counts=self._session_counts(),
        )

    def _session_counts(self) -> pl.DataFrame:
        users = self._population.users
        counts = np.zeros(len(PLATFORMS) * users, dtype=np.int64)
        for first in range(0, len(self._seen), _CHUNK):
            sessions = np.flatnonzero(self._seen[first : first + _CHUNK]) + first + self._config.first_session
            who = self._population.identify(sessions)
            counts += np.bincount(who.platform * users + who.user, minlength=len(counts))
        found = np.flatnonzero(counts)
        return pl.DataFrame(
            {
                "platform": pl.Series(PLATFORMS).gather(found // users),
                "user_id": self._population.names.gather(found % users),
                "session_count": counts[found],
            }
        ).sort("platform", "session_count", "user_id", descending=[False, True, False])


# --- Draws without state ----------------------------------------------------------------------------------------------


def _key(*parts: int) -> int:
    """A 64-bit key that is different for every choice of ``parts``."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def _mix(numbers: I64 | U64, key: int) -> U64:
    """A random-looking 64-bit number for each of ``numbers``, different for different ones (SplitMix64)."""
    # In place, as fresh memory costs more here than the arithmetic.
    mixed = numbers.astype(np.uint64)
    shifted = np.empty_like(mixed)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    mixed += np.uint64(key)
    for bits, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= np.right_shift(mixed, np.uint64(bits), out=shifted)
        mixed *= np.uint64(factor)
    mixed ^= np.right_shift(mixed, np.uint64(31), out=shifted)
    return mixed


def _below(draws: U64, limit: int) -> I64:
    """Even numbers from 0 to below ``limit``, from the upper half of the draws: a division would cost far more."""
    return ((draws >> np.uint64(32)) * np.uint64(limit) >> np.uint64(32)).astype(np.int64)


def _bits(draws: U64, first: int, count: int) -> I64:
    """Numbers made of ``count`` bits of the draws, from the ``first`` lowest on."""
    return (draws >> np.uint64(first) & np.uint64(2**count - 1)).astype(np.int64)


# --- Who and where ----------------------------------------------------------------------------------------------------

PLATFORMS = ("Android", "Web", "iOS")
"""Canonical names of the platforms that occur, in ascending order."""

# Of 16 users, how many prefer which platform.
_PREFERENCE: I64 = np.repeat(np.arange(3), (7, 3, 6))
_NEXT_PLATFORM: I64 = np.array([1, 2, 0])
_NAMES = 256
_ID_LENGTH = 16
_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), dtype=np.uint16)


class _Identity(NamedTuple):
    user: I64
    platform: I64
    session_id: U64


class _Population:
    """The users, and which session belongs to which of them, on which platform, by the session's number."""

    def __init__(self, config: GeneratorConfig) -> None:
        self.users = config.population
        self.names = _user_names(config.seed, self.users)
        self._keys = [_key(config.seed, 1, purpose) for purpose in range(3)]
        # Which user is the busiest, the next and so on. The factor spreads the busy ones over the numbers; as it shares
        # no divisor with their number, everybody has a turn.
        factor = next(n for n in range(round(self.users * 0.618) | 1, 2**32) if math.gcd(n, self.users) == 1)
        self._by_rank: I64 = (np.arange(1, self.users + 1) * factor) % self.users
        self._preference = _PREFERENCE[_bits(_mix(np.arange(self.users), self._keys[2]), 0, 4)].astype(np.int8)

    def identify(self, sessions: I64) -> _Identity:
        """Whose the sessions are. Different numbers are different as (platform, user, session id)."""
        # Now and then the next session's user and id show up on another platform: the same id, but another session.
        shared = sessions & 63 == 0
        owners = sessions + shared
        draws = _mix(owners, self._keys[0])
        # The cube of an even draw makes the nth user about n ** -2/3 as busy as the first. Multiplication alone, unlike
        # powers and logarithms, gives the same bits on every machine.
        even = (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53
        user = self._by_rank[(even * even * even * self.users).astype(np.int64)]
        # The lowest bits are not part of the even draw: one session in eight is not on the user's usual platform.
        platform = np.where(_bits(draws, 0, 3), self._preference[user], _PREFERENCE[_bits(draws, 3, 4)])
        platform = np.where(shared, _NEXT_PLATFORM[platform], platform)
        return _Identity(user, platform, _mix(owners, self._keys[1]))


def _user_names(seed: int, users: int) -> pl.Series:
    """Unique names for any number of users, from a small pool: Faker is far too slow to make each of millions."""
    numbers = np.arange(users)
    pool = pl.Series(_name_pool(seed, min(users, _NAMES))).gather(numbers % _NAMES)
    return pl.select(pl.concat_str([pool, pl.Series(numbers)], separator="_")).to_series()


@lru_cache(maxsize=4)
def _name_pool(seed: int, size: int) -> tuple[str, ...]:
    """User names, one of 16 less harmless than a program may hope: with commas, quotes, another script.

    Kept, because a supplier draws every drop from the same population, and making them takes longer than a small drop.
    """
    english, japanese = Faker("en_US"), Faker("ja_JP")
    for faker in (english, japanese):
        faker.seed_instance(seed)
    odd: list[Callable[[], str]] = [
        lambda: f"{english.last_name()}, {english.first_name()}",
        lambda: f'{english.first_name()} "{english.word()}" {english.last_name()}',
        japanese.name,
    ]
    return tuple(odd[n // 16 % len(odd)]() if n % 16 == 15 else english.user_name() for n in range(size))


def _quoted(texts: pl.Series) -> pl.Series:
    """The texts as CSV fields: in quotes where they contain a comma or a quote."""
    text = pl.lit(texts)
    quoted = pl.concat_str([pl.lit('"'), text.str.replace_all('"', '""', literal=True), pl.lit('"')])
    return pl.select(pl.when(text.str.contains('[,"]')).then(quoted).otherwise(text)).to_series()


def _hexadecimal(numbers: U64) -> pl.Series:
    """Each number as ``_ID_LENGTH`` hexadecimal digits."""
    digits = _HEX[numbers.astype(">u8").view(np.uint8)].view(np.uint8)
    # By way of lists of bytes, which costs a third of joining the digits as strings.
    return pl.Series(digits).reshape((len(numbers), _ID_LENGTH)).cast(pl.List(pl.UInt8)).cast(pl.Binary).cast(pl.String)


# --- When -------------------------------------------------------------------------------------------------------------


class _Spelling(NamedTuple):
    """A way to write a time: the separator, what follows the seconds, and what this adds to the clock's time."""

    separator: str
    ending: str
    shift: int = 0
    micros: int = 0


def _time_spellings(seed: int) -> list[_Spelling]:
    """256 ways to write a time, most of them the plain one; which one an event gets is a byte of its draw."""
    random = Random(seed)
    spellings = [_Spelling(" ", "Z")] * 8 + [_Spelling(" ", "")] * 6 + [_Spelling("T", "")] * 4
    spellings += [_Spelling("T", "+02:00", 7200)] * 12 + [_Spelling("T", "-05:30", -19800)] * 2
    for millis in random.sample(range(1000), 16):
        spellings.append(_Spelling("T", f".{millis:03}Z", 0, millis * 1000))
    for micros in random.sample(range(1_000_000), 8):
        spellings.append(_Spelling("T", f".{micros:06}Z", 0, micros))
    return spellings + [_Spelling("T", "Z")] * (256 - len(spellings))


class _Sessions(NamedTuple):
    """The sessions of some events: numbers that contain each of them, and each event's place among these."""

    numbers: I64
    place: I64


def _sessions(of_events: I64) -> _Sessions:
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


class _Timeline:
    """The events, by number: to which session each belongs, its instant, and what else is drawn for it."""

    def __init__(self, config: GeneratorConfig) -> None:
        self._first_session = config.first_session
        self._start = (config.start - _EPOCH) // _SECOND
        self._every = (int(config.days * 86_400) - _LONGEST_SECONDS) / max(1, -(-config.sessions // _BURST))
        self._window = max(1, min(int(self._every), _BURST_SECONDS))
        self._keys = [_key(config.seed, 2, config.variant, config.first_session, purpose) for purpose in range(2)]
        self._micros = np.array([spelling.micros for spelling in _time_spellings(config.seed)])

    def sessions(self, events: I64) -> I64:
        """Each event's session, counted from the first of this file."""
        return events // _ROUND * len(_EVENTS) + _SESSION_OF[events & _ROUND - 1]  # type: ignore[no-any-return]

    def details(self, events: I64) -> _Details:
        draws = _mix(events, self._keys[0])
        return _Details(_bits(draws, 0, 8), _bits(draws, 8, 8), _bits(draws, 16, 4), _below(draws, _STEP_SECONDS))

    def seconds(self, events: I64, sessions: _Sessions, pause: I64) -> I64:
        """When the events happened, in whole seconds since 1970."""
        lag = _below(_mix(sessions.numbers, self._keys[1]), self._window)
        begins = self._bursts(sessions.numbers) + lag
        return begins[sessions.place] + _SECONDS_IN[events & _ROUND - 1] + pause  # type: ignore[no-any-return]

    def instants(self, events: I64) -> I64:
        """When the events happened, as they are written, in microseconds since 1970."""
        details = self.details(events)
        seconds = self.seconds(events, _sessions(self.sessions(events)), details.pause)
        return seconds * 1_000_000 + self._micros[details.time_spelling]  # type: ignore[no-any-return]

    def earliest_from(self, event: int) -> int:
        """A bound below the instants of all events from ``event`` on, which must be the first of a round."""
        return int(self._bursts(self.sessions(np.array([event])))[0]) * 1_000_000

    def _bursts(self, sessions: I64) -> I64:
        """When the sessions' bursts start."""
        return self._start + (sessions // _BURST * self._every).astype(np.int64)


class _EventOrder(Protocol):
    """Hands out all events once, in some order."""

    def take(self, count: int) -> I64: ...


class _ByTime:
    """The events in order of their instants.

    Sessions overlap, so events are drawn a block ahead and handed out up to the earliest instant of the next block.
    """

    _BLOCK = _ROUND * (_CHUNK // _ROUND)

    def __init__(self, timeline: _Timeline, events: int) -> None:
        self._timeline, self._total = timeline, events
        self._drawn = self._certain = 0
        self._events = self._instants = np.empty(0, dtype=np.int64)

    def take(self, count: int) -> I64:
        while self._certain < count:
            self._draw_block()
        taken, self._events = np.split(self._events, [count])
        self._instants = self._instants[count:]
        self._certain -= count
        return taken

    def _draw_block(self) -> None:
        fresh = np.arange(self._drawn, min(self._drawn + self._BLOCK, self._total))
        events = np.concatenate([self._events, fresh])
        instants = np.concatenate([self._instants, self._timeline.instants(fresh)])
        order = np.argsort(instants, kind="stable")
        self._events, self._instants = events[order], instants[order]
        self._drawn += len(fresh)
        bound = self._timeline.earliest_from(self._drawn) if self._drawn < self._total else None
        self._certain = len(events) if bound is None else int(np.searchsorted(self._instants, bound))


class _Shuffled:
    """The events in random order: a pseudo-random permutation computed for each place, so that none is stored.

    A Feistel network permutes a rectangle that is a little larger than the number of events; what lands outside of the
    events is sent through it again until it lands inside.
    """

    def __init__(self, events: int, key: int) -> None:
        self._total, self._taken = events, 0
        self._width = math.isqrt(max(events - 1, 0)) + 1
        self._height = -(-events // self._width)
        self._keys = [_key(key, turn) for turn in range(6)]

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
        for turn, key in enumerate(self._keys):
            if turn % 2:
                right = _added(right, _below(_mix(left, key), self._height), self._height)
            else:
                left = _added(left, _below(_mix(right, key), self._width), self._width)
        return left * self._height + right


def _added(numbers: I64, others: I64, modulus: int) -> I64:
    """The sums of numbers below ``modulus``, modulo it; without a division."""
    sums = numbers + others
    return sums - (sums >= modulus) * modulus


# --- Text -------------------------------------------------------------------------------------------------------------


def _full_width(text: str) -> str:
    """The text in the wide letters of East Asian typography, which NFKC makes ordinary ones."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


# Of 256 records of a platform, how many spell it how; the others write the canonical name.
_PLATFORM_SPELLINGS: Mapping[str, Mapping[str, int]] = {
    "Android": {"android": 40, "ANDROID": 10, "ANDROID ": 6, " Android": 4, _full_width("Android"): 1},
    "Web": {"web": 50, "WEB": 12, " Web ": 4, _full_width("Web"): 1},
    "iOS": {"ios": 40, "IOS": 20, " ios": 8, "iOS ": 4, _full_width("iOS"): 1},
}
_ACTIVITIES = ["view"] * 6 + ["click"] * 3 + ["login", "search"] * 2 + ["purchase", "logout", '"share, public"']


def _platform_spellings() -> pl.Series:
    """256 spellings for each platform, one platform after the other."""
    spellings: list[str] = []
    for name in PLATFORMS:
        others = [text for text, count in _PLATFORM_SPELLINGS[name].items() for _ in range(count)]
        spellings += others + [name] * (256 - len(others))
    return pl.Series(spellings)


class _Parts(NamedTuple):
    """Parts of lines. The first two bring their commas with them, as few parts are joined faster than many."""

    ids: pl.Series
    platform: pl.Series
    day: pl.Series
    clock: pl.Series
    details: _Details


class _Scribe:
    """Writes events as text, by looking up the parts of it in tables."""

    def __init__(self, config: GeneratorConfig, population: _Population, timeline: _Timeline) -> None:
        self._population, self._timeline = population, timeline
        self._first_session = config.first_session
        self._users = _quoted(population.names)
        self._platforms = _platform_spellings() + ","
        self._activities = pl.Series(_ACTIVITIES)
        spellings = _time_spellings(config.seed)
        self._spaced = np.array([spelling.separator == " " for spelling in spellings]).astype(np.int64)
        self._endings = pl.Series([spelling.ending for spelling in spellings])
        self._line_ends = pl.Series([f"{time.ending},{activity}\n" for time in spellings for activity in _ACTIVITIES])
        # The calendar starts a day early for offsets west of Greenwich, and ends late for those east of it.
        first_day = config.start.astimezone(UTC).date() - timedelta(days=1)
        days = [first_day + timedelta(days=day) for day in range(math.ceil(config.days) + 4)]
        midnight = (first_day - _EPOCH.date()) // timedelta(days=1) * 86_400
        self._shifts = np.array([spelling.shift - midnight for spelling in spellings])
        self._days = pl.Series([f"{day.isoformat()}{separator}" for day in days for separator in "T "])
        self._clock = (pl.Series(np.arange(86_400)) * 1_000_000_000).cast(pl.Time).dt.to_string("%H:%M:%S")

    def lines(self, events: I64) -> pl.Series:
        """The events as whole lines."""
        parts = self._parts(events)
        ends = self._line_ends.gather(parts.details.time_spelling * len(_ACTIVITIES) + parts.details.activity)
        return pl.select(pl.concat_str([parts.ids, parts.platform, parts.day, parts.clock, ends])).to_series()

    def fields(self, events: I64) -> pl.DataFrame:
        """The events as five columns of text, quoted where CSV asks for it."""
        parts = self._parts(events)
        ends = self._endings.gather(parts.details.time_spelling)
        ids = pl.lit(parts.ids)
        return pl.select(
            user_id=ids.str.head(-_ID_LENGTH - 2),
            session_id=ids.str.tail(_ID_LENGTH + 1).str.head(_ID_LENGTH),
            platform=pl.lit(parts.platform).str.head(-1),
            activity_time=pl.concat_str([parts.day, parts.clock, ends]),
            activity_type=self._activities.gather(parts.details.activity),
        )

    def _parts(self, events: I64) -> _Parts:
        details = self._timeline.details(events)
        sessions = _sessions(self._timeline.sessions(events))
        who = self._population.identify(sessions.numbers + self._first_session)
        ids = pl.select(pl.concat_str([self._users.gather(who.user), _hexadecimal(who.session_id)], separator=","))
        local = self._timeline.seconds(events, sessions, details.pause) + self._shifts[details.time_spelling]
        day = local // 86_400
        return _Parts(
            ids=(ids.to_series() + ",").gather(sessions.place),
            platform=self._platforms.gather(who.platform[sessions.place] * 256 + details.platform_spelling),
            day=self._days.gather(day * 2 + self._spaced[details.time_spelling]),
            clock=self._clock.gather(local - day * 86_400),
            details=details,
        )


# --- Malformed records ------------------------------------------------------------------------------------------------

# A quote that is left open reaches for every later quote, so this reason is for the last line of a file alone.
_LAST_LINE = Reason.UNTERMINATED_QUOTE
_REASONS = (*(reason for reason in Reason if reason is not _LAST_LINE), _LAST_LINE)

# None of these may contain a comma, a quote, a control character or white space at its ends.
_HOSTILE = (
    "'; DROP TABLE sessions; --", "=HYPERLINK(A1)", "<script>alert(1)</script>", "${jndi:ldap://x}", "../../etc/passwd",
    "NULL", "NaN", "-1", "0x7fffffff", "%s%n", "🦆🦆🦆", "Ω≈ç√∫", "{{7*7}}", "\\", "None", "#REF!",
)  # fmt: skip
_STRANGE_PLATFORMS = ("Symbian", "BlackBerry", "Windows Phone", "PlayStation 5", "i0S", "Andriod", "unknown", "-")
_BAD_TIMES = (
    "2026-02-30T10:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z", "2026-01-01T10:61:00Z", "31/01/2026 08:15",
    "Jan 31 2026 8:15AM", "1767225600", "yesterday", "0000-00-00 00:00:00", "2026-01-01T10:00:00+99:00", "NULL",
)  # fmt: skip
_BLANKS = ("", " ", "   ", '""', '"  "', "\u00a0")
_CONTROLS = ("\x01", "\x07", "\x08", "\x1b", "\x7f", "\u0086")
# Latin-1, a cut off character, a byte that UTF-8 has no use for, a surrogate, an overlong slash.
_BAD_BYTES = (b"\xe9", b"\xe2\x82", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf")
_BAD_BYTES_MARK = "\ue000"


def _hostile_texts(seed: int) -> list[str]:
    """Texts that test a reader's manners, fit to stand in a field without quotes."""
    faker = Faker("en_US")
    faker.seed_instance(seed)
    drawn = [
        make() for make in (faker.sentence, faker.email, faker.uri, faker.company, faker.user_agent) for _ in range(8)
    ]
    harmless = str.maketrans({'"': "'", ",": ";", "\n": " ", "\r": " ", "\t": " "})
    return [*_HOSTILE, *(text.translate(harmless).strip() for text in drawn)]


class _Vandal:
    """Makes malformed lines out of sound fields, each malformed for one reason alone."""

    def __init__(self, seed: int) -> None:
        self._supplies = {
            "noise": pl.Series(_hostile_texts(seed)),
            "blank": pl.Series(_BLANKS),
            "control": pl.Series(_CONTROLS),
            "strange": pl.Series(_STRANGE_PLATFORMS),
            "bad_time": pl.Series(_BAD_TIMES),
        }
        self._lines = {reason: _one_of(ways) for reason, ways in _ways_to_break().items()}

    def lines(self, fields: pl.DataFrame, reasons: I64, random: np.random.Generator) -> pl.Series:
        """A malformed line for each row of ``fields``, as bytes.

        Args:
            fields: Sound records, as from :meth:`_Scribe.fields`.
            reasons: For each of them, the index of its reason in ``_REASONS``.
            random: Where to draw from.
        """
        drawn = {name: pool.gather(random.integers(0, len(pool), len(fields))) for name, pool in self._supplies.items()}
        frame = fields.with_columns(**drawn, way=pl.Series(random.integers(0, 2**31, len(fields))))
        by_reason = np.argsort(reasons, kind="stable")
        bounds = np.searchsorted(reasons[by_reason], np.arange(len(_REASONS) + 1))
        parts = zip(_REASONS, pairwise(bounds.tolist()), strict=True)
        frame = frame[by_reason]
        broken = [self._broken(frame[start:end], reason) for reason, (start, end) in parts if start < end]
        return pl.concat([pl.Series([], dtype=pl.Binary), *broken]).gather(np.argsort(by_reason))

    def _broken(self, frame: pl.DataFrame, reason: Reason) -> pl.Series:
        lines = frame.select(self._lines[reason]).to_series()
        if reason is Reason.ENCODING:
            return pl.Series([_with_bad_bytes(n, text) for n, text in enumerate(lines)], dtype=pl.Binary)
        return lines.cast(pl.Binary)


def _one_of(ways: list[pl.Expr]) -> pl.Expr:
    """A line made in one of the ways, as the column ``way`` chooses."""
    # In each row all ways but its own are null.
    chosen = [pl.when(pl.col("way") % len(ways) == n).then(way) for n, way in enumerate(ways)]
    return pl.concat_str([pl.coalesce(chosen), pl.lit("\n")])


def _with_bad_bytes(number: int, text: str) -> bytes:
    return text.encode().replace(_BAD_BYTES_MARK.encode(), _BAD_BYTES[number % len(_BAD_BYTES)])


def _line(**changed: pl.Expr) -> pl.Expr:
    """The record as a line, with some of its fields changed."""
    return pl.concat_str([changed.get(column, pl.col(column)) for column in COLUMNS], separator=",")


def _cut(column: str, *inserted: pl.Expr) -> pl.Expr:
    """The field with something inserted after its first three characters."""
    return pl.concat_str([pl.col(column).str.head(3), *inserted, pl.col(column).str.slice(3)])


def _text(*parts: str) -> pl.Expr:
    """A text with a hostile one at the place of each ``*``."""
    return pl.concat_str([pl.col("noise") if part == "*" else pl.lit(part) for part in parts])


def _ways_to_break() -> dict[Reason, list[pl.Expr]]:
    """For each reason, the ways to make a sound record malformed for it, over the columns that the vandal supplies.

    Session ids are never quoted, user ids and activity types may be; so ids are changed, the others replaced.
    """
    blank, control, mark = pl.col("blank"), pl.col("control"), pl.lit(_BAD_BYTES_MARK)
    first = [pl.concat_str(list(COLUMNS[:count]), separator=",") for count in range(1, len(COLUMNS))]
    return {
        Reason.ENCODING: [
            _line(user_id=pl.concat_str([pl.col("noise"), mark])),
            _line(session_id=_cut("session_id", mark)),
            _line(activity_type=pl.concat_str([pl.lit('"caf'), mark, pl.lit('"')])),
        ],
        Reason.BAD_QUOTE: [
            _line(session_id=_cut("session_id", pl.lit('"'))),
            _line(user_id=_text('"', "*", '"y')),
            _line(user_id=_text("*", ' "', "*", '"')),
            _line(activity_type=_text('"', "*", '" ', "*")),
        ],
        Reason.TOO_FEW_FIELDS: first,
        Reason.TOO_MANY_FIELDS: [
            pl.concat_str([_line(), pl.col("noise")], separator=","),
            pl.concat_str([_line(), pl.lit(",,")]),
            _line(user_id=_text("*", ", ", "*")),
        ],
        Reason.CONTROL_CHARACTER: [
            _line(session_id=_cut("session_id", control)),
            _line(activity_type=pl.concat_str([pl.lit('"lo'), control, pl.lit('gin"')])),
        ],
        Reason.MISSING_USER_ID: [_line(user_id=blank)],
        Reason.MISSING_SESSION_ID: [_line(session_id=blank)],
        Reason.MISSING_PLATFORM: [_line(platform=blank)],
        Reason.UNKNOWN_PLATFORM: [_line(platform=pl.col("strange")), _line(platform=pl.col("noise"))],
        Reason.MISSING_ACTIVITY_TIME: [_line(activity_time=blank)],
        Reason.BAD_ACTIVITY_TIME: [_line(activity_time=pl.col("bad_time")), _line(activity_time=pl.col("noise"))],
        Reason.MISSING_ACTIVITY_TYPE: [_line(activity_type=blank)],
        _LAST_LINE: [_line(activity_type=_text('"', "*")), _line(user_id=_text('"', "*"))],
    }


# --- Chunks -----------------------------------------------------------------------------------------------------------

_ORIGINAL, _DUPLICATE, _MALFORMED = range(3)


@dataclass(frozen=True)
class _Chunk:
    """The plan of some consecutive lines.

    Attributes:
        number: Counted from 0 over the file.
        lines: How many lines.
        events: The new events, in the order in which they appear.
        before: The event before those, which a duplicate may repeat; empty for the first chunk.
        malformed: Range of the malformed records, counted over the file.
    """

    number: int
    lines: int
    events: I64
    before: I64
    malformed: range


class _Painted(NamedTuple):
    """A chunk as it is written, and what there is to count in it."""

    data: memoryview
    lines: int
    kept: int
    sessions: I64
    reasons: I64


def _plan(config: GeneratorConfig, order: _EventOrder) -> Iterator[_Chunk]:
    """Divide the file into chunks of about equal size, each with its share of duplicates and malformed records."""
    count = -(-config.records // _CHUNK)
    sound = config.records - config.malformed
    lines = malformed = originals = 0
    before = np.empty(0, dtype=np.int64)
    for number in range(count):
        # All shares are rounded from the file's start, so that they add up. Duplicates are rounded down, so that the
        # first sound record is never one.
        lines_end = config.records * (number + 1) // count
        malformed_end = config.malformed * lines_end // config.records
        sound_end = lines_end - malformed_end
        originals_end = sound_end - (config.duplicates * sound_end // sound if sound else 0)
        events = order.take(originals_end - originals)
        yield _Chunk(number, lines_end - lines, events, before, range(malformed, malformed_end))
        before = events[-1:] if len(events) else before
        lines, malformed, originals = lines_end, malformed_end, originals_end


class _Painter:
    """Turns the plan of a chunk into its bytes. Keeps no state, so that chunks can be painted on several threads."""

    def __init__(self, config: GeneratorConfig, population: _Population, timeline: _Timeline) -> None:
        self._config, self._timeline = config, timeline
        self._scribe = _Scribe(config, population, timeline)
        self._vandal = _Vandal(config.seed)
        # One line for each reason must be there before a whole one is spent on the last line.
        self._last_malformed = config.malformed - 1 if config.malformed >= len(_REASONS) else None

    def paint(self, chunk: _Chunk) -> _Painted:
        random = self._random(chunk.number)
        kinds = self._kinds(chunk, random)
        reasons = self._reasons(chunk, random)
        sound = self._scribe.lines(np.concatenate([chunk.before, chunk.events])).cast(pl.Binary)
        lines = pl.concat([sound, self._malformed(reasons, random)]).gather(self._sources(chunk, kinds, random))
        return _Painted(
            data=_bytes_of(lines),
            lines=chunk.lines,
            kept=chunk.lines - len(reasons),
            sessions=self._timeline.sessions(chunk.events),
            reasons=np.bincount(reasons, minlength=len(_REASONS)),
        )

    def _random(self, number: int) -> np.random.Generator:
        config = self._config
        return np.random.default_rng([config.seed, 3, config.variant, config.first_session, number])

    def _kinds(self, chunk: _Chunk, random: np.random.Generator) -> npt.NDArray[np.int8]:
        """For each line, whether it is an original, a duplicate or malformed."""
        originals = len(chunk.events)
        others = random.choice(chunk.lines, chunk.lines - originals, replace=False)
        kinds = np.full(chunk.lines, _ORIGINAL, dtype=np.int8)
        kinds[others] = _DUPLICATE
        kinds[others[: len(chunk.malformed)]] = _MALFORMED
        if self._last_malformed in chunk.malformed:
            _swap(kinds, chunk.lines - 1, int(np.argmax(kinds == _MALFORMED)))
        if originals and not len(chunk.before):
            # There is nothing yet to repeat.
            _swap(kinds, int(np.argmax(kinds != _MALFORMED)), int(np.argmax(kinds == _ORIGINAL)))
        return kinds

    def _reasons(self, chunk: _Chunk, random: np.random.Generator) -> I64:
        """The reasons of the malformed lines: each as often as any other, in random order."""
        reasons = random.permutation(np.arange(chunk.malformed.start, chunk.malformed.stop) % (len(_REASONS) - 1))
        if self._last_malformed in chunk.malformed:
            reasons[-1] = _REASONS.index(_LAST_LINE)
        return reasons

    def _malformed(self, reasons: I64, random: np.random.Generator) -> pl.Series:
        """Malformed lines, made from records that may as well occur in the file: a reader must not count them."""
        events = random.integers(0, max(1, self._config.originals), len(reasons))
        return self._vandal.lines(self._scribe.fields(events), reasons, random)

    def _sources(self, chunk: _Chunk, kinds: npt.NDArray[np.int8], random: np.random.Generator) -> I64:
        """For each line, its place among the event before, the events and the malformed lines, in this order."""
        sound = len(chunk.before) + len(chunk.events)
        latest = len(chunk.before) + np.cumsum(kinds == _ORIGINAL) - 1
        sources = latest.copy()
        repeating, malformed = np.flatnonzero(kinds == _DUPLICATE), np.flatnonzero(kinds == _MALFORMED)
        sources[repeating] = self._repeated(latest[repeating], random)
        sources[malformed] = sound + np.arange(len(malformed))
        return sources

    def _repeated(self, latest: I64, random: np.random.Generator) -> I64:
        """Which event to repeat: soon after it, as when a client retries, or any earlier one in a shuffled file."""
        if self._config.shuffled:
            anywhere: I64 = random.integers(0, latest + 1)
            return anywhere
        return np.maximum(0, latest + 1 - random.geometric(0.05, len(latest)))  # type: ignore[no-any-return]


def _swap(kinds: npt.NDArray[np.int8], one: int, other: int) -> None:
    kinds[one], kinds[other] = kinds[other], kinds[one]


def _bytes_of(lines: pl.Series) -> memoryview:
    """The lines one after the other. Arrow keeps them so in memory; nothing else is as fast."""
    array = lines.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    return memoryview(data)[int(ends[0]) : int(ends[-1])]


def _painted(painter: _Painter, chunks: Iterator[_Chunk]) -> Generator[_Painted]:
    """Paint the chunks on several threads, a few ahead of the one that is handed out."""
    waiting: deque[Future[_Painted]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for chunk in chunks:
            waiting.append(pool.submit(painter.paint, chunk))
            if len(waiting) > _THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


# --- Files ------------------------------------------------------------------------------------------------------------


class _Sink(Protocol):
    def write(self, data: bytes | memoryview, /) -> int: ...


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; it takes the place of ``path`` unless an error occurs."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        # A full disk, unlike a missing directory, does not say where it happened.
        error.filename = error.filename or str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def check_target(path: Path) -> str:
    """The suffix of a file that can be generated.

    Raises:
        UsageError: The name has none of ``SUFFIXES``.
        IsADirectoryError: There is a directory of this name.
    """
    suffix = next((suffix for suffix in reversed(SUFFIXES) if path.name.endswith(suffix)), None)
    if suffix is None:
        raise UsageError(f"the name must end in one of {', '.join(SUFFIXES)}: {path}")
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return suffix


@contextmanager
def _opened(part: Path, suffix: str) -> Iterator[_Sink]:
    # An unbuffered file may take only a part of what it is given and say so by a number that the compressors ignore.
    with part.open("wb") as file:
        if suffix.endswith(".gz"):
            # No name and no time in the file, so that equal content is equal bytes. The fastest level: it is test data.
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as compressed:
                yield compressed
        elif suffix.endswith(".zst"):
            with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as writer:
                yield writer
        else:
            yield file


def generate(
    path: Path,
    config: GeneratorConfig,
    *,
    truth_dir: Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> GeneratedTruth:
    """Write a file of activity and work out the right answer to it.

    The file appears under its name when it is complete, after the truth; until then it is beside it, under a name that
    is not a drop's. Directories are made where they are missing.

    Args:
        path: The file to write; a name in ``SUFFIXES`` chooses the compression.
        config: What to generate.
        truth_dir: Where to write the right answer: ``truth.json`` and ``session_counts.csv``.
        on_progress: Called now and then with the number of records written so far.

    Returns:
        The right answer.

    Raises:
        UsageError: The file's name has none of the suffixes.
        OSError: A file cannot be written.
    """
    suffix = check_target(path)
    for directory in [path.parent] if truth_dir is None else [path.parent, truth_dir]:
        directory.mkdir(parents=True, exist_ok=True)
    with written_atomically(path) as part:
        with _opened(part, suffix) as sink:
            truth = _write(sink, config, on_progress)
        if truth_dir is not None:
            truth.write(truth_dir)
    return truth


def _write(sink: _Sink, config: GeneratorConfig, on_progress: Callable[[int], None] | None) -> GeneratedTruth:
    population, timeline = _Population(config), _Timeline(config)
    tally = _Tally(config, population)
    sink.write(HEADER)
    written = 0
    chunks = _plan(config, _event_order(config, timeline))
    with closing(_painted(_Painter(config, population, timeline), chunks)) as painted:
        for chunk in painted:
            sink.write(chunk.data)
            tally.add(chunk)
            written += chunk.lines
            if on_progress is not None:
                on_progress(written)
    return tally.truth()


def _event_order(config: GeneratorConfig, timeline: _Timeline) -> _EventOrder:
    if not config.shuffled:
        return _ByTime(timeline, config.originals)
    return _Shuffled(config.originals, _key(config.seed, 4, config.variant, config.first_session))
