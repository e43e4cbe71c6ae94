"""The drops as Parquet by platform, and the quarantine."""

from collections import Counter

import dagster as dg
import polars as pl
from pydantic import Field

from uda_assets.build import convert_pending
from uda_assets.catalogue import read_catalogue
from uda_assets.contract import RECORD_SCHEMA, Reason
from uda_assets.defs.common import DEFAULTS, GROUP, OWNERS, check_result, column_schema, markdown
from uda_assets.defs.raw_csv import raw_csv
from uda_assets.defs.resources import LakeResource
from uda_assets.lake import DropManifest
from uda_assets.quality import (
    no_rejected_drops,
    parquet_schema_matches,
    platforms_known,
    records_accounted,
    reject_ratio_low,
)

_COLUMNS = {
    "user_id": "Opaque user id",
    "session_id": "Opaque session id, unique with platform and user",
    "platform": "Canonical platform; in the files' paths",
    "activity_time": "When it happened, UTC",
    "activity_type": "What the user did",
}


class ConversionConfig(dg.Config):
    """How malformed records and unknown platforms are treated."""

    error_mode: str = Field(
        default=DEFAULTS.error_mode.value,
        description="lenient: quarantine malformed records; fail_fast: stop at the first one.",
    )
    max_reject_ratio: float = Field(
        default=DEFAULTS.max_reject_ratio, description="A drop with a larger share of malformed records is rejected."
    )
    engine: str = Field(default=DEFAULTS.engine.value, description="What does the heavy work: polars.")
    platforms: dict[str, list[str]] = Field(
        default={}, description="Further platforms and spellings for this run; lasting ones go to platforms.toml."
    )
    keep_unknown_platforms: bool = Field(
        default=DEFAULTS.keep_unknown_platforms, description="Keep unknown platforms instead of quarantining them."
    )
    max_drops_per_run: int = Field(
        default=DEFAULTS.max_drops_per_run, description="Convert at most so many drops, the oldest first; 0: all."
    )
    settle_seconds: float = Field(
        default=0.0, description="Leave drops alone that changed more recently than this; the sensor sets it."
    )
    threads: int = Field(default=DEFAULTS.threads, description="Blocks of a drop, or drops, that are read at once.")


@dg.asset(deps=[raw_csv], group_name=GROUP, owners=OWNERS, kinds={"polars", "parquet"})
def platform_parquet(config: ConversionConfig, lake: LakeResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The accepted records of every drop as Parquet by platform, and its malformed ones as quarantine.

    Only drops whose fingerprint is not committed are converted. Every record is kept or quarantined with a reason.
    """
    settings = lake.settings(
        error_mode=config.error_mode,
        max_reject_ratio=config.max_reject_ratio,
        engine=config.engine,
        keep_unknown_platforms=config.keep_unknown_platforms,
        threads=config.threads,
        max_drops_per_run=config.max_drops_per_run,
    )
    with lake.writing(settings) as root:
        platforms = lake.platforms(settings, config.platforms)
        report = convert_pending(root, settings, platforms, settle_seconds=config.settle_seconds)
        manifests = root.manifests()
    return dg.MaterializeResult(
        metadata={
            "dagster/column_schema": column_schema(RECORD_SCHEMA, _COLUMNS),
            "dagster/row_count": sum(manifest.kept for manifest in manifests.values()),
            "drops": len(manifests),
            "converted_now": len(report.converted),
            "rejected_now": len(report.rejected),
            "put_off": len(report.put_off),
            "converted_drops": markdown(_converted(report.converted)),
            "records": sum(manifest.records for manifest in manifests.values()),
            "quarantined": sum(manifest.quarantined for manifest in manifests.values()),
            "quarantine_by_reason": markdown(_by_reason(manifests)),
            "path": dg.MetadataValue.path(str(root.parquets)),
        }
    )


def _converted(manifests: list[DropManifest]) -> pl.DataFrame:
    rows = [(manifest.drop, manifest.records, manifest.kept, manifest.quarantined) for manifest in manifests]
    return pl.DataFrame(rows, schema=["drop", "records", "kept", "quarantined"], orient="row")


def _by_reason(manifests: dict[str, DropManifest]) -> pl.DataFrame:
    reasons: Counter[str] = Counter()
    for manifest in manifests.values():
        reasons.update(manifest.reasons)
    explanations = {reason.value: reason.explanation for reason in Reason}
    rows = [(reason, count, explanations[reason]) for reason, count in reasons.most_common()]
    return pl.DataFrame(rows, schema=["reason", "records", "what to do"], orient="row")


@dg.asset_check(asset=platform_parquet, name="schema_matches_contract", blocking=True)
def check_schema_matches_contract(lake: LakeResource) -> dg.AssetCheckResult:
    """Every part file has exactly the contract's columns and types."""
    return check_result(parquet_schema_matches(lake.open()))


@dg.asset_check(asset=platform_parquet, name="records_accounted", blocking=True)
def check_records_accounted(lake: LakeResource) -> dg.AssetCheckResult:
    """For each drop, records read = rows in its part files + rows in its quarantine, counted on disk."""
    return check_result(records_accounted(lake.open()))


@dg.asset_check(asset=platform_parquet, name="no_rejected_drops")
def check_no_rejected_drops(lake: LakeResource) -> dg.AssetCheckResult:
    """No drop was rejected whole; where one was, its reason and what to do."""
    settings = lake.settings()
    entries = read_catalogue(lake.open(), lake.platforms(settings), settings.max_reject_ratio)
    return check_result(no_rejected_drops(entries))


@dg.asset_check(asset=platform_parquet, name="reject_ratio_low")
def check_reject_ratio_low(lake: LakeResource) -> dg.AssetCheckResult:
    """No committed drop comes near the share of malformed records at which it would be rejected."""
    finding = reject_ratio_low(lake.open(), lake.settings().max_reject_ratio)
    return check_result(finding, dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset=platform_parquet, name="platforms_known")
def check_platforms_known(lake: LakeResource) -> dg.AssetCheckResult:
    """No record is quarantined for an unknown platform; where one is, the likely alias."""
    finding = platforms_known(lake.open(), lake.platforms(lake.settings()))
    return check_result(finding, dg.AssetCheckSeverity.WARN)
