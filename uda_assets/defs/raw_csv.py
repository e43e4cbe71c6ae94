"""The catalogue of drops."""

from collections import Counter

import dagster as dg

from uda_assets.catalogue import pending, read_catalogue
from uda_assets.defs.common import GROUP, OWNERS, check_result, markdown
from uda_assets.defs.resources import LakeResource
from uda_assets.quality import drops_present, headers_readable
from uda_assets.warehouse import drops_frame


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"csv"})
def raw_csv(lake: LakeResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The drops below `datasets/`: which are there, what is in them (by fingerprint), and where each one stands.

    Reads no record. A drop is a `.csv`, `.csv.gz` or `.csv.zst` file; names that start with `.` or end in `.part` or
    `.tmp` are not drops yet.
    """
    settings = lake.settings()
    with lake.writing(settings) as root:
        entries = read_catalogue(root, lake.platforms(settings), settings.max_reject_ratio)
        sizes = sum(stat.st_size for stat in root.drops().values())
    counts = Counter(entry.status.value for entry in entries)
    ledger = drops_frame(entries).drop("fingerprint")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(entries),
            "pending": counts["pending"],
            "rejected": counts["rejected"],
            "bytes": sizes,
            "drops": markdown(ledger),
        }
    )


@dg.asset_check(asset=raw_csv, name="drops_present")
def check_drops_present(lake: LakeResource) -> dg.AssetCheckResult:
    """There is at least one drop."""
    settings = lake.settings()
    entries = read_catalogue(lake.open(), lake.platforms(settings), settings.max_reject_ratio)
    return check_result(drops_present(entries), dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset=raw_csv, name="headers_readable")
def check_headers_readable(lake: LakeResource) -> dg.AssetCheckResult:
    """The header of each pending drop names every required column once."""
    settings = lake.settings()
    root = lake.open()
    waiting = pending(read_catalogue(root, lake.platforms(settings), settings.max_reject_ratio))
    return check_result(headers_readable(root, waiting), dg.AssetCheckSeverity.WARN)
