"""The rules that decide whether a record is kept, as Polars expressions."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.platforms import Platforms, normalise_platform
from uda_assets.contract.reasons import Reason
from uda_assets.contract.times import parse_times


class Judgement(NamedTuple):
    """The outcome of applying the contract to a batch of records.

    Attributes:
        kept: The accepted records in ``RECORD_SCHEMA``, preceded by the further columns of the input, such as ``line``.
        rejected: The further columns of the malformed records, followed by ``reason``.
        spellings: The number of records with each normalised spelling of a platform, malformed ones included.
    """

    kept: pl.DataFrame
    rejected: pl.DataFrame
    spellings: dict[str, int]


def judge(records: pl.DataFrame, platforms: Platforms) -> Judgement:
    """Apply the rules for fields to records whose quotes and number of fields are correct.

    Args:
        records: The five ``COLUMNS`` as untrimmed strings, and any further columns, which are passed through.
        platforms: The platform table.
    """
    fields = records.with_columns(pl.col(COLUMNS).str.strip_chars())
    canonical, spellings = _resolve_platforms(fields["platform"], platforms)
    fields = fields.with_columns(_canonical=canonical, _time=parse_times(fields["activity_time"]))
    further = [name for name in records.columns if name not in COLUMNS]
    reason = pl.coalesce(pl.when(broken).then(pl.lit(reason.value)) for broken, reason in _RULES)
    fields = fields.with_columns(reason=reason)
    kept = fields.filter(pl.col("reason").is_null()).select(
        *further, "user_id", "session_id", pl.col("_canonical").alias("platform"),
        pl.col("_time").alias("activity_time"), "activity_type",
    )  # fmt: skip
    rejected = fields.filter(pl.col("reason").is_not_null()).select(*further, "reason")
    return Judgement(kept, rejected, spellings)


def _resolve_platforms(column: pl.Series, platforms: Platforms) -> tuple[pl.Series, dict[str, int]]:
    """Return the canonical names of a column of platforms, and the number of records with each normalised spelling.

    Each distinct spelling is resolved only once, as that is done in Python.
    """
    distinct = column.value_counts(name="records")
    spellings = distinct["platform"].to_list()
    counts: dict[str, int] = {}
    for spelling, records in zip(spellings, distinct["records"].to_list(), strict=True):
        normal = normalise_platform(spelling)
        if normal:
            counts[normal] = counts.get(normal, 0) + records
    if not spellings:
        return column, counts
    names = [platforms.resolve(spelling) for spelling in spellings]
    return column.replace_strict(spellings, names, return_dtype=pl.String), counts


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
"""For each rule, the expression that is true of a record that breaks it, in order of precedence."""
