"""Proposing an entry of ``suppliers.toml`` for a file, and trying it.

DuckDB's sniffer and Python's decoders say how the text is split. What the contract knows says what the columns are:
which one looks like times, which like platforms, which like ids. Nothing is decided here: a person reads the proposal.
"""

from __future__ import annotations

import codecs
import json
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from uda_assets.basics.errors import UdaError
from uda_assets.basics.limits import block_bytes
from uda_assets.basics.settings import Settings
from uda_assets.contract.columns import COLUMNS, WHITE_SPACE, comparable
from uda_assets.contract.dialects import CSV, EPOCHS, ISO, Dialect, usual_delimiter
from uda_assets.contract.platforms import Platforms, normalise_platform
from uda_assets.contract.suppliers import entries_of
from uda_assets.ingest import PlatformNames, Wanted, bounds_of, open_source, read_batches
from uda_assets.kernel import Columns, Kernel

_LOOKED_AT = 1 << 20
_ROWS = 1_000
_DELIMITERS = (",", ";", "\t", "|", "^", "~")
_PATTERNS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M:%S,%f", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y%m%d%H%M%S", "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%m/%d/%Y", "%d-%b-%Y %H:%M:%S",
    "%b %d, %Y %H:%M:%S",
    "%b %d, %Y %I:%M:%S %p", "%a, %d %b %Y %H:%M:%S %z",
)  # fmt: skip
_NULLS = ("NULL", "null", "\\N", "None", "NaN", "nan", "(not set)", "undefined", "N/A")
_PLATFORM_HINTS = {
    "iOS": ("ios", "iphone", "ipad", "ipod"), "Android": ("android",), "Web": ("web", "browser", "desktop web", "mweb"),
}  # fmt: skip
_NAMES = {
    "user_id": ("user_id", "userid", "user", "distinct_id", "user_pseudo_id", "visitor", "visitor_id", "customer_id",
                "account_id", "uid", "member_id", "anonymous_id", "client_id"),
    "session_id": ("session_id", "sessionid", "session", "ga_session_id", "visit_id", "visit", "sid", "$session_id"),
    "platform": ("platform", "os", "os_name", "device_os", "device_platform", "client", "source", "app_platform"),
    "activity_time": ("activity_time", "event_time", "time", "timestamp", "ts", "event_timestamp", "created_at", "date",
                      "datetime", "occurred_at", "sent_at", "event_date"),
    "activity_type": ("activity_type", "event", "event_type", "event_name", "action", "type", "activity", "name"),
}  # fmt: skip
"""What others call the contract's columns, the likeliest names first."""


_CONSTANTS = {"platform": "Web", "activity_type": "event"}
"""For columns that a supplier may not have."""


class Proposal(NamedTuple):
    """A proposed entry.

    Attributes:
        entry: It, as the keys of ``suppliers.toml``.
        grounds: What it rests on, a sentence each.
        open_questions: What could not be found out.
    """

    entry: dict[str, Any]
    grounds: list[str]
    open_questions: list[str]

    @property
    def text(self) -> str:
        """The entry as TOML."""
        plain = {key: value for key, value in self.entry.items() if not isinstance(value, dict)}
        tables = {key: value for key, value in self.entry.items() if isinstance(value, dict)}
        lines = ["[[supplier]]", *(f"{key} = {_toml(value)}" for key, value in plain.items())]
        for name, table in tables.items():
            lines += [f"[supplier.{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
        return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)  # TOML's basic strings, numbers and booleans are those of JSON


def sniff(path: Path, settings: Settings, platforms: Platforms) -> Proposal:
    """Propose an entry for a file.

    Raises:
        UdaError: The file cannot be read, or is empty.
    """
    return _Sniffer(path, settings, platforms).proposal()


class Trial(NamedTuple):
    """What a proposed entry would keep of a file: records read and kept, and malformed ones by reason."""

    records: int
    kept: int
    reasons: Counter[str]


def try_out(path: Path, settings: Settings, platforms: Platforms, proposal: Proposal) -> Trial:
    """Read a file by a proposed entry, and count.

    Raises:
        UdaError: The entry is not valid, or the file cannot be read by it as a whole.
    """
    (supplier,) = entries_of(tomllib.loads(proposal.text)["supplier"], "the proposal")
    dialect = supplier.dialect.of(path.name)
    names = PlatformNames(platforms.preceded(supplier.platforms))
    trial = Trial(0, 0, Counter())
    with open_source(path, bounds=bounds_of(settings), dialect=dialect) as source:
        batches = read_batches(
            source, names, Wanted(0), lambda _kernel, _names: None, dialect=dialect, threads=settings.threads,
            block_bytes=block_bytes(settings),
        )  # fmt: skip
        for batch in batches:
            trial = Trial(trial.records + batch.read, trial.kept + batch.rows, trial.reasons + Counter(batch.reasons))
    return trial


