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
from zoneinfo import ZoneInfo

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


# --- Dialects ---------------------------------------------------------------------------------------------------------


class Dialect(NamedTuple):
    """How a drop is written; the names are those of suppliers.toml."""

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    trailing_delimiter: bool = False
    null: tuple[str, ...] = ()
    skip_lines: int = 0
    header: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    constants: Mapping[str, str] = MappingProxyType({})
    formats: tuple[str, ...] = ("iso",)
    timezone: str = "UTC"


PLAIN = Dialect()


# --- The syntax of one record -----------------------------------------------------------------------------------------


class Field(NamedTuple):
    """One field, untrimmed and with its quotes and escapes resolved.

    `written` is what stands between its quotes, or all of it; `end` is the offset of what ends the field.
    """

    value: str
    written: str
    end: int
    fault: str | None


class Record(NamedTuple):
    """One record; `end` is the offset of its line end, or of the end of the text."""

    fields: list[Field]
    end: int
    faults: set[str]

    @property
    def values(self) -> list[str]:
        return [field.value for field in self.fields]


def escaped(text: str, position: int, dialect: Dialect) -> str:
    """The character after an escape, which it makes literal; nothing where there is no escape, or nothing after it."""
    if not dialect.escape or not text.startswith(dialect.escape, position):
        return ""
    return "\r\n" if text.startswith("\r\n", position + 1) else text[position + 1 : position + 2]


def scan_bare(text: str, position: int, dialect: Dialect) -> tuple[str, int, bool]:
    """The text up to the next delimiter or line end, where that is, and whether a quote stands in it."""
    value, has_quote = "", False
    while position < len(text):
        literal = escaped(text, position, dialect)
        if not literal and text[position] in f"{dialect.delimiter}\r\n":
            break
        has_quote = has_quote or (not literal and text[position] == dialect.quote)
        value += literal or text[position]
        position += 1 + len(literal)
    return value, position, has_quote


def scan_field(text: str, start: int, dialect: Dialect = PLAIN) -> Field:
    first = start
    while first < len(text) and text[first] in WHITE_SPACE and text[first] not in f"{dialect.delimiter}\r\n":
        first += 1
    if not dialect.quote or not text.startswith(dialect.quote, first):
        value, end, has_quote = scan_bare(text, start, dialect)
        return Field(value, text[start:end], end, "bad_quote" if has_quote else None)

    value = ""
    position = first + 1
    while not text.startswith(dialect.quote, position) or text.startswith(2 * dialect.quote, position):
        if position >= len(text):
            return Field(value, text[first + 1 :], len(text), "unterminated_quote")
        literal = escaped(text, position, dialect)
        if not literal and text[position] == dialect.quote:
            literal = dialect.quote  # doubled
        value += literal or text[position]
        position += 1 + len(literal)
    _, end, _ = scan_bare(text, position + 1, dialect)
    beside = text[position + 1 : end]
    return Field(value, text[first + 1 : position], end, None if is_blank(beside) else "bad_quote")


def scan_record(text: str, start: int, dialect: Dialect = PLAIN) -> Record:
    fields = []
    faults = set()
    while True:
        field = scan_field(text, start, dialect)
        fields.append(field)
        if field.fault:
            faults.add(field.fault)
        if not text.startswith(dialect.delimiter, field.end):
            is_spare = len(fields) > 1 and is_blank(text[start : field.end])
            return Record(fields, field.end, faults | ({"spare"} if is_spare else set()))
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


def parse_time(value: str, dialect: Dialect = PLAIN) -> datetime | None:
    """The moment in UTC in the first format that fits, or None where none does."""
    zone = ZoneInfo(dialect.timezone)
    for form in dialect.formats:
        if form == "iso":
            moment = parse_iso(value, zone)
        elif form.startswith("epoch"):
            moment = parse_epoch(value, {"epoch_s": 1, "epoch_ms": 1000, "epoch_us": 1_000_000}[form])
        else:
            try:
                moment = in_utc(datetime.strptime(value, form), zone)
            except (ValueError, OverflowError):
                moment = None
        if moment:
            return moment
    return None


def in_utc(time: datetime, zone: ZoneInfo) -> datetime | None:
    """The moment, of a time without an offset in a zone; None where the zone skips it."""
    if time.tzinfo:
        return time.astimezone(UTC)
    moment = time.replace(tzinfo=zone).astimezone(UTC)
    return moment if moment.astimezone(zone).replace(tzinfo=None) == time else None


def parse_epoch(value: str, per_second: int) -> datetime | None:
    match = re.fullmatch(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,9}))?", value)
    if match is None:
        return None
    part = int((match[3] or "").ljust(6, "0")[:6])
    micros = int(match[2]) * (1_000_000 // per_second) + part // per_second
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=-micros if match[1] else micros)
    except OverflowError:
        return None


