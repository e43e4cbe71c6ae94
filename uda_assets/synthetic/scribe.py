"""Events as text: lines for the file, fields for the vandal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from uda_assets.synthetic.config import EPOCH, GeneratorConfig
from uda_assets.synthetic.draws import I64
from uda_assets.synthetic.population import ID_LENGTH, PLATFORMS, Population, hexadecimal, quoted
from uda_assets.synthetic.timeline import Timeline, sessions_of, time_spellings
from uda_assets.synthetic.words import LaidOut, Rows, Words, put_texts, windows


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


class _Fields(NamedTuple):
    """The fields of some events, most of them as indexes into tables of texts."""

    user: I64
    session_id: Rows
    platform: I64
    day: I64
    clock: I64
    ending: I64
    activity: I64


# The bytes of a line's parts, as far as they are the same in all lines. See _write for what the widths must keep to.
_DAY, _CLOCK = len("2026-01-01T"), len("00:00:00")
_PLATFORM_WIDTH, _DAY_WIDTH, _END_WIDTH = 24, 16, 32


class Scribe:
    """Writes events as text, by looking up the parts of it in tables."""

    def __init__(self, config: GeneratorConfig, population: Population, timeline: Timeline) -> None:
        self._population, self._timeline = population, timeline
        self._first_session = config.first_session
        spellings = time_spellings(config.seed)
        self._spaced = np.array([spelling.separator == " " for spelling in spellings]).astype(np.int64)
        # The calendar starts a day early for offsets west of Greenwich, and ends late for those east of it.
        first_day = config.start.astimezone(UTC).date() - timedelta(days=1)
        days = [first_day + timedelta(days=day) for day in range(math.ceil(config.days) + 4)]
        midnight = (first_day - EPOCH.date()) // timedelta(days=1) * 86_400
        self._shifts = np.array([spelling.shift - midnight for spelling in spellings])

        self._users = quoted(population.names)
        self._platforms = _platform_spellings()
        self._days = pl.Series([f"{day.isoformat()}{separator}" for day in days for separator in "T "])
        self._clock = (pl.Series(np.arange(86_400)) * 1_000_000_000).cast(pl.Time).dt.to_string("%H:%M:%S")
        self._endings = pl.Series([spelling.ending for spelling in spellings])
        self._activities = pl.Series(_ACTIVITIES)

        self._user_words = Words(self._users + ",")
        self._platform_words = Words("," + self._platforms + ",", _PLATFORM_WIDTH)
        self._day_words = Words(self._days, _DAY_WIDTH)
        self._clock_words = Words(self._clock, _CLOCK)
        ends = [f"{time.ending},{activity}\n" for time in spellings for activity in _ACTIVITIES]
        self._end_words = Words(pl.Series(ends), _END_WIDTH, ending=True)

    def page(self, events: I64, malformed: npt.NDArray[np.bool_], broken: LaidOut) -> memoryview:
        """Lines one after the other, ready to be written.

        Args:
            events: The events of the sound lines.
            malformed: For each line, whether it is malformed.
            broken: The malformed lines.
        """
        fields = self._fields(events)
        lengths = np.empty(len(malformed), dtype=np.int64)
        sound = np.flatnonzero(~malformed) if len(broken.lengths) else slice(None)
        lengths[sound] = self._lengths(fields)
        lengths[malformed] = broken.lengths
        stops = np.cumsum(lengths)
        size = int(stops[-1])
        sheet = np.empty(size + self._user_words.width, dtype=np.uint8)
        self._write(sheet, fields, (stops - lengths)[sound], stops[sound])
        put_texts(sheet, (stops - lengths)[malformed], broken)
        return sheet[:size].data

    def fields(self, events: I64) -> pl.DataFrame:
        """The events as five columns of text, quoted where CSV asks for it."""
        fields = self._fields(events)
        time = [self._days.gather(fields.day), self._clock.gather(fields.clock), self._endings.gather(fields.ending)]
        return pl.select(
            user_id=self._users.gather(fields.user),
            session_id=_as_text(fields.session_id),
            platform=self._platforms.gather(fields.platform),
            activity_time=pl.concat_str(time),
            activity_type=self._activities.gather(fields.activity),
        )

    def _fields(self, events: I64) -> _Fields:
        details = self._timeline.details(events)
        sessions = sessions_of(self._timeline.sessions(events))
        who = self._population.identify(sessions.numbers + self._first_session)
        local = self._timeline.seconds(events, sessions, details.pause) + self._shifts.take(details.time_spelling)
        day = local // 86_400
        return _Fields(
            user=who.user.take(sessions.place),
            session_id=hexadecimal(who.session_id).take(sessions.place),
            platform=who.platform.take(sessions.place) * 256 + details.platform_spelling,
            day=day * 2 + self._spaced.take(details.time_spelling),
            clock=local - day * 86_400,
            ending=details.time_spelling,
            activity=details.activity,
        )

    def _lengths(self, fields: _Fields) -> I64:
        lengths = self._user_words.lengths.take(fields.user)
        lengths += self._platform_words.lengths.take(fields.platform)
        lengths += self._end_words.lengths.take(_end(fields))
        lengths += ID_LENGTH + _DAY + _CLOCK
        return lengths

    def _write(self, sheet: npt.NDArray[np.uint8], fields: _Fields, starts: I64, stops: I64) -> None:
        """Put the parts of the lines to their places, each part of all lines in one step.

        Parts are written in an order in which nothing but what is still to be written suffers from their overlong rows.
        """
        to_id = starts + self._user_words.lengths.take(fields.user)
        to_platform = to_id + ID_LENGTH
        to_day = to_platform + self._platform_words.lengths.take(fields.platform)
        to_clock = to_day + _DAY
        # Reaches forward, over lines that follow, which are written after it.
        windows(sheet, self._user_words.width)[starts] = self._user_words.rows.take(fields.user)
        # Reaches backward, at most into the id: 32 bytes are fewer than from the id on to the line's end.
        windows(sheet, _END_WIDTH)[stops - _END_WIDTH] = self._end_words.rows.take(_end(fields))
        # Reaches forward, at most to the end of the clock: ",iOS," and this are 24 bytes.
        windows(sheet, _PLATFORM_WIDTH)[to_platform] = self._platform_words.rows.take(fields.platform)
        windows(sheet, ID_LENGTH)[to_id] = fields.session_id
        # Reaches forward into the clock. The clock itself and the id are as wide as their rows.
        windows(sheet, _DAY_WIDTH)[to_day] = self._day_words.rows.take(fields.day)
        windows(sheet, _CLOCK)[to_clock] = self._clock_words.rows.take(fields.clock)


def _end(fields: _Fields) -> I64:
    return fields.ending * len(_ACTIVITIES) + fields.activity


def _as_text(ids: Rows) -> pl.Series:
    digits = pl.Series(ids.view(np.uint8)).reshape((len(ids), ID_LENGTH))
    return digits.cast(pl.List(pl.UInt8)).cast(pl.Binary).cast(pl.String)
