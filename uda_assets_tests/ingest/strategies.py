"""Hypothesis strategies for drops: valid ones, damaged ones and hostile ones, as bytes.

Each draw costs hypothesis some 50 microseconds, so a record is three numbers that choose from pools. 0 is the plainest
choice everywhere, so that counterexamples shrink towards plain records.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

REQUIRED = ("user_id", "session_id", "platform", "activity_time", "activity_type")

USERS = (
    "u1",
    "u2",
    "Zo\u00eb",
    "a,b",
    'say "hi"',
    "\u674e",
    "u 1",
    "-",
    "\u200b",
    "\ufeffu",
    "\U0001d518",
    '"',
    ",",
    "'",
)
SESSIONS = ("s1", "s2", "\u00e9" * 40, "s,\u2028", "0", '""')
PLATFORMS = ("ios", "android", "web", "iOS", "Android", "Web", "WEB", "\uff49\uff2f\uff33", "\u24e6eb", "io\u017f")
TIMES = (
    "2026-01-31T08:15:00Z",
    "2026-01-31 08:15:00",
    "2026-01-31T08:15:00",
    "2024-02-29T23:59:59.5Z",
    "2026-01-31 00:00:00.123456+01:30",
    "2026-12-31T23:59:59.000001-23:59",
    "2000-02-29 12:00:00+05",
    "1969-12-31T23:59:59.999-0330",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
)
TYPES = ("view", "click", "a, b", 'the "end"', "\u8cfc\u5165", "x" * 60)
NOTES = ("", "x", "a,b", "a\nb", 'q"q', "a\r\nb", "\r", "\0\x1b", "\t", "\u0085", "\n\n", ',"\n",', "\u00a0")

BOM = b"\xef\xbb\xbf"
LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
DELIMITER = re.compile(rb"[,\r\n]")
LINE_ENDS = (b"\n", b"\r\n", b"\r")
BLANK_LINES = (b"", b" ", b"\t \x0b\x0c", "\u00a0\u3000".encode(), "\u0085\u2028".encode())
PADDING = ("", " ", "\t", "\u00a0", "\u0085 ", " \u2003\x0b")
SPACES = ("", " ", "   ")
NEEDS_QUOTES = frozenset('",\r\n')

FAULTS = (
    ("user_id", ""),
    ("session_id", "\u3000"),
    ("platform", " "),
    ("platform", "tv"),
    ("platform", "\u0130OS"),
    ("activity_time", "\t"),
    ("activity_time", "2026-02-29T00:00:00Z"),
    ("activity_time", "2026-01-31T24:00:00Z"),
    ("activity_time", "0001-01-01T00:00:00+01:00"),
    ("activity_time", "2026-01-31T08:15:00.1234567Z"),
    ("activity_type", ""),
    ("user_id", "u\x001"),
    ("session_id", "s\n1"),
    ("platform", "w\u0085eb"),
)
"""Values for which a record of sound structure is quarantined."""

INTERESTING = (
    b'"',
    b",",
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b"\t",
    b"\0",
    b"\x1f",
    b"\x7f",
    b'""',
    b'",',
    b',"',
    b'"\n',
    b'\n"',
    b"\x85",
    b"\xc2\x85",
    b"\xc2\xa0",
    b"\xe2\x80\xa8",
    b"\xff",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xef",
    b"a",
    b"1",
    b"\n\n",
    b",,,,\n",
)
"""What a mutation inserts."""

VALUES = (
    b"",
    b" \t",
    b'""',
    b'"\n"',
    b'"a\nb"',
    b'"a',
    b"tv",
    b"web",
    b"2026-02-29T00:00:00Z",
    b"2026-01-31T24:00:00Z",
    b"0001-01-01T00:00:00+01:00",
    b"now",
    b"u\x001",
    b"\xff",
)
"""What a mutation puts in the place of a field."""

HOSTILE = (
    b"a",
    b",",
    b'"',
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b'""',
    b"\t",
    b"\xc2\xa0",
    b"\xff",
    b"\0",
    b",,,,",
    b"u,s,ios,2026-01-31T08:15:00Z,v",
    b'"u",s, "web" ,2026-01-31 08:15:00+01:00,"v"',
    b"\nu,s,web,2026-01-31T08:15:00Z,v\n",
    b"\nu,s,web,2026-01-31T08:15:00Z,v,x\n",
    b'\rn,u,s,"web",2026-01-31T08:15:00Z,v\r',
    b'\n"u\n",s,web,2026-01-31T08:15:00Z,v\n',
    b'\n"u\r1",s,web,2026-01-31T08:15:00Z,v\n',
    b'\nu,s,ios,2026-01-31T08:15:00Z,v,"',
)
HOSTILE_HEADERS = (
    b"user_id,session_id,platform,activity_time,activity_type",
    b"user_id,session_id,platform,activity_time,activity_type,note",
    b"note,user_id,session_id,platform,activity_time,activity_type",
)


class File(NamedTuple):
    """A valid file in two parts: up to and with the header's line end, and the rest."""

    head: bytes
    body: bytes