def parse_iso(value: str, zone: ZoneInfo) -> datetime | None:
    """The moment in UTC, or None where the value is no time of the accepted form or leaves the years 1 to 9999."""
    match = TIME.fullmatch(value)
    if match is None:
        return None
    offset_hours = int(match["offset_hours"] or 0)
    offset_minutes = int(match["offset_minutes"] or 0)
    if offset_hours > 23 or offset_minutes > 59:
        return None
    offset = timedelta(hours=offset_hours, minutes=offset_minutes)
    has_offset = value[-1] in "Zz" or value.endswith(" UTC") or match["sign"]
    try:
        local = datetime(
            year=int(match["year"]),
            month=int(match["month"]),
            day=int(match["day"]),
            hour=int(match["hour"]),
            minute=int(match["minute"]),
            second=int(match["second"] or 0),
            microsecond=int((match["fraction"] or "").ljust(6, "0")[:6]),
            tzinfo=timezone(-offset if match["sign"] == "-" else offset) if has_offset else None,
        )
        return in_utc(local, zone)
    except (ValueError, OverflowError):  # no such date or time of day; beyond the years 1 to 9999 once in UTC
        return None


# --- The reasons, in their order of precedence ------------------------------------------------------------------------


def structural_reason(extent: str, record: Record, header: list[str], dialect: Dialect = PLAIN) -> str | None:
    if not is_utf8(extent):
        return "encoding"
    if "unterminated_quote" in record.faults:
        return "unterminated_quote"
    if "bad_quote" in record.faults:
        return "bad_quote"
    if len(record.values) < len(header):
        return "too_few_fields"
    spare = dialect.trailing_delimiter and len(record.values) == len(header) + 1 and "spare" in record.faults
    if len(record.values) > len(header) and not spare:
        return "too_many_fields"
    if any(has_control_character(value) for value in required_values(record, header, dialect).values()):
        return "control_character"
    return None


def required_values(record: Record, header: list[str], dialect: Dialect = PLAIN) -> dict[str, str]:
    return {column: required_value(record, header, column, dialect) for column in COLUMNS}


def required_value(record: Record, header: list[str], column: str, dialect: Dialect) -> str:
    """The value of a column of the contract: of one of theirs, of several joined by slashes, or a constant."""
    names = [trim(name).casefold() for name in dialect.columns.get(column, (column,))]
    if column in dialect.constants and not all(name in header for name in names):
        return dialect.constants[column]
    fields = [record.fields[header.index(name)] for name in names]
    values = ["" if trim(field.written) in dialect.null else trim(field.value) for field in fields]
    return "/".join(values) if all(values) else ""


def judge(
    line: int, values: dict[str, str], aliases: Mapping[str, str], keep_unknown: bool, dialect: Dialect = PLAIN
) -> Kept | str:
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
    time = parse_time(values["activity_time"], dialect)
    if time is None:
        return "bad_activity_time"
    if not values["activity_type"]:
        return "missing_activity_type"
    platform = aliases.get(spelling, spelling)
    return Kept(line, values["user_id"], values["session_id"], platform, time, values["activity_type"])


# --- The header and the file ------------------------------------------------------------------------------------------


def read_header(line: str, dialect: Dialect = PLAIN) -> tuple[list[str], str | None]:
    """The names of the columns, and the rejection if the drop cannot be read. The header is one physical line alone."""
    record = scan_record(line, 0, dialect)
    names = [trim(value).casefold() for value in record.values]
    if dialect.trailing_delimiter and len(names) > 1 and not names[-1]:
        names.pop()
    if not is_utf8(line) or "\0" in line or record.faults - {"spare"}:
        return names, "header_unreadable"
    return names, header_fault(names, dialect)


def header_fault(names: list[str], dialect: Dialect) -> str | None:
    wanted = [
        [trim(name).casefold() for name in dialect.columns.get(column, (column,))]
        for column in COLUMNS
        if column not in dialect.constants
    ]
    if any(name not in names for column in wanted for name in column):
        return "missing_column"
    if any(names.count(name) > 1 for column in wanted for name in column):
        return "duplicate_column"
    return None


def read(
    data: bytes, aliases: Mapping[str, str] = DEFAULT, keep_unknown: bool = False, dialect: Dialect = PLAIN
) -> Reading:
    """Read a drop.

    Args:
        data: The file's bytes, decompressed, in UTF-8.
        aliases: Normalised spelling of a platform to its canonical name.
        keep_unknown: Keep a record of an unknown platform, under the normalised spelling.
        dialect: How the drop is written.

    Returns:
        The records kept and the records quarantined, in the order of the file, or the rejection of the whole drop.
    """
    text = data.removeprefix(BOM).decode("utf-8", "surrogateescape")
    lines = [line for line in physical_lines(text)[dialect.skip_lines :] if not is_blank(line.text)]
    if dialect.header:
        header: list[str] = [trim(name).casefold() for name in dialect.header]
        rejection = header_fault(header, dialect)
    elif not lines:
        return Reading("empty", [], [])
    else:
        header, rejection = read_header(lines.pop(0).text, dialect)
    if rejection:
        return Reading(rejection, [], [])

    kept = []
    quarantined = []
    resume = 0  # lines that start before this offset belong to the record read last
    for line in lines:
        if line.start < resume:
            continue
        record = scan_record(text, line.start, dialect)
        extent = text[line.start : record.end]
        reason = structural_reason(extent, record, header, dialect)
        if reason:
            quarantined.append(Quarantined(line.number, reason, printable(line.text)))
            continue
        resume = record.end
        verdict = judge(line.number, required_values(record, header, dialect), aliases, keep_unknown, dialect)
        if isinstance(verdict, Kept):
            kept.append(verdict)
        else:
            quarantined.append(Quarantined(line.number, verdict, extent))
    return Reading(None, kept, quarantined)
