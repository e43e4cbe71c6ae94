"""Malformed records, each for one reason alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
from faker import Faker

from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.reasons import Reason
from uda_assets.synthetic.draws import I64

# A quote that is left open reaches for every later quote, so this reason is for the last line of a file alone.
LAST_LINE = Reason.UNTERMINATED_QUOTE
REASONS = (*(reason for reason in Reason if reason is not LAST_LINE), LAST_LINE)

# None of these may contain a comma, a quote, a control character or white space at its ends.
_HOSTILE = (
    "'; DROP TABLE sessions; --", "=HYPERLINK(A1)", "<script>alert(1)</script>", "${jndi:ldap://x}", "../../etc/passwd",
    "NULL", "NaN", "-1", "0x7fffffff", "%s%n", "🦆🦆🦆", "Ω≈ç√∫", "{{7*7}}", "\\", "None", "#REF!",
)  # fmt: skip
_STRANGE_PLATFORMS = ("Symbian", "BlackBerry", "Windows Phone", "PlayStation 5", "i0S", "Andriod", "unknown", "-")
_BAD_TIMES = (
    "2026-02-30T10:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z", "2026-01-01T10:61:00Z", "31/01/2026 08:15",
    "Jan 31 2026 8:15AM", "1767225600", "yesterday", "0000-00-00 00:00:00", "2026-01-01T10:00:00+99:00", "NULL",
)  # fmt: skip
_BLANKS = ("", " ", "   ", '""', '"  "', "\u00a0")
_CONTROLS = ("\x01", "\x07", "\x08", "\x1b", "\x7f", "\u0086")
# Latin-1, a cut off character, a byte that UTF-8 has no use for, a surrogate, an overlong slash.
_BAD_BYTES = (b"\xe9", b"\xe2\x82", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf")
_BAD_BYTES_MARK = "\ue000"


def _hostile_texts(seed: int) -> list[str]:
    """Texts that test a reader's manners, fit to stand in a field without quotes."""
    faker = Faker("en_US")
    faker.seed_instance(seed)
    drawn = [
        make() for make in (faker.sentence, faker.email, faker.uri, faker.company, faker.user_agent) for _ in range(8)
    ]
    harmless = str.maketrans({'"': "'", ",": ";", "\n": " ", "\r": " ", "\t": " "})
    return [*_HOSTILE, *(text.translate(harmless).strip() for text in drawn)]


class Vandal:
    """Makes malformed lines out of sound fields, each malformed for one reason alone."""

    def __init__(self, seed: int) -> None:
        self._supplies = {
            "noise": pl.Series(_hostile_texts(seed)),
            "blank": pl.Series(_BLANKS),
            "control": pl.Series(_CONTROLS),
            "strange": pl.Series(_STRANGE_PLATFORMS),
            "bad_time": pl.Series(_BAD_TIMES),
        }
        self._lines = {reason: _one_of(ways) for reason, ways in _ways_to_break().items()}

    def lines(self, fields: pl.DataFrame, reasons: I64, random: np.random.Generator) -> pl.Series:
        """A malformed line for each row of ``fields``, as bytes.

        Args:
            fields: Sound records, as from :meth:`Scribe.fields`.
            reasons: For each of them, the index of its reason in ``REASONS``.
            random: Where to draw from.
        """
        drawn = {name: pool.gather(random.integers(0, len(pool), len(fields))) for name, pool in self._supplies.items()}
        frame = fields.with_columns(**drawn, way=pl.Series(random.integers(0, 2**31, len(fields))))
        by_reason = np.argsort(reasons, kind="stable")
        bounds = np.searchsorted(reasons[by_reason], np.arange(len(REASONS) + 1))
        parts = zip(REASONS, pairwise(bounds.tolist()), strict=True)
        frame = frame[by_reason]
        broken = [self._broken(frame[start:end], reason) for reason, (start, end) in parts if start < end]
        return pl.concat([pl.Series([], dtype=pl.Binary), *broken]).gather(np.argsort(by_reason))

    def _broken(self, frame: pl.DataFrame, reason: Reason) -> pl.Series:
        lines = frame.select(self._lines[reason]).to_series()
        if reason is Reason.ENCODING:
            return pl.Series([_with_bad_bytes(n, text) for n, text in enumerate(lines)], dtype=pl.Binary)
        return lines.cast(pl.Binary)


