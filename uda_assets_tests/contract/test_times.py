"""Activity times, compared with Python's own parser of ISO 8601 and with tables of valid and invalid texts."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from uda_assets.contract.columns import COLUMNS
from uda_assets_tests.ingest import reference
from uda_assets_tests.ingest.fast import read_fast

FORM = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|z| UTC|[+-]\d\d(:?[0-5]\d)?)?", re.ASCII)
"""The accepted form. Python decides whether such a text is a time, except that it would also accept an offset of 60
minutes."""


def python_says(text: str) -> datetime | None:
    text = reference.trim(text)
    if not FORM.fullmatch(text) or text[11:13] == "24":
        return None
    text = re.sub(r"(\.\d{6})\d+", r"\1", text).replace(" UTC", "Z").upper()
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def parsed(*texts: str) -> list[datetime | None]:
    """The times of records with these texts, or None where the record is malformed."""
    lines = [f'u{i},s,web,"{text.replace(chr(34), 2 * chr(34))}",view\n' for i, text in enumerate(texts)]
    data = ",".join(COLUMNS) + "\n" + "".join(lines)
    rejection, kept, _ = read_fast(data.encode(), block_bytes=1 << 20)
    assert rejection is None
    times = {row[0]: row[3] for row in kept}
    return [cast("datetime | None", times.get(f"u{i}")) for i in range(len(texts))]


def digits(width: int, *, least: int = 0, most: int) -> st.SearchStrategy[str]:
    return st.integers(least, most).map(lambda number: f"{number:0{width}}")


# Values near the bounds of each part, on both sides of them.
YEARS = st.sampled_from(["0000", "0001", "0002", "1600", "1900", "1969", "1970", "2000", "2024", "9998", "9999"])
OFFSETS = st.one_of(
    st.sampled_from(["", "Z", "z", "+", "-", " ", "+0", "+000", "+00:0", "+00:", "ZZ", "+01:00:00", "UTC", " UTC"]),
    st.builds(
        lambda sign, hours, colon, minutes: sign + hours + colon + minutes,
        st.sampled_from("+-\u2212 "), digits(2, most=25), st.sampled_from(["", ":", "."]),
        st.one_of(st.just(""), digits(2, most=61)),
    ),
)  # fmt: skip
TEXTS = st.builds(
    lambda year, month, day, separator, hour, minute, second, fraction, offset: (
        f"{year}-{month}-{day}{separator}{hour}:{minute}{second}{fraction}{offset}"
    ),
    st.one_of(YEARS, digits(4, most=9999)), digits(2, most=13), digits(2, most=32), st.sampled_from("T   T_tt"),
    digits(2, most=25), digits(2, most=60), st.one_of(st.just(""), digits(2, most=60).map(":{}".format)),
    st.one_of(st.just(""), st.from_regex(r"[.,]?[0-9]{0,10}", fullmatch=True)), OFFSETS,
)  # fmt: skip
SOUND = st.builds(
    lambda moment, offset, separator, spell: spell(
        (moment + timedelta(minutes=offset)).replace(tzinfo=None).isoformat(separator), offset
    ),
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(-1439, 1439), st.sampled_from("Tt "),
    st.sampled_from([
        lambda text, minutes: f"{text}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}",
        lambda text, minutes: f"{text}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}",
        lambda text, minutes: f"{text}Z",
        lambda text, minutes: f"{text}z",
        lambda text, minutes: f"{text} UTC",
        lambda text, minutes: text,
    ]),
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Return a valid time in which one character is added, removed or replaced."""
    text: str = draw(SOUND)
    at = draw(st.integers(0, len(text)))
    put: str = draw(st.sampled_from(["", *"09-:.+T Z/;", "\0", "\u0661", "\uff10", "é"]))
    return text[:at] + put + text[at + draw(st.integers(0, 1)) :]


@given(texts=st.lists(st.one_of(SOUND, TEXTS, damaged(), st.text(max_size=40)), max_size=12))
@example(texts=["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59.999999-00:01", "0001-01-01T00:00:00-00:01"])
@settings(max_examples=300, deadline=None)
def test_each_text_is_read_as_python_reads_it(texts: list[str]) -> None:
    assert parsed(*texts) == [python_says(text) for text in texts]


