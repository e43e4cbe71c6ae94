"""Events as text: as lines for the file, and as fields from which malformed lines are made."""

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
from uda_assets.synthetic.population import PLATFORMS, Population
from uda_assets.synthetic.texts import (
    ID_LENGTH,
    PackedTexts,
    Rows,
    TextRows,
    hexadecimal,
    put_texts,
    quoted,
    windows,
)
from uda_assets.synthetic.timeline import Timeline, sessions_of, time_spellings


def _full_width(text: str) -> str:
    """Return the text in the wide letters of East Asian typography, which NFKC turns into ordinary ones."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


# How many of 256 records of a platform use which spelling; the others use the canonical name.
_PLATFORM_SPELLINGS: Mapping[str, Mapping[str, int]] = {
    "Android": {"android": 40, "ANDROID": 10, "ANDROID ": 6, " Android": 4, _full_width("Android"): 1},
    "Web": {"web": 50, "WEB": 12, " Web ": 4, _full_width("Web"): 1},
    "iOS": {"ios": 40, "IOS": 20, " ios": 8, "iOS ": 4, _full_width("iOS"): 1},
}
_ACTIVITIES = ["view"] * 6 + ["click"] * 3 + ["login", "search"] * 2 + ["purchase", "logout", '"share, public"']

# Lengths in bytes of the parts of a line that have the same length in all lines, and widths of the rows from which the
# other parts are copied. RecordWriter._write explains the limits on these widths.
_DAY, _CLOCK = len("2026-01-01T"), len("00:00:00")
_PLATFORM_WIDTH, _DAY_WIDTH, _END_WIDTH = 24, 16, 32


def _platform_spellings() -> pl.Series:
    """Return 256 spellings for each platform, one platform after the other."""
    spellings: list[str] = []
    for name in PLATFORMS:
        others = [text for text, count in _PLATFORM_SPELLINGS[name].items() for _ in range(count)]
        spellings += others + [name] * (256 - len(others))
    return pl.Series(spellings)


class _Fields(NamedTuple):
    """The fields of some events: all but the session ids are indexes into tables of texts."""

    user: I64
    session_id: Rows
    platform: I64
    day: I64
    clock: I64
    ending: I64
    activity: I64

    @property
    def line_end(self) -> I64:
        """Index of the end of the time together with the activity type."""
        return self.ending * len(_ACTIVITIES) + self.activity


class RecordWriter:
    """Writes events as text by looking up the parts of each line in tables."""

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

        self._user_rows = TextRows(self._users + ",")
        self._platform_rows = TextRows("," + self._platforms + ",", _PLATFORM_WIDTH)
        self._day_rows = TextRows(self._days, _DAY_WIDTH)
        self._clock_rows = TextRows(self._clock, _CLOCK)
        line_ends = [f"{spelling.ending},{activity}\n" for spelling in spellings for activity in _ACTIVITIES]
        self._line_end_rows = TextRows(pl.Series(line_ends), _END_WIDTH, align_right=True)

    def page(self, events: I64, is_malformed: npt.NDArray[np.bool_], malformed_lines: PackedTexts) -> memoryview:
        """Return lines one after the other, ready to be written.

        Args:
            events: The events of the well-formed lines.
            is_malformed: For each line, whether it is malformed.
            malformed_lines: The malformed lines.
        """
        fields = self._fields(events)
        lengths = np.empty(len(is_malformed), dtype=np.int64)
        well_formed = np.flatnonzero(~is_malformed) if len(malformed_lines.lengths) else slice(None)
        lengths[well_formed] = self._lengths(fields)
        lengths[is_malformed] = malformed_lines.lengths
        stops = np.cumsum(lengths)
        size = int(stops[-1])
        buffer = np.empty(size + self._user_rows.width, dtype=np.uint8)
        self._write(buffer, fields, (stops - lengths)[well_formed], stops[well_formed])
        put_texts(buffer, (stops - lengths)[is_malformed], malformed_lines)
        return buffer[:size].data

    def fields(self, events: I64) -> pl.DataFrame:
        """Return the events as five columns of text, in quotes where CSV needs them."""
        fields = self._fields(events)
        time = [self._days.gather(fields.day), self._clock.gather(fields.clock), self._endings.gather(fields.ending)]
        id_bytes = pl.Series(fields.session_id.view(np.uint8)).reshape((len(events), ID_LENGTH))
        return pl.select(
            user_id=self._users.gather(fields.user),
            session_id=id_bytes.cast(pl.List(pl.UInt8)).cast(pl.Binary).cast(pl.String),
            platform=self._platforms.gather(fields.platform),
            activity_time=pl.concat_str(time),
            activity_type=self._activities.gather(fields.activity),
        )

    def _fields(self, events: I64) -> _Fields:
        details = self._timeline.details(events)
        sessions = sessions_of(self._timeline.sessions(events))
        identity = self._population.identify(sessions.numbers + self._first_session)
        local = self._timeline.seconds(events, sessions, details.pause) + self._shifts.take(details.time_spelling)
        day = local // 86_400
        return _Fields(
            user=identity.user.take(sessions.place),
            session_id=hexadecimal(identity.session_id).take(sessions.place),
            platform=identity.platform.take(sessions.place) * 256 + details.platform_spelling,
            day=day * 2 + self._spaced.take(details.time_spelling),
            clock=local - day * 86_400,
            ending=details.time_spelling,
            activity=details.activity,
        )

    def _lengths(self, fields: _Fields) -> I64:
        lengths = self._user_rows.lengths.take(fields.user)
        lengths += self._platform_rows.lengths.take(fields.platform)
        lengths += self._line_end_rows.lengths.take(fields.line_end)
        lengths += ID_LENGTH + _DAY + _CLOCK
        return lengths

    def _write(self, buffer: npt.NDArray[np.uint8], fields: _Fields, starts: I64, stops: I64) -> None:
        """Copy the parts of the lines to their places, each part of all lines in one step.

        Rows are longer than their texts. The parts are written in such an order that the excess bytes of a row only
        overwrite what is written later.
        """
        to_id = starts + self._user_rows.lengths.take(fields.user)
        to_platform = to_id + ID_LENGTH
        to_day = to_platform + self._platform_rows.lengths.take(fields.platform)
        to_clock = to_day + _DAY
        # The excess reaches forward, into following lines, whose user ids are written later in this step.
        windows(buffer, self._user_rows.width)[starts] = self._user_rows.rows.take(fields.user)
        # The excess reaches backward, at most into the id: there are more than 32 bytes from the id to the line's end.
        windows(buffer, _END_WIDTH)[stops - _END_WIDTH] = self._line_end_rows.rows.take(fields.line_end)
        # The excess reaches forward, at most to the end of the clock: ",iOS,", the day and the clock are 24 bytes.
        windows(buffer, _PLATFORM_WIDTH)[to_platform] = self._platform_rows.rows.take(fields.platform)
        windows(buffer, ID_LENGTH)[to_id] = fields.session_id
        # The excess reaches forward, into the clock. The id and the clock are as wide as their rows.
        windows(buffer, _DAY_WIDTH)[to_day] = self._day_rows.rows.take(fields.day)
        windows(buffer, _CLOCK)[to_clock] = self._clock_rows.rows.take(fields.clock)
