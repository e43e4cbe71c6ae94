"""Malformed lines, each of which is malformed for exactly one reason."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
from faker import Faker

from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.reasons import Reason
from uda_assets.synthetic.draws import I64

# An open quote extends to the next quote in the file, so this reason can only be used in the file's last line.
LAST_LINE = Reason.UNTERMINATED_QUOTE
REASONS = (*(reason for reason in Reason if reason is not LAST_LINE), LAST_LINE)

# None of these may contain a comma, a quote or a control character, or begin or end with white space.
_HOSTILE = (
    "'; DROP TABLE sessions; --", "=HYPERLINK(A1)", "<script>alert(1)</script>", "${jndi:ldap://x}", "../../etc/passwd",
    "NULL", "NaN", "-1", "0x7fffffff", "%s%n", "🦆🦆🦆", "Ω≈ç√∫", "{{7*7}}", "\\", "None", "#REF!",
)  # fmt: skip
_UNKNOWN_PLATFORMS = ("Symbian", "BlackBerry", "Windows Phone", "PlayStation 5", "i0S", "Andriod", "unknown", "-")
_BAD_TIMES = (
    "2026-02-30T10:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z", "2026-01-01T10:61:00Z", "31/01/2026 08:15",
    "Jan 31 2026 8:15AM", "1767225600", "yesterday", "0000-00-00 00:00:00", "2026-01-01T10:00:00+99:00", "NULL",
)  # fmt: skip
_BLANKS = ("", " ", "   ", '""', '"  "', "\u00a0")
_CONTROLS = ("\x01", "\x07", "\x08", "\x1b", "\x7f", "\u0086")
# A Latin-1 letter, a truncated character, a byte that UTF-8 never uses, a surrogate, and an overlong slash.
_BAD_BYTES = (b"\xe9", b"\xe2\x82", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf")
_BAD_BYTES_PLACEHOLDER = "\ue000"


def _hostile_texts(seed: int) -> list[str]:
    """Return texts that are difficult for a reader but can be written as a field without quotes."""
    faker = Faker("en_US")
    faker.seed_instance(seed)
    drawn = [
        make() for make in (faker.sentence, faker.email, faker.uri, faker.company, faker.user_agent) for _ in range(8)
    ]
    replacements = str.maketrans({'"': "'", ",": ";", "\n": " ", "\r": " ", "\t": " "})
    return [*_HOSTILE, *(text.translate(replacements).strip() for text in drawn)]


class MalformedLines:
    """Turns well-formed records into malformed lines, each of them malformed for one reason only."""

    def __init__(self, seed: int) -> None:
        self._pools = {
            "hostile": pl.Series(_hostile_texts(seed)),
            "blank": pl.Series(_BLANKS),
            "control": pl.Series(_CONTROLS),
            "unknown_platform": pl.Series(_UNKNOWN_PLATFORMS),
            "bad_time": pl.Series(_BAD_TIMES),
        }
        self._lines = {reason: _one_of(ways) for reason, ways in _ways_to_break().items()}

    def lines(self, fields: pl.DataFrame, reasons: I64, random: np.random.Generator) -> pl.Series:
        """Return a malformed line for each row of ``fields``, as bytes.

        Args:
            fields: Well-formed records, as returned by :meth:`RecordWriter.fields`.
            reasons: For each record, the index of its reason in ``REASONS``.
            random: The source of random numbers.
        """
        drawn = {name: pool.gather(random.integers(0, len(pool), len(fields))) for name, pool in self._pools.items()}
        frame = fields.with_columns(**drawn, way=pl.Series(random.integers(0, 2**31, len(fields))))
        by_reason = np.argsort(reasons, kind="stable")
        bounds = np.searchsorted(reasons[by_reason], np.arange(len(REASONS) + 1))
        parts = zip(REASONS, pairwise(bounds.tolist()), strict=True)
        frame = frame[by_reason]
        lines = [self._lines_of(reason, frame[start:end]) for reason, (start, end) in parts if start < end]
        return pl.concat([pl.Series([], dtype=pl.Binary), *lines]).gather(np.argsort(by_reason))

    def _lines_of(self, reason: Reason, frame: pl.DataFrame) -> pl.Series:
        lines = frame.select(self._lines[reason]).to_series()
        if reason is not Reason.ENCODING:
            return lines.cast(pl.Binary)
        # Polars cannot hold such bytes in a text, so they replace a placeholder.
        placeholder = _BAD_BYTES_PLACEHOLDER.encode()
        with_bad_bytes = [
            line.encode().replace(placeholder, _BAD_BYTES[number % len(_BAD_BYTES)])
            for number, line in enumerate(lines)
        ]
        return pl.Series(with_bad_bytes, dtype=pl.Binary)


def _one_of(ways: list[pl.Expr]) -> pl.Expr:
    """Return a line made in one of the ways, which the column ``way`` selects."""
    # In each row, all ways except the selected one are null.
    selected = [pl.when(pl.col("way") % len(ways) == n).then(way) for n, way in enumerate(ways)]
    return pl.concat_str([pl.coalesce(selected), pl.lit("\n")])


def _line(**changed: pl.Expr) -> pl.Expr:
    """Return the record as a line, with some of its fields changed."""
    return pl.concat_str([changed.get(column, pl.col(column)) for column in COLUMNS], separator=",")


def _id_with(inserted: pl.Expr) -> pl.Expr:
    """Return the session id with something inserted after its first three characters."""
    session_id = pl.col("session_id")
    return pl.concat_str([session_id.str.head(3), inserted, session_id.str.slice(3)])


def _text(*parts: str) -> pl.Expr:
    """Return the parts as one text, in which a hostile text replaces each part ``*``."""
    return pl.concat_str([pl.col("hostile") if part == "*" else pl.lit(part) for part in parts])


def _ways_to_break() -> dict[Reason, list[pl.Expr]]:
    """Return, for each reason, the ways to make a well-formed record malformed for it.

    The expressions use the record's columns and those drawn from the pools. A session id is never in quotes, but a user
    id or an activity type may be; so ids are changed, and the other fields replaced.
    """
    blank, control, hostile = pl.col("blank"), pl.col("control"), pl.col("hostile")
    bad_bytes = pl.lit(_BAD_BYTES_PLACEHOLDER)
    without_quotes = pl.col("activity_type").str.replace_all('"', "")
    return {
        Reason.ENCODING: [
            _line(user_id=pl.concat_str([hostile, bad_bytes])),
            _line(session_id=_id_with(bad_bytes)),
            _line(activity_type=pl.concat_str([pl.lit('"caf'), bad_bytes, pl.lit('"')])),
        ],
        Reason.BAD_QUOTE: [
            _line(session_id=_id_with(pl.lit('"'))),
            _line(user_id=_text('"', "*", '"y')),
            _line(user_id=_text("*", ' "', "*", '"')),
            _line(activity_type=_text('"', "*", '" ', "*")),
        ],
        Reason.TOO_FEW_FIELDS: [
            pl.concat_str(list(COLUMNS[:count]), separator=",") for count in range(1, len(COLUMNS))
        ],
        Reason.TOO_MANY_FIELDS: [
            pl.concat_str([_line(), hostile], separator=","),
            pl.concat_str([_line(), pl.lit(",,")]),
            _line(user_id=_text("*", ", ", "*")),
        ],
        Reason.CONTROL_CHARACTER: [
            _line(session_id=_id_with(control)),
            _line(activity_type=pl.concat_str([pl.lit('"lo'), control, pl.lit('gin"')])),
        ],
        Reason.MISSING_USER_ID: [_line(user_id=blank)],
        Reason.MISSING_SESSION_ID: [_line(session_id=blank)],
        Reason.MISSING_PLATFORM: [_line(platform=blank)],
        Reason.UNKNOWN_PLATFORM: [_line(platform=pl.col("unknown_platform")), _line(platform=hostile)],
        Reason.MISSING_ACTIVITY_TIME: [_line(activity_time=blank)],
        Reason.BAD_ACTIVITY_TIME: [_line(activity_time=pl.col("bad_time")), _line(activity_time=hostile)],
        Reason.MISSING_ACTIVITY_TYPE: [_line(activity_type=blank)],
        # A quote after the open one would close it.
        LAST_LINE: [_line(activity_type=_text('"', "*")), _line(user_id=_text('"', "*"), activity_type=without_quotes)],
    }