@given(text=SOUND)
@settings(max_examples=150, deadline=None)
def test_every_spelling_of_a_sound_time_is_read(text: str) -> None:
    assert python_says(text) is not None
    assert parsed(text) == [python_says(text)]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-31T08:15:00Z", "2026-01-31 08:15:00"),
        ("2026-01-31 08:15:00", "2026-01-31 08:15:00"),
        ("2026-01-31T08:15:00.5", "2026-01-31 08:15:00.500000"),
        ("2026-01-31T08:15:00.000001Z", "2026-01-31 08:15:00.000001"),
        ("2026-01-31T08:15:00.123456+01:30", "2026-01-31 06:45:00.123456"),
        ("2026-01-01T00:15:00+0130", "2025-12-31 22:45:00"),
        ("2026-12-31T23:15:00-01", "2027-01-01 00:15:00"),
        ("2026-01-31T08:15", "2026-01-31 08:15:00"),
        ("2026-01-31 08:15-01:30", "2026-01-31 09:45:00"),
        ("2026-01-31t08:15:00z", "2026-01-31 08:15:00"),
        ("2026-01-31 08:15:00 UTC", "2026-01-31 08:15:00"),
        ("2026-01-31 08:15 UTC", "2026-01-31 08:15:00"),
        ("2026-01-31T08:15:00.1234567Z", "2026-01-31 08:15:00.123456"),
        ("2026-01-31T08:15:00.999999999", "2026-01-31 08:15:00.999999"),
        ("2024-02-29T00:00:00-00:00", "2024-02-29 00:00:00"),
        ("2000-02-29T00:00:00Z", "2000-02-29 00:00:00"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31 23:59:59.999999"),
        ("0001-01-01T00:00:00Z", "0001-01-01 00:00:00"),
        ("0001-01-01T23:59:00+23:59", "0001-01-01 00:00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31 23:59:59.999999"),
    ],
)
def test_times(text: str, utc: str) -> None:
    assert parsed(text) == [datetime.fromisoformat(utc).replace(tzinfo=UTC)]


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "now", "1767225600", "2026-01-31", "08:15:00", "31/01/2026 08:15:00", "Jan 31 2026 08:15:00",
        "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z", "2026-13-01T00:00:00Z", "0000-01-01T00:00:00Z",
        "2026-01-31T24:00:00Z", "2026-01-31T08:60:00Z", "2026-01-31T08:15:60Z", "2026-12-31T23:59:60Z",
        "2026-1-31T08:15:00Z", "2026-01-31T8:15:00Z", "20260131T081500Z",
        "2026-W05-6T08:15:00Z", "2026-031T08:15:00Z", "+2026-01-31T08:15:00Z", "12026-01-31T08:15:00Z",
        "2026-01-31  08:15:00", "2026-01-31_08:15:00",
        "2026-01-31T08:15:00.", "2026-01-31T08:15:00.Z", "2026-01-31T08:15:00,5Z", "2026-01-31T08:15:00.1234567890Z",
        "2026-01-31T08:15.5", "2026-01-31T08",
        "2026-01-31T08:15:00 Z", "2026-01-31T08:15:00 +01:00", "2026-01-31T08:15:00+1", "2026-01-31T08:15:00+1:00",
        "2026-01-31T08:15:00+24:00", "2026-01-31T08:15:00+01:60", "2026-01-31T08:15:00+010", "2026-01-31T08:15:00+01:",
        "2026-01-31T08:15:00Z+01:00", "2026-01-31T08:15:00+01:00Z", "2026-01-31T08:15:00\u221201:00",
        "2026-01-31T08:15:00[UTC]", "2026-01-31T08:15:00+01:00:00",
        "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "\uff12026-01-31T08:15:00Z",
        "２０２６-01-31T08:15:00Z", "2026-01-31T08:15:0\u0660", "2026-01-31T08:15:00Z\0", "2026-01-31T08:15:00Z\nX",
    ],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    assert parsed("2026-01-31T08:15:00Z", text, "2026-01-31 08:15:00.5+01") == [
        datetime(2026, 1, 31, 8, 15, tzinfo=UTC), None, datetime(2026, 1, 31, 7, 15, 0, 500_000, tzinfo=UTC),
    ]  # fmt: skip


@pytest.mark.parametrize(("first", "last"), [(1, 8), (1596, 1604), (1890, 2110), (9992, 9999)])
def test_every_day_of_the_calendar_is_read(first: int, last: int) -> None:
    days = [date(first, 1, 1) + timedelta(days) for days in range((date(last, 12, 31) - date(first, 1, 1)).days + 1)]
    times = parsed(*(f"{day.isoformat()}T12:00:00Z" for day in days))
    assert times == [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) for day in days]