class _Sniffer:
    """Looks at the start of one file."""

    def __init__(self, path: Path, settings: Settings, platforms: Platforms) -> None:
        self._path, self._settings, self._platforms = path, settings, platforms
        self._entry: dict[str, Any] = {"name": path.name.split(".")[0] or "supplier", "drops": [path.name]}
        self._grounds: list[str] = []
        self._questions: list[str] = []

    def proposal(self) -> Proposal:
        """Return what was found."""
        lines = self._lines()
        delimiter, quote = self._split(lines)
        lines = self._skip(lines, delimiter)
        dialect = replace(CSV, delimiter=delimiter, quote=quote, escape=self._escape(lines, quote))
        rows = [fields for line in lines[:_ROWS] if (fields := _fields(line, dialect)) is not None]
        if not rows:
            raise UdaError(f"{self._path}: no line can be split into fields")
        names, records = self._header(rows)
        records = self._trailing(names, records)
        roles = self._roles(names, records)
        self._nulls(records, roles)
        self._times(records, roles)
        self._spellings(records, roles)
        return Proposal(self._entry, self._grounds, self._questions)

    # -- text ----------------------------------------------------------------------------------------------------------

    def _lines(self) -> list[str]:
        """Return the first lines of the file, in the encoding that fits."""
        with open_source(self._path, bounds=bounds_of(self._settings), most=_LOOKED_AT) as source:
            start = source.read(0, _LOOKED_AT)
            is_whole = len(start) == source.size
        if not start.strip():
            raise UdaError(f"{self._path} is empty")
        encoding = self._encoding(start)
        text = codecs.getincrementaldecoder(encoding)("replace").decode(start).removeprefix("\ufeff")
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return lines if is_whole else lines[:-1]

    def _encoding(self, start: bytes) -> str:
        marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        zeros = [start[offset:2000:2].count(0) for offset in (0, 1)]
        if marked or max(zeros) > len(start[:2000]) // 4:
            encoding = "utf-16" if marked else "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
            return str(self._stated("encoding", encoding, "every second byte is 0, as in UTF-16"))
        try:
            codecs.getincrementaldecoder("utf-8")().decode(start)
        except UnicodeDecodeError as error:
            ground = f"byte {error.start} is not UTF-8; cp1252 is the likeliest of many"
            return str(self._stated("encoding", "cp1252", ground))
        return "utf-8"

    def _split(self, lines: Sequence[str]) -> tuple[str, str]:
        """Return delimiter and quote: what DuckDB's sniffer says, or else the most regular delimiter."""
        delimiter, quote = self._by_duckdb(lines) or (_most_regular(lines), '"')
        if delimiter != usual_delimiter(self._path.name):
            self._stated("delimiter", delimiter, f"{delimiter!r} splits the lines into the same number of fields")
        if quote != '"' and quote and any(quote in line for line in lines):
            self._stated("quote", quote, f"fields stand in {quote}")
        else:
            quote = '"'
        return delimiter, quote

    def _by_duckdb(self, lines: Sequence[str]) -> tuple[str, str] | None:
        with (
            tempfile.NamedTemporaryFile("w", suffix=".csv", encoding="utf-8", newline="") as file,
            duckdb.connect() as base,
        ):
            file.write("\n".join(lines[:_ROWS]) + "\n")
            file.flush()
            try:
                row = base.execute(
                    "SELECT Delimiter, Quote FROM sniff_csv($file, ignore_errors = true, strict_mode = false)",
                    {"file": file.name},
                ).fetchone()
            except duckdb.Error:
                return None
        if row is None or row[0] not in _DELIMITERS:
            return None
        return str(row[0]), str(row[1]) if row[1] in ('"', "'") else '"'

    def _skip(self, lines: list[str], delimiter: str) -> list[str]:
        """Leave out lines before the header: those that are split into much fewer fields than most."""
        usual = Counter(line.count(delimiter) for line in lines if line.strip()).most_common(1)[0][0]
        skipped = next((i for i, line in enumerate(lines) if line.strip() and line.count(delimiter) >= usual - 1), 0)
        before = [line for line in lines[:skipped] if line.strip()]
        if not before:
            return lines
        self._stated("skip_lines", skipped, f"the first {skipped} lines are no part of the table: {before[0][:40]!r}")
        return lines[skipped:]

    def _escape(self, lines: Sequence[str], quote: str) -> str:
        if any(f"\\{quote}" in line or "\\," in line for line in lines[:_ROWS]):
            return str(self._stated("escape", "\\", "a backslash stands before quotes or delimiters"))
        return ""

    # -- columns -------------------------------------------------------------------------------------------------------

    def _header(self, rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
        first = rows[0]
        if any(self._is_time(value) for value in first) and not any(comparable(name) in COLUMNS for name in first):
            names = [f"column_{number}" for number in range(1, len(first) + 1)]
            self._grounds.append("header: the first line has a time, so that it is a record")
            return names, rows
        return first, rows[1:]

    def _trailing(self, names: list[str], records: list[list[str]]) -> list[list[str]]:
        longer = sum(len(record) == len(names) + 1 and not record[-1] for record in records)
        if (
            names
            and not names[-1]
            and sum(len(record) == len(names) and not record[-1] for record in records) > len(records) // 2
        ):
            names.pop()
            longer = len(records)
        if records and longer > len(records) // 2:
            self._stated("trailing_delimiter", True, "lines end in one more delimiter")
            return [record[: len(names)] for record in records]
        return records

    def _roles(self, names: list[str], records: list[list[str]]) -> dict[str, int]:
        """Return which column of the file is which of the contract."""
        has_header = not all(name.startswith("column_") for name in names)
        compared = [comparable(name) for name in names]
        roles: dict[str, int] = {}
        for column, likely in _NAMES.items():
            place = next((compared.index(name) for name in likely if name in compared), None)
            if place is not None and place not in roles.values():
                roles[column] = place
        for column, fits in self._looks():
            if column not in roles:
                place = self._column_that(fits, records, roles.values(), len(names))
                if place is not None:
                    roles[column] = place
                    self._grounds.append(f"{column}: most values of {names[place]!r} look like that")
        if not has_header:
            return self._named_by_place(names, roles)
        renamed = {column: names[place] for column, place in roles.items() if compared[place] != column}
        if renamed:
            self._entry["columns"] = renamed
            self._grounds.append(f"columns: by their names, or by what is in them: {renamed}")
        missing = [column for column in COLUMNS if column not in roles]
        constant = [column for column in missing if column in _CONSTANTS]
        if constant:
            self._entry["constants"] = {column: _CONSTANTS[column] for column in constant}
            self._questions.append(f"no column looks like {', '.join(constant)}: correct the constants")
        if further := [column for column in missing if column not in constant]:
            self._questions.append(f"no column looks like {', '.join(further)}: name it in [supplier.columns]")
        return roles

    def _named_by_place(self, names: list[str], roles: dict[str, int]) -> dict[str, int]:
        """Name the columns of a file without a header; ids are taken in the contract's order."""
        free = [place for place in range(len(names)) if place not in roles.values()]
        for column in COLUMNS:
            if column not in roles and free:
                roles[column] = free.pop(0)
        by_place = {place: column for column, place in roles.items()}
        self._entry["header"] = [by_place.get(place, name) for place, name in enumerate(names)]
        self._questions.append("the header is a guess from what is in the columns: check which one is which")
        return roles

    def _looks(self) -> Iterable[tuple[str, Callable[[str], bool]]]:
        yield "activity_time", self._is_time
        yield "platform", lambda value: self._platform_of(value) is not None

    def _column_that(
        self, fits: Callable[[str], bool], records: list[list[str]], taken: Iterable[int], width: int
    ) -> int | None:
        best, place = 0.5, None
        for number in set(range(width)).difference(taken):
            values = [record[number] for record in records if len(record) > number and record[number]]
            share = sum(map(fits, values)) / len(values) if values else 0.0
            if share > best:
                best, place = share, number
        return place

    # -- values --------------------------------------------------------------------------------------------------------

    def _values(self, records: list[list[str]], roles: dict[str, int], column: str) -> list[str]:
        place = roles.get(column)
        return [] if place is None else [record[place] for record in records if len(record) > place and record[place]]

    def _nulls(self, records: list[list[str]], roles: dict[str, int]) -> None:
        values = {value for column in COLUMNS for value in self._values(records, roles, column)}
        if found := [marker for marker in _NULLS if marker in values]:
            self._stated("null", found, f"these values look like markers of nothing: {', '.join(found)}")

    def _is_time(self, value: str) -> bool:
        return bool(_formats_of([value], with_dates=False))

    def _times(self, records: list[list[str]], roles: dict[str, int]) -> None:
        values = [value for value in self._values(records, roles, "activity_time") if value not in _NULLS]
        fitting = _formats_of(values, with_dates=True)
        if not values or ISO in fitting:
            return
        if not fitting:
            self._questions.append("no known format fits all times: give time.formats")
            return
        self._entry["time"] = {"formats": fitting[:1]}
        self._grounds.append(f"time.formats: {fitting[0]} fits all {len(values)} times looked at")
        if len(fitting) > 1:
            self._questions.append(f"{' and '.join(fitting[1:])} would fit too: make sure which one it is")

    def _platform_of(self, value: str) -> str | None:
        normal = normalise_platform(value)
        hint = next((name for name, starts in _PLATFORM_HINTS.items() if normal.startswith(starts)), None)
        return self._platforms.resolve(value) or hint

    def _spellings(self, records: list[list[str]], roles: dict[str, int]) -> None:
        unknown: dict[str, set[str]] = {}
        strange = set()
        for value in set(self._values(records, roles, "platform")):
            if self._platforms.resolve(value):
                continue
            name = self._platform_of(value)
            if name:
                start = next(hint for hint in _PLATFORM_HINTS[name] if normalise_platform(value).startswith(hint))
                unknown.setdefault(name, set()).add(f"{start}*")
            elif value not in _NULLS:
                strange.add(value)
        if unknown:
            self._entry["platforms"] = {name: sorted(patterns) for name, patterns in sorted(unknown.items())}
            self._grounds.append(f"platforms: spellings begin with {', '.join(sorted(set().union(*unknown.values())))}")
        if strange:
            self._questions.append(f"unknown platforms: {', '.join(sorted(strange)[:10])}")

    def _stated(self, key: str, value: Any, ground: str) -> Any:
        self._entry[key] = value
        self._grounds.append(f"{key}: {ground}")
        return value


def _most_regular(lines: Sequence[str]) -> str:
    """Return the delimiter that occurs in most lines as often as in most others."""

    def regularity(delimiter: str) -> tuple[int, int]:
        counts = Counter(line.count(delimiter) for line in lines[:_ROWS] if line.strip())
        usual, lines_with = counts.most_common(1)[0]
        return (lines_with if usual else 0, usual)

    return max(_DELIMITERS, key=regularity)


def _fields(line: str, dialect: Dialect) -> list[str] | None:
    """Split a line as the reader does; None if it is blank or its quotes are not in order."""
    if not line.strip(WHITE_SPACE):
        return None
    content = line.encode()
    width = content.count((dialect.delimiter or ",").encode()) + 1
    return Kernel(dialect, Columns(width, {COLUMNS[0]: range(width)}), Wanted(0), len(content)).split(content)


def _formats_of(values: Sequence[str], *, with_dates: bool) -> list[str]:
    """Return the formats in which all values are times."""
    candidates = (ISO, *EPOCHS, *(pattern for pattern in _PATTERNS if with_dates or "%H" in pattern or "%I" in pattern))
    return [form for form in candidates if values and _all_fit(values[:_ROWS], form)]


def _all_fit(values: Sequence[str], form: str) -> bool:
    if form in EPOCHS and not all(len(value.lstrip("-").split(".")[0]) == _DIGITS[form] for value in values):
        return False
    dialect = replace(CSV, delimiter="\x1f", quote="", formats=(form,))
    kernel = Kernel(
        dialect,
        Columns(1, {"activity_time": [0]}, dict.fromkeys(set(COLUMNS) - {"activity_time"}, "x")),
        Wanted(0),
        1 << 20,
    )
    kernel.begin()
    block = "\n".join(value.replace("\n", " ").replace("\r", " ") for value in values).encode()
    while kernel.read(block, is_last=True):
        kernel.answer(0)
    return bool(kernel.state.kept == len(values))


_DIGITS = {"epoch_s": 10, "epoch_ms": 13, "epoch_us": 16}
"""Digits of times from 2001 to 2286; others are not proposed."""
