"""The data contract: columns, rules and their reasons, platforms and their spellings.

Everything that decides whether a record is kept lives here, as data and as plain Polars expressions. The order of
:class:`Reason` is the order of precedence: a record that breaks several rules is quarantined for the first.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple
from urllib.parse import quote

import polars as pl

from uda_assets.errors import UdaError
from uda_assets.storage import Location
from uda_assets.timestamps import parse_times

COLUMNS = ("user_id", "session_id", "platform", "activity_time", "activity_type")
"""The required columns of a drop, in the order in which we write them."""

RECORD_SCHEMA = pl.Schema(
    {
        "user_id": pl.String(),
        "session_id": pl.String(),
        "platform": pl.String(),
        "activity_time": pl.Datetime("us", "UTC"),
        "activity_type": pl.String(),
    }
)
QUARANTINE_SCHEMA = pl.Schema({"drop": pl.String(), "line": pl.Int64(), "reason": pl.String(), "raw": pl.String()})
SESSION_SCHEMA = pl.Schema(
    {
        "platform": pl.String(),
        "user_id": pl.String(),
        "session_id": pl.String(),
        "started_at": pl.Datetime("us", "UTC"),
        "ended_at": pl.Datetime("us", "UTC"),
        "events": pl.Int64(),
    }
)
LEADERBOARD_SCHEMA = pl.Schema({"platform": pl.String(), "user_id": pl.String(), "session_count": pl.Int64()})

WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Unicode's White_Space property, as the inside of a regex class; what :meth:`polars.Expr.str.strip_chars` trims."""


class Reason(StrEnum):
    """Why a record is quarantined, in order of precedence; :attr:`explanation` says what to do about it."""

    explanation: str

    def __new__(cls, value: str, explanation: str) -> Reason:
        """A reason is its name, and carries its explanation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.explanation = explanation
        return member

    ENCODING = "encoding", "bytes that are not UTF-8; save the file as UTF-8"
    UNTERMINATED_QUOTE = "unterminated_quote", "a quoted field that never ends; close the quote or double it"
    BAD_QUOTE = (
        "bad_quote",
        "text beside a quoted field, or a quote inside a bare one; quote the field, double the quote",
    )
    TOO_FEW_FIELDS = "too_few_fields", "fewer fields than the header has columns; add the missing commas"
    TOO_MANY_FIELDS = "too_many_fields", "more fields than the header has columns; quote fields that contain a comma"
    CONTROL_CHARACTER = "control_character", "a control character or line end inside a required field; remove it"
    MISSING_USER_ID = "missing_user_id", "user_id is empty"
    MISSING_SESSION_ID = "missing_session_id", "session_id is empty"
    MISSING_PLATFORM = "missing_platform", "platform is empty"
    UNKNOWN_PLATFORM = "unknown_platform", "no such platform; add it or an alias to platforms.toml"
    MISSING_ACTIVITY_TIME = "missing_activity_time", "activity_time is empty"
    BAD_ACTIVITY_TIME = "bad_activity_time", "not an ISO 8601 time such as 2026-01-31T08:15:00Z"
    MISSING_ACTIVITY_TYPE = "missing_activity_type", "activity_type is empty"


STRUCTURAL = frozenset(list(Reason)[: list(Reason).index(Reason.CONTROL_CHARACTER) + 1])
"""Reasons that say the record's shape is wrong: of such a record only the first physical line is quarantined."""

DEFAULT_PLATFORMS: Mapping[str, tuple[str, ...]] = {"Android": (), "Web": (), "iOS": ()}
"""Canonical platform names and their further spellings; a name's own normalised form is always one of its spellings."""


class ContractError(UdaError):
    """The platform table contradicts itself or is not well formed."""


def normalise_platform(spelling: str) -> str:
    """The form under which spellings of a platform are compared: NFKC, trimmed, casefolded."""
    return unicodedata.normalize("NFKC", spelling).strip().casefold()


_LONGEST_PLATFORM = 255 - len("platform=")
"""Bytes of a platform, percent-encoded, that the name of its directory has room for."""


def _fits(platform: str) -> bool:
    return len(platform) <= _LONGEST_PLATFORM and len(quote(platform, safe=" ")) <= _LONGEST_PLATFORM


@dataclass(frozen=True)
class Platforms:
    """The platform table: which spelling means which canonical platform.

    Attributes:
        table: Canonical name to its further spellings.
        keep_unknown: Keep records of unknown platforms under their normalised spelling instead of quarantining them,
            as long as that can be the name of a directory.

    """

    table: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(DEFAULT_PLATFORMS))
    keep_unknown: bool = False

    def extended(self, further: Mapping[str, Iterable[str]], *, keep_unknown: bool | None = None) -> Platforms:
        """A table that also knows ``further`` platforms and spellings."""
        table = {name: tuple(spellings) for name, spellings in self.table.items()}
        for name, spellings in further.items():
            table[name] = tuple(dict.fromkeys((*table.get(name, ()), *spellings)))
        return Platforms(table, self.keep_unknown if keep_unknown is None else keep_unknown)

    @cached_property
    def spellings(self) -> dict[str, str]:
        """Normalised spelling to canonical name.

        Raises:
            ContractError: A name is empty or has control characters, or one spelling means two platforms.

        """
        found: dict[str, str] = {}
        for name, further in self.table.items():
            if not name.strip() or name != name.strip() or not name.isprintable():
                raise ContractError(f"platform name {name!r} must be printable, without white space around it")
            if not _fits(name):
                raise ContractError(f"platform name {name[:40]!r}… is too long for a directory of its own")
            for spelling in (name, *further):
                known = found.setdefault(normalise_platform(spelling), name)
                if known != name:
                    raise ContractError(f"platform spelling {spelling!r} is listed under both {known!r} and {name!r}")
        return found

    def resolve(self, spelling: str) -> str | None:
        """The canonical platform of ``spelling``, or None where it is unknown."""
        normal = normalise_platform(spelling)
        return self.spellings.get(normal) or (normal if self.keep_unknown and normal and _fits(normal) else None)

    @property
    def fingerprint(self) -> str:
        """A hash of the table, equal for equal meaning."""
        meaning = json.dumps([sorted(self.spellings.items()), self.keep_unknown])
        return hashlib.sha256(meaning.encode()).hexdigest()


