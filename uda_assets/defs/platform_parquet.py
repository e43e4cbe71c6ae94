"""The converted drops: Parquet by platform, and the quarantine."""

import time
from typing import Any

import dagster as dg
from pydantic import Field

from uda_assets.basics.progress import Log
from uda_assets.contract.dictionary import QUARANTINE, RECORDS
from uda_assets.defs.common import (
    DEFAULTS,
    ENGINE,
    GROUP,
    OWNERS,
    check_result,
    file_at,
    table_metadata,
    table_schema,
    tags,
)
from uda_assets.defs.markdown import conversions_table, quarantine_table, rejections_table, worst_drops_table
from uda_assets.defs.resources import EngineResource, LakeResource, engine_metadata
from uda_assets.lake.integrity import inspect_drops
from uda_assets.pipeline.batch import ConversionReport
from uda_assets.pipeline.checks import (
    drop_volume_usual,
    files_as_written,
    no_rejected_drops,
    parquet_schema_matches,
    platforms_known,
    records_accounted,
    reject_ratio_low,
)
from uda_assets.pipeline.context import Run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.status import Inventory, drop_ledger_as_judged


class ConversionConfig(dg.Config):
    """How drops are converted, and what happens to malformed records and unknown platforms."""

    error_mode: str = Field(
        default=DEFAULTS.error_mode.value,
        description="lenient: quarantine malformed records; fail_fast: stop at the first one.",
    )
    max_reject_ratio: float = Field(
        default=DEFAULTS.max_reject_ratio, description="A drop with a larger share of malformed records is rejected."
    )
    engine: str = Field(default=DEFAULTS.engine.value, description=ENGINE)
    platforms: dict[str, list[str]] = Field(
        default={}, description="Further platforms and spellings for this run. Put lasting ones into platforms.toml."
    )
    suppliers: list[dict[str, Any]] = Field(
        default=[], description="Entries of suppliers for this run. Put lasting ones into suppliers.toml."
    )
    keep_unknown_platforms: bool | None = Field(
        default=DEFAULTS.keep_unknown_platforms,
        description="Keep unknown platforms instead of quarantining them. The default is in platforms.toml.",
    )
    max_drops_per_run: int = Field(
        default=DEFAULTS.max_drops_per_run,
        description="Convert at most this number of drops, the oldest first; 0: all.",
    )
    settle_seconds: float = Field(
        default=0.0, description="Leave drops alone that changed within this number of seconds. The sensor sets it."
    )
    threads: int = Field(default=DEFAULTS.threads, description="The number of blocks or drops that are read at once.")
    memory_limit: str = Field(
        default=DEFAULTS.memory_limit, description="Bounds how much of a drop is read at once, such as 1GiB."
    )


_CHECKS = [
    dg.AssetCheckSpec(
        "schema_matches_contract",
        asset="platform_parquet",
        blocking=True,
        description="Every converted file has exactly the columns and types above. If not, another program changed a "
        "file, and the next assets are not made: delete that drop's directory below `dataset_parquets/` and "
        "materialize again.",
    ),
    dg.AssetCheckSpec(
        "records_accounted",
        asset="platform_parquet",
        blocking=True,
        description="For each drop, records read = records kept + records in quarantine, counted in the files "
        "themselves. If not, files were lost or changed, and the next assets are not made: delete that drop's "
        "directory and materialize again.",
    ),
    dg.AssetCheckSpec(
        "files_as_written",
        asset="platform_parquet",
        description="Each file of a drop is there and has the checksum with which it was written. If not, the next run "
        "makes it anew from the raw file. If there is none, `uda verify` says what to do.",
    ),
    dg.AssetCheckSpec(
        "no_rejected_drops",
        asset="platform_parquet",
        description="No drop was rejected whole. If one was, the other drops went on, and an earlier version of it "
        "still counts. The cases say why it was rejected and what to do.",
    ),
    dg.AssetCheckSpec(
        "reject_ratio_low",
        asset="platform_parquet",
        description="No committed drop comes near `max_reject_ratio`, the share of malformed records that would reject "
        "it whole. If one does, tell its supplier. `uda quarantine --drop D` lists the records.",
    ),
    dg.AssetCheckSpec(
        "platforms_known",
        asset="platform_parquet",
        description="No record is quarantined for an unknown platform. If some are, add the spelling to "
        "`platforms.toml` below the platform that it means (the cases suggest one): the next run then keeps the "
        "records.",
    ),
    dg.AssetCheckSpec(
        "drop_volume_usual",
        asset="platform_parquet",
        description="None of the latest hundred drops has far fewer or far more records than at least eight earlier "
        "ones in its directory (by median and median absolute deviation). If one does, ask its supplier whether the "
        "delivery is complete and holds nothing twice. Its records count all the same.",
    ),
]


