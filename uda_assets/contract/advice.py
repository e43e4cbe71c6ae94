"""What to do about files that are written differently: which key of the suppliers' file states it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.reasons import Reason

_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas", "^": "carets", "~": "tildes"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d\d[./]\d\d[./]\d{2,4}|\b\d{10,16}\b")
_SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_KEYS: Mapping[str, tuple[str, str]] = {
    Reason.ENCODING: ("encoding", "the text may be in another encoding"),
    Reason.UNTERMINATED_QUOTE: ("quote, escape", "quotes may be written differently"),
    Reason.BAD_QUOTE: ("quote, escape", "quotes may be written differently"),
    Reason.TOO_FEW_FIELDS: ("delimiter", "fields may be separated differently"),
    Reason.TOO_MANY_FIELDS: ("trailing_delimiter, quote", "lines may end in one more delimiter"),
    Reason.CONTROL_CHARACTER: ("encoding", "the text may be in another encoding"),
    Reason.MISSING_PLATFORM: ("constants", "the supplier may deliver one platform alone"),
    Reason.UNKNOWN_PLATFORM: ("platforms", "platforms may be spelled differently"),
    Reason.BAD_ACTIVITY_TIME: ("time.formats", "times may have another format"),
    Reason.MISSING_ACTIVITY_TYPE: ("constants", "the supplier may deliver one type alone"),
}


def sniff_advice(keys: str) -> str:
    """Return what to do if a file is not wrong but written differently."""
    return f"if the supplier writes so, state it by {keys} in suppliers.toml (`uda sniff FILE` proposes an entry)"


def advice_about_header(line: str, delimiter: str) -> str:
    """Return what a header that does not name the columns looks like, and what to do."""
    if found := _SEP_LINE.fullmatch(line.strip()):
        return f"the line says that {_named(found[1])} separate fields; {sniff_advice('delimiter and skip_lines')}"
    counts = {other: line.count(other) for other in _DELIMITERS if other != delimiter}
    most = max(counts, key=lambda other: counts[other])
    if counts[most] >= len(COLUMNS) - 1 and line.count(delimiter) < counts[most]:
        return f"fields look separated by {_named(most)}; {sniff_advice('delimiter')}"
    if _DATE.search(line):
        return f"the line looks like a record, not like a header; {sniff_advice('header')}"
    if line.count(delimiter) == 0:
        return f"the line does not look like a header; {sniff_advice('skip_lines or delimiter')}"
    return f"columns may have other names; {sniff_advice('columns or constants')}"


def advice_about_encoding(start: bytes) -> str:
    """Return what to do about a file that is not UTF-8, from its first bytes."""
    guess = "it has NUL bytes, as UTF-16 does; " if b"\0" in start or start[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
    return guess + sniff_advice("encoding")


def advice_about_records(reasons: Mapping[str, int]) -> str:
    """Return what to do about a drop whose records are mostly malformed, by the most frequent reason."""
    most = max(reasons, key=lambda reason: reasons[reason])
    if most not in _KEYS:
        return ""
    keys, guess = _KEYS[most]
    return f"{guess}: {sniff_advice(keys)}"


def _named(delimiter: str) -> str:
    return _DELIMITERS.get(delimiter, repr(delimiter))
