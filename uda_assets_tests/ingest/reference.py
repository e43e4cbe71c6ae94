"""The reference reader: what a drop means, written to be checked against the rules by reading it.

It is slow and plain, uses the standard library alone and shares no code with the package. Where the fast reader and
this one disagree, this one is right. It reads from top to bottom: text and physical lines, the syntax of a record, the
value of a field, the reasons in their order of precedence, the header, and last the file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

COLUMNS = ("user_id", "session_id", "platform", "activity_time", "activity_type")

DEFAULT: Mapping[str, str] = MappingProxyType({"ios": "iOS", "android": "Android", "web": "Web"})
"""Normalised spelling of a platform to its canonical name."""

STRUCTURAL = frozenset(
    {"encoding", "unterminated_quote", "bad_quote", "too_few_fields", "too_many_fields", "control_character"}
)
"""Reasons for which only the first physical line is quarantined, and reading resumes on the next."""


class Kept(NamedTuple):
    line: int
    user_id: str
    session_id: str
    platform: str
    activity_time: datetime
    activity_type: str


class Quarantined(NamedTuple):
    line: int
    reason: str
    raw: str


class Reading(NamedTuple):
    """What a drop holds; a rejected drop holds no records."""

    rejection: str | None
    kept: list[Kept]
    quarantined: list[Quarantined]

    @property
    def records(self) -> int:
        return len(self.kept) + len(self.quarantined)


# --- Text and physical lines ------------------------------------------------------------------------------------------

BOM = b"\xef\xbb\xbf"

# Unicode's White_Space property. str.strip() without an argument would strip U+001C to U+001F too.
WHITE_SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


def trim(text: str) -> str:
    return text.strip(WHITE_SPACE)


def is_blank(text: str) -> bool:
    return trim(text) == ""


class Line(NamedTuple):
    """One physical line, without its end; `start` is its offset in the text of the file."""

    number: int
    start: int
    text: str


def physical_lines(text: str) -> list[Line]:
    """Lines end at LF, CRLF or CR, whether a quote is open there or not. Nothing after the last end is no line."""
    ended = re.finditer(r"([^\r\n]*)(?:\r\n|\n|\r)|([^\r\n]+)\Z", text)
    return [Line(number, match.start(), match[1] or match[2] or "") for number, match in enumerate(ended, start=1)]


def is_utf8(text: str) -> bool:
    """Whether the bytes of the text were UTF-8: those that were not have been decoded to lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def printable(text: str) -> str:
    """The text with each byte that was not UTF-8 written as a backslash, x and two hexadecimal digits."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


# --- The syntax of one record -----------------------------------------------------------------------------------------


class Field(NamedTuple):
    """One field, untrimmed and with its quotes resolved; `end` is the offset of the comma or line end after it."""

    value: str
    end: int
    fault: str | None


class Record(NamedTuple):
    """One record; `end` is the offset of its line end, or of the end of the text."""

    values: list[str]
    end: int
    faults: set[str]


def next_delimiter(text: str, position: int) -> int:
    """The offset of the next comma or line end, or of the end of the text."""
    while position < len(text) and text[position] not in ",\r\n":
        position += 1
    return position


def scan_field(text: str, start: int) -> Field:
    first = start
    while first < len(text) and text[first] in WHITE_SPACE and text[first] not in "\r\n":
        first += 1
    if not text.startswith('"', first):
        end = next_delimiter(text, start)
        bare = text[start:end]
        return Field(bare, end, "bad_quote" if '"' in bare else None)

    value = ""
    position = first + 1
    while True:
        quote = text.find('"', position)
        if quote == -1:
            return Field(value + text[position:], len(text), "unterminated_quote")
        value += text[position:quote]
        if not text.startswith('""', quote):
            break
        value += '"'
        position = quote + 2
    end = next_delimiter(text, quote + 1)
    beside = text[quote + 1 : end]
    return Field(value, end, None if is_blank(beside) else "bad_quote")


def scan_record(text: str, start: int) -> Record:
    values = []
    faults = set()
    while True:
        field = scan_field(text, start)
        values.append(field.value)
        if field.fault:
            faults.add(field.fault)
        if not text.startswith(",", field.end):
            return Record(values, field.end, faults)
        start = field.end + 1


# --- The value of one field -------------------------------------------------------------------------------------------


def normalise(platform: str) -> str:
    """NFKC, trimmed and casefolded, again and again until nothing changes any more."""
    once = trim(unicodedata.normalize("NFKC", platform)).casefold()
    return once if once == platform else normalise(once)


def fits(platform: str) -> bool:
    """Whether a directory called platform=… can exist: names have at most 255 bytes."""
    return len("platform=" + quote(platform, safe=" ")) <= 255


def has_control_character(value: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in value)


TIME = re.compile(
    r"""
    (?P<year>[0-9]{4}) - (?P<month>[0-9]{2}) - (?P<day>[0-9]{2})
    [Tt\ ]
    (?P<hour>[0-9]{2}) : (?P<minute>[0-9]{2})
    (?: : (?P<second>[0-9]{2}) (?: \. (?P<fraction>[0-9]{1,9}) )? )?
    (?: Z | z | \ UTC | (?P<sign>[+-]) (?P<offset_hours>[0-9]{2}) (?: :? (?P<offset_minutes>[0-9]{2}) )? )?
    """,
    re.VERBOSE,
)


def parse_time(value: str) -> datetime | None:
    """The moment in UTC, or None where the value is no time of the accepted form or leaves the years 1 to 9999."""
    match = TIME.fullmatch(value)
    if match is None:
        return None
    offset_hours = int(match["offset_hours"] or 0)
    offset_minutes = int(match["offset_minutes"] or 0)
    if offset_hours > 23 or offset_minutes > 59:
        return None
    offset = timedelta(hours=offset_hours, minutes=offset_minutes)
    try:
        return datetime(
            year=int(match["year"]),
            month=int(match["month"]),
            day=int(match["day"]),
            hour=int(match["hour"]),
            minute=int(match["minute"]),
            second=int(match["second"] or 0),
            microsecond=int((match["fraction"] or "").ljust(6, "0")[:6]),
            tzinfo=timezone(-offset if match["sign"] == "-" else offset),
        ).astimezone(UTC)
    except (ValueError, OverflowError):  # no such date or time of day; beyond the years 1 to 9999 once in UTC
        return None


# --- The reasons, in their order of precedence ------------------------------------------------------------------------


def structural_reason(extent: str, record: Record, header: list[str]) -> str | None:
    if not is_utf8(extent):
        return "encoding"
    if "unterminated_quote" in record.faults:
        return "unterminated_quote"
    if "bad_quote" in record.faults:
        return "bad_quote"
    if len(record.values) < len(header):
        return "too_few_fields"
    if len(record.values) > len(header):
        return "too_many_fields"
    if any(has_control_character(value) for value in required_values(record, header).values()):
        return "control_character"
    return None


def required_values(record: Record, header: list[str]) -> dict[str, str]:
    return {column: trim(record.values[header.index(column)]) for column in COLUMNS}


def judge(line: int, values: dict[str, str], aliases: Mapping[str, str], keep_unknown: bool) -> Kept | str:
    """The record with its platform and time resolved, or the reason why it is not kept."""
    if not values["user_id"]:
        return "missing_user_id"
    if not values["session_id"]:
        return "missing_session_id"
    if not values["platform"]:
        return "missing_platform"
    spelling = normalise(values["platform"])
    if spelling not in aliases and not (keep_unknown and fits(spelling)):
        return "unknown_platform"
    if not values["activity_time"]:
        return "missing_activity_time"
    time = parse_time(values["activity_time"])
    if time is None:
        return "bad_activity_time"
    if not values["activity_type"]:
        return "missing_activity_type"
    platform = aliases.get(spelling, spelling)
    return Kept(line, values["user_id"], values["session_id"], platform, time, values["activity_type"])


# --- The header and the file ------------------------------------------------------------------------------------------


def read_header(line: str) -> tuple[list[str], str | None]:
    """The names of the columns, and the rejection if the drop cannot be read. The header is one physical line alone."""
    record = scan_record(line, 0)
    names = [trim(value).casefold() for value in record.values]
    if not is_utf8(line) or "\0" in line or record.faults:
        return names, "header_unreadable"
    if any(names.count(column) == 0 for column in COLUMNS):
        return names, "missing_column"
    if any(names.count(column) > 1 for column in COLUMNS):
        return names, "duplicate_column"
    return names, None


def read(data: bytes, aliases: Mapping[str, str] = DEFAULT, keep_unknown: bool = False) -> Reading:
    """Read a drop.

    Args:
        data: The file's bytes, decompressed.
        aliases: Normalised spelling of a platform to its canonical name.
        keep_unknown: Keep a record of an unknown platform, under the normalised spelling.

    Returns:
        The records kept and the records quarantined, in the order of the file, or the rejection of the whole drop.
    """
    text = data.removeprefix(BOM).decode("utf-8", "surrogateescape")
    lines = [line for line in physical_lines(text) if not is_blank(line.text)]
    if not lines:
        return Reading("empty", [], [])
    header, rejection = read_header(lines[0].text)
    if rejection:
        return Reading(rejection, [], [])

    kept = []
    quarantined = []
    resume = 0  # lines that start before this offset belong to the record read last
    for line in lines[1:]:
        if line.start < resume:
            continue
        record = scan_record(text, line.start)
        extent = text[line.start : record.end]
        reason = structural_reason(extent, record, header)
        if reason:
            quarantined.append(Quarantined(line.number, reason, printable(line.text)))
            continue
        resume = record.end
        verdict = judge(line.number, required_values(record, header), aliases, keep_unknown)
        if isinstance(verdict, Kept):
            kept.append(verdict)
        else:
            quarantined.append(Quarantined(line.number, verdict, extent))
    return Reading(None, kept, quarantined)