def read_platforms(path: Location) -> Platforms:
    """The platform table with what a TOML file adds to it; a file that is not there adds nothing.

    The file holds a table ``[platforms]`` of canonical names, each with a list of further spellings, and optionally
    ``keep_unknown = true`` at its top.

    Raises:
        ContractError: The file is not such a table, or holds something else.

    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        unknown = sorted(content.keys() - {"platforms", "keep_unknown"})
        if unknown:
            raise ContractError(f"unknown entry {unknown[0]!r}; platforms stand below a line [platforms]")
        return platforms_from(content.get("platforms", {}), keep_unknown=content.get("keep_unknown"))
    except (FileNotFoundError, NotADirectoryError):
        return Platforms()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ContractError) as error:
        raise ContractError(f"{path}: {error}") from None


def platforms_from(table: object, base: Platforms | None = None, *, keep_unknown: object = None) -> Platforms:
    """The platform table ``base`` with what was read from a file or a run config, checked.

    Raises:
        ContractError: ``table`` does not map names to lists of spellings, or contradicts itself.

    """
    if not isinstance(table, Mapping) or not all(isinstance(name, str) for name in table):
        raise ContractError("platforms must be a table of platform names")
    for name, spellings in table.items():
        if not isinstance(spellings, list) or not all(isinstance(spelling, str) for spelling in spellings):
            raise ContractError(f"platform {name!r} must have a list of spellings")
    if keep_unknown is not None and not isinstance(keep_unknown, bool):
        raise ContractError("keep_unknown must be true or false")
    platforms = (base or Platforms()).extended(table, keep_unknown=keep_unknown)
    _ = platforms.spellings  # contradictions show here
    return platforms


class Judgement(NamedTuple):
    """What the contract says of a batch of records.

    Attributes:
        kept: Accepted records in ``RECORD_SCHEMA``, with further columns of the input (such as ``line``) in front.
        rejected: The malformed ones: the input's further columns and ``reason``.
        spellings: Records by normalised platform spelling, among those that came as far as the platform rule.

    """

    kept: pl.DataFrame
    rejected: pl.DataFrame
    spellings: dict[str, int]


def judge(records: pl.DataFrame, platforms: Platforms) -> Judgement:
    """Apply the contract's field rules to records that are sound in structure up to the number of their fields.

    Args:
        records: The five ``COLUMNS`` as untrimmed strings, and any further columns, which are handed through.
        platforms: The platform table.

    """
    fields = records.with_columns(pl.col(COLUMNS).str.strip_chars())
    names = _platform_names(fields, platforms)
    fields = fields.with_columns(_canonical=names.canonical, _time=parse_times(fields["activity_time"]))
    further = [name for name in records.columns if name not in COLUMNS]
    reason = pl.coalesce(pl.when(broken).then(pl.lit(reason.value)) for broken, reason in _RULES)
    fields = fields.with_columns(reason=reason)
    kept = fields.filter(pl.col("reason").is_null()).select(
        *further, "user_id", "session_id", pl.col("_canonical").alias("platform"),
        pl.col("_time").alias("activity_time"), "activity_type",
    )  # fmt: skip
    rejected = fields.filter(pl.col("reason").is_not_null()).select(*further, "reason")
    return Judgement(kept, rejected, names.counts)


class _PlatformNames(NamedTuple):
    canonical: pl.Series
    counts: dict[str, int]


def _platform_names(fields: pl.DataFrame, platforms: Platforms) -> _PlatformNames:
    """Resolve each distinct spelling once, in Python, and map the column by it."""
    raw = fields["platform"].value_counts(name="records")
    spelled = raw["platform"].to_list()
    counts: dict[str, int] = {}
    for spelling, records in zip(spelled, raw["records"].to_list(), strict=True):
        normal = normalise_platform(spelling)
        if normal:
            counts[normal] = counts.get(normal, 0) + records
    resolved = [platforms.resolve(spelling) for spelling in spelled]
    if not spelled:
        return _PlatformNames(fields["platform"], counts)
    canonical = fields["platform"].replace_strict(spelled, resolved, return_dtype=pl.String)
    return _PlatformNames(canonical, counts)


_RULES: list[tuple[pl.Expr, Reason]] = [
    (pl.any_horizontal(pl.col(COLUMNS).str.contains(r"\p{Cc}")), Reason.CONTROL_CHARACTER),
    (pl.col("user_id") == "", Reason.MISSING_USER_ID),
    (pl.col("session_id") == "", Reason.MISSING_SESSION_ID),
    (pl.col("platform") == "", Reason.MISSING_PLATFORM),
    (pl.col("_canonical").is_null(), Reason.UNKNOWN_PLATFORM),
    (pl.col("activity_time") == "", Reason.MISSING_ACTIVITY_TIME),
    (pl.col("_time").is_null(), Reason.BAD_ACTIVITY_TIME),
    (pl.col("activity_type") == "", Reason.MISSING_ACTIVITY_TYPE),
]
"""What breaks each rule, by descending precedence."""
