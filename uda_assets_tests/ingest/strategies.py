"""Hypothesis strategies for drops: valid ones, damaged ones and hostile ones, as bytes.

A record is drawn as a few indices into pools of values, so that a file of forty lines costs some hundred draws; index 0
is the plainest choice everywhere, so that counterexamples shrink towards plain records.
"""

from __future__ import annotations

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

LINE_ENDS = (b"\n", b"\r\n", b"\r")
BLANK_LINES = (b"", b" ", b"\t \x0b\x0c", "\u00a0\u3000".encode(), "\u0085\u2028".encode())
PADDING = ("", " ", "\t", "\u00a0", "\u0085 ", " \u2003\x0b")
SPACES = ("", " ", "   ")
NEEDS_QUOTES = frozenset('",\r\n')

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


class File(NamedTuple):
    """A valid file: what stands up to the end of the header's line, and the body's records and blank lines."""

    head: bytes
    body: list[bytes]


def _field(value: str, style: int, padding: tuple[str, ...]) -> str:
    """One field in one of many spellings, all of which mean the same; style 0 is the plainest."""
    style, quoted = divmod(style, 2)
    style, before = divmod(style, len(padding))
    style, after = divmod(style, len(padding))
    style, within = divmod(style, 3)
    if quoted or not NEEDS_QUOTES.isdisjoint(value):
        edge = ("", " ", "\n")[within]  # trimmed inside quotes too, line ends included
        value = '"' + edge + value.replace('"', '""') + edge + '"'
    return padding[before] + value + padding[after]


def _records(columns: int, padding: tuple[str, ...]) -> st.SearchStrategy[list[tuple[int, ...]]]:
    styles = 2 * len(padding) * len(padding) * 3
    style = st.one_of(st.just(0), st.integers(0, styles - 1))
    record = st.tuples(
        st.integers(0, len(USERS) * len(SESSIONS) - 1),
        st.integers(0, len(PLATFORMS) * len(TIMES) * len(TYPES) - 1),
        st.integers(0, len(NOTES) ** max(columns - len(REQUIRED), 0) - 1),
        st.integers(0, 6 * len(LINE_ENDS) - 1),
        style,
        style,
    )
    return st.lists(record, max_size=30)


@st.composite
def _files(draw: st.DrawFn, padding: tuple[str, ...]) -> File:
    extra = draw(st.sampled_from([(), ("note",), ("note", "Note"), ("", "a,b", "c\x1f")]))
    columns = draw(st.permutations(REQUIRED + extra)) if draw(st.booleans()) else [*REQUIRED, *extra]
    ends = draw(st.sampled_from([(b"\n",) * 3, (b"\r\n",) * 3, (b"\r",) * 3, LINE_ENDS]))
    upper, header_style, header_end, bom, blank = draw(
        st.tuples(st.booleans(), st.integers(0, 11), st.integers(0, 2), st.booleans(), st.integers(0, 9))
    )

    names = [name.upper() if upper else name for name in columns]
    header = ",".join(_field(name, header_style % (2 * len(padding)), padding) for name in names)
    head = b"\xef\xbb\xbf" if bom else b""
    if blank < len(BLANK_LINES):
        head += BLANK_LINES[-1 - blank] + ends[0]
    head += header.encode() + ends[header_end]

    body = []
    for ids, what, note, layout, first_style, second_style in draw(_records(len(columns), padding)):
        user, session = divmod(ids, len(SESSIONS))
        what, platform = divmod(what, len(PLATFORMS))
        kind, time = divmod(what, len(TIMES))
        values = {
            "user_id": USERS[user],
            "session_id": SESSIONS[session],
            "platform": PLATFORMS[platform],
            "activity_time": TIMES[time],
            "activity_type": TYPES[kind],
        }
        fields = []
        for position, column in enumerate(columns):
            if column in values:
                value = values[column]
            else:
                note, index = divmod(note, len(NOTES))
                value = NOTES[index]
            fields.append(_field(value, second_style if position % 2 else first_style, padding))
        blank_line, end = divmod(layout, len(LINE_ENDS))
        if blank_line:  # one in six is none, so that blank lines abound
            pass
        body.append(",".join(fields).encode() + ends[end])
    return File(head, body)