@dg.asset(
    deps=["raw_csv"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    tags=tags("clean"),
    metadata=table_metadata(RECORDS),
    check_specs=_CHECKS,
)
def platform_parquet(config: ConversionConfig, lake: LakeResource, engine: EngineResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The accepted records of every drop as Parquet by platform, and its malformed ones as quarantine.

    **What it is.** Each drop becomes `dataset_parquets/<drop>.parquet/platform=…/`, and each malformed record a row
    of `quarantine/` with its drop, line, reason and raw text. Nothing is lost: records read = kept + quarantined.
    Only drops that are new, changed, or affected by changed rules are converted.

    **What to do.** `quarantine_by_reason` says how to mend each kind of fault, and `uda quarantine --drop D` shows the
    records. Correct the lines and deliver the whole file again under the same name. Add unknown spellings of platforms
    to `platforms.toml`: the next run then keeps their records.
    """
    started = time.perf_counter()
    settings = lake.settings(
        error_mode=config.error_mode,
        max_reject_ratio=config.max_reject_ratio,
        engine=config.engine,
        keep_unknown_platforms=config.keep_unknown_platforms,
        threads=config.threads,
        memory_limit=config.memory_limit,
        max_drops_per_run=config.max_drops_per_run,
    )
    opened = engine.of(settings)
    before = opened.account()
    with lake.run(settings, opened, platforms=config.platforms, suppliers=config.suppliers) as run:
        report = convert_pending(run, settle_seconds=config.settle_seconds, progress=Log(dg.get_dagster_logger().info))
        manifests = run.lake.state().drops
        checks = _checked(run, report)
    converted, seconds = sum(one.records for one in report.converted), time.perf_counter() - started
    return dg.MaterializeResult(
        metadata={
            **table_metadata(RECORDS),
            "dagster/row_count": sum(manifest.kept for manifest in manifests.values()),
            "quarantine_by_reason": dg.MetadataValue.md(quarantine_table(manifests)),
            "quarantine_by_drop": dg.MetadataValue.md(worst_drops_table(manifests)),
            "converted_drops": dg.MetadataValue.md(conversions_table(report.converted)),
            "rejected_drops": dg.MetadataValue.md(rejections_table(report.rejected)),
            "drops": len(manifests),
            "converted_now": len(report.converted),
            "rejected_now": len(report.rejected),
            "put_off": len(report.put_off),
            "records": sum(manifest.records for manifest in manifests.values()),
            "quarantined": sum(manifest.quarantined for manifest in manifests.values()),
            "seconds": round(seconds, 3),
            "records_per_second": round(converted / seconds),
            "path": file_at(run.lake.parquets),
            "quarantine_path": file_at(run.lake.quarantine),
            "quarantine_columns": table_schema(QUARANTINE),
            "files_read": report.work.drops,
            "bytes_read": report.work.bytes_read,
            "passes_over_input": round(report.work.passes, 3),
            "rows_written": report.work.rows_written,
            **engine_metadata(before, opened.account()),
        },
        check_results=checks,
    )


def _checked(run: Run, report: ConversionReport) -> list[dg.AssetCheckResult]:
    """Check what is on disk, and what the manifests say. A file that has not changed is not opened again."""
    lake, state = run.lake, run.lake.state()
    if report.converted:
        # Without a conversion, all files have just been looked at.
        state = state.noting(files=inspect_drops(lake, state))
        lake.commit(state)
    limit = run.settings.max_reject_ratio
    rejected = no_rejected_drops(drop_ledger_as_judged(Inventory(state, report.listing), run.rules))
    return [
        check_result(parquet_schema_matches(state.files), "schema_matches_contract"),
        check_result(records_accounted(state.drops, state.files), "records_accounted"),
        check_result(files_as_written(state.files), "files_as_written"),
        check_result(rejected, "no_rejected_drops"),
        check_result(reject_ratio_low(state.drops, limit), "reject_ratio_low", warning=True),
        check_result(drop_volume_usual(state.drops), "drop_volume_usual", warning=True),
        check_result(platforms_known(state.drops, run.book.platforms), "platforms_known", warning=True),
    ]