STYLES = 2 * len(PADDING) * len(PADDING) * 3
_ROWS = st.lists(
    st.tuples(
        st.integers(0, len(USERS) * len(SESSIONS) * len(PLATFORMS) * len(TIMES) * len(TYPES) - 1),
        st.integers(0, 20 * len(LINE_ENDS) * 4 * len(FAULTS) * len(NOTES) ** 3 - 1),
        st.integers(0, 2 * STYLES * STYLES - 1),
    ),
    max_size=20,
)
"""Records, each as three numbers that _record takes apart: the values; line end, fault and notes; the spelling."""

_HEADS = st.tuples(
    st.sampled_from([(), ("note",), ("note", "Note"), ("", "a,b", "c\x1f")]),
    st.integers(0, 2 * math.factorial(8) - 1),
    st.sampled_from([(b"\n",) * 3, (b"\r\n",) * 3, (b"\r",) * 3, LINE_ENDS]),
    st.integers(0, 2 * 12 * 10 * 4 - 1),
)
_MUTATIONS = st.tuples(st.integers(0, 39), st.integers(0, 9999), st.integers(0, 999))


def _permutation(items: Sequence[str], number: int) -> list[str]:
    """The items in one of their orders; number 0 leaves them as they are."""
    left = list(items)
    order = []
    while left:
        number, index = divmod(number, len(left))
        order.append(left.pop(index))
    return order


def _field(value: str, style: int, padding: tuple[str, ...]) -> str:
    """One field in one of many spellings that mean the same; style 0 is the plainest, below 12 none has a line end."""
    style, quoted = divmod(style, 2)
    style, before = divmod(style, len(padding))
    style, after = divmod(style, len(padding))
    within = ("", " ", "\n")[style % 3]  # trimmed inside quotes too, line ends included
    if quoted or not NEEDS_QUOTES.isdisjoint(value):
        value = '"' + within + value.replace('"', '""') + within + '"'
    return padding[before] + value + padding[after]


def _record(
    row: tuple[int, int, int], columns: Sequence[str], ends: Sequence[bytes], padding: tuple[str, ...], faulty: bool
) -> bytes:
    """The bytes of one record and its line end, now and then with a blank line before it."""
    rest, platform = divmod(row[0], len(PLATFORMS))
    rest, user = divmod(rest, len(USERS))
    rest, session = divmod(rest, len(SESSIONS))
    kind, time = divmod(rest, len(TIMES))
    rest, end = divmod(row[1], len(LINE_ENDS))
    rest, blank = divmod(rest, 20)
    notes, fault = divmod(rest, 4 * len(FAULTS))
    styles = divmod(max(0, row[2] - STYLES * STYLES), STYLES)  # every other record is plain

    values = {
        "user_id": USERS[user],
        "session_id": SESSIONS[session],
        "platform": PLATFORMS[platform],
        "activity_time": TIMES[time],
        "activity_type": TYPES[kind],
    }
    if faulty and fault >= 3 * len(FAULTS):
        column, value = FAULTS[fault - 3 * len(FAULTS)]
        values[column] = value
    fields = []
    for position, column in enumerate(columns):
        if column in values:
            value = values[column]
        else:
            notes, note = divmod(notes, len(NOTES))
            value = NOTES[note]
        fields.append(_field(value, styles[position % 2], padding))
    before = BLANK_LINES[blank - 15] + ends[end] if blank >= 15 else b""
    return before + ",".join(fields).encode() + ends[end]


