"""The rules that decide whether a record is kept, as plain Polars expressions."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.platforms import Platforms, normalise_platform
from uda_assets.contract.reasons import Reason
from uda_assets.contract.times import parse_times


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