def _one_of(ways: list[pl.Expr]) -> pl.Expr:
    """A line made in one of the ways, as the column ``way`` chooses."""
    # In each row all ways but its own are null.
    chosen = [pl.when(pl.col("way") % len(ways) == n).then(way) for n, way in enumerate(ways)]
    return pl.concat_str([pl.coalesce(chosen), pl.lit("\n")])


def _with_bad_bytes(number: int, text: str) -> bytes:
    return text.encode().replace(_BAD_BYTES_MARK.encode(), _BAD_BYTES[number % len(_BAD_BYTES)])


def _line(**changed: pl.Expr) -> pl.Expr:
    """The record as a line, with some of its fields changed."""
    return pl.concat_str([changed.get(column, pl.col(column)) for column in COLUMNS], separator=",")


def _cut(column: str, *inserted: pl.Expr) -> pl.Expr:
    """The field with something inserted after its first three characters."""
    return pl.concat_str([pl.col(column).str.head(3), *inserted, pl.col(column).str.slice(3)])


def _text(*parts: str) -> pl.Expr:
    """A text with a hostile one at the place of each ``*``."""
    return pl.concat_str([pl.col("noise") if part == "*" else pl.lit(part) for part in parts])


def _ways_to_break() -> dict[Reason, list[pl.Expr]]:
    """For each reason, the ways to make a sound record malformed for it, over the columns that the vandal supplies.

    Session ids are never quoted, user ids and activity types may be; so ids are changed, the others replaced.
    """
    blank, control, mark = pl.col("blank"), pl.col("control"), pl.lit(_BAD_BYTES_MARK)
    without_quotes = pl.col("activity_type").str.replace_all('"', "")
    first = [pl.concat_str(list(COLUMNS[:count]), separator=",") for count in range(1, len(COLUMNS))]
    return {
        Reason.ENCODING: [
            _line(user_id=pl.concat_str([pl.col("noise"), mark])),
            _line(session_id=_cut("session_id", mark)),
            _line(activity_type=pl.concat_str([pl.lit('"caf'), mark, pl.lit('"')])),
        ],
        Reason.BAD_QUOTE: [
            _line(session_id=_cut("session_id", pl.lit('"'))),
            _line(user_id=_text('"', "*", '"y')),
            _line(user_id=_text("*", ' "', "*", '"')),
            _line(activity_type=_text('"', "*", '" ', "*")),
        ],
        Reason.TOO_FEW_FIELDS: first,
        Reason.TOO_MANY_FIELDS: [
            pl.concat_str([_line(), pl.col("noise")], separator=","),
            pl.concat_str([_line(), pl.lit(",,")]),
            _line(user_id=_text("*", ", ", "*")),
        ],
        Reason.CONTROL_CHARACTER: [
            _line(session_id=_cut("session_id", control)),
            _line(activity_type=pl.concat_str([pl.lit('"lo'), control, pl.lit('gin"')])),
        ],
        Reason.MISSING_USER_ID: [_line(user_id=blank)],
        Reason.MISSING_SESSION_ID: [_line(session_id=blank)],
        Reason.MISSING_PLATFORM: [_line(platform=blank)],
        Reason.UNKNOWN_PLATFORM: [_line(platform=pl.col("strange")), _line(platform=pl.col("noise"))],
        Reason.MISSING_ACTIVITY_TIME: [_line(activity_time=blank)],
        Reason.BAD_ACTIVITY_TIME: [_line(activity_time=pl.col("bad_time")), _line(activity_time=pl.col("noise"))],
        Reason.MISSING_ACTIVITY_TYPE: [_line(activity_type=blank)],
        # A quote behind the open one would close it.
        LAST_LINE: [_line(activity_type=_text('"', "*")), _line(user_id=_text('"', "*"), activity_type=without_quotes)],
    }