@st.composite
def _files(draw: st.DrawFn, padding: tuple[str, ...], faulty: bool) -> File:
    extra, order, ends, rest = draw(_HEADS)
    rest, upper = divmod(rest, 2)
    rest, header_style = divmod(rest, 12)
    rest, blank = divmod(rest, 10)
    bom, unended = divmod(rest, 2)
    columns = _permutation([*REQUIRED, *extra], max(0, order - math.factorial(8)))
    names = [_field(name.upper() if upper else name, header_style, padding) for name in columns]
    before = BLANK_LINES[blank - 5] + ends[0] if blank >= 5 else b""
    head = (BOM if bom else b"") + before + ",".join(names).encode() + ends[1]
    body = b"".join(_record(row, columns, ends, padding, faulty) for row in draw(_ROWS))
    if unended:
        body = body.removesuffix(b"\n").removesuffix(b"\r")
    return File(head, body)


def valid_files(padding: tuple[str, ...] = PADDING) -> st.SearchStrategy[bytes]:
    """Files of which every record is kept, in many spellings; `padding` is what may stand around a field."""
    return _files(padding, faulty=False).map(b"".join)


def mutate(data: bytes, how: int, where: int, what: int) -> bytes:
    """One change; numbers are taken modulo what there is."""
    length, kind = divmod(how, 10)
    length += 1
    start = where % (len(data) + 1)
    text = INTERESTING[what % len(INTERESTING)]
    if kind < 2:  # insert
        return data[:start] + text + data[start:]
    if kind < 3:  # delete
        return data[:start] + data[start + length :]
    if kind < 4:  # replace
        return data[:start] + text + data[start + length :]
    if kind < 5:  # another value in the place of a field
        first = max(data.rfind(delimiter, 0, start) for delimiter in (b",", b"\n", b"\r")) + 1
        last = DELIMITER.search(data, start)
        return data[:first] + VALUES[what % len(VALUES)] + (data[last.start() :] if last else b"")

    lines = LINE.findall(data)
    if not lines:
        return data
    line = where % len(lines)
    other = what % len(lines)
    if kind < 6:  # duplicate
        lines[line:line] = lines[other : other + length]
    elif kind < 7:  # delete
        del lines[line : line + length]
    elif kind < 8:  # truncate, line end and all
        lines[line] = lines[line][: what % len(lines[line])]
    else:  # swap two slices of the bytes
        first, second = sorted((start, what % (len(data) + 1)))
        middle = min(first + length, second)
        end = second + length
        return data[:first] + data[second:end] + data[middle:second] + data[first:middle] + data[end:]
    return b"".join(lines)


@st.composite
def mutated_files(draw: st.DrawFn) -> bytes:
    """Files with some faulty values and up to six changes, nearly always below the header."""
    head, body = draw(_files(PADDING, faulty=True))
    for mutation in draw(st.lists(_MUTATIONS, max_size=6)):
        body = mutate(body, *mutation)
    if draw(st.integers(0, 19)) == 19:
        head = mutate(head, *draw(_MUTATIONS))
    return head + body


_HOSTILE = st.tuples(
    st.sampled_from(HOSTILE_HEADERS),
    st.sampled_from(LINE_ENDS),
    st.lists(st.sampled_from(HOSTILE), max_size=60).map(b"".join),
)


def hostile_files() -> st.SearchStrategy[bytes]:
    """A valid header and below it a jumble of delimiters, line ends, odd bytes and whole records."""
    return _HOSTILE.map(b"".join)
