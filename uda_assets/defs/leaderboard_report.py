"""The report."""

import time

import dagster as dg
import polars as pl

from uda_assets.defs.common import GROUP, OWNERS, check_result, file_at, tags
from uda_assets.defs.markdown import picture
from uda_assets.defs.resources import LakeResource
from uda_assets.report import build_report, published_picture, write_report
from uda_assets.report.verify import is_self_contained, shows_leaderboard

_CHECKS = [
    dg.AssetCheckSpec(
        "report_shows_leaderboard",
        asset="leaderboard_report",
        description="The leaderboards in the report are those of the Result CSV. If not, another program changed one "
        "of the two: materialize top_n_by_platform and the report again.",
    ),
    dg.AssetCheckSpec(
        "report_self_contained",
        asset="leaderboard_report",
        description="The report refers to no other file, runs no other script, and is small enough to be mailed. If "
        "not, this program is at fault: please report it, and do not mail the page.",
    ),
]


@dg.asset(
    deps=["top_n_by_platform"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"html"},
    tags=tags("published"),
    check_specs=_CHECKS,
)
def leaderboard_report(lake: LakeResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The published results as one HTML file that can be mailed: `results/report.html`.

    **What it is.** Leaderboards, sessions over time and per user, rank movement, data quality and provenance, made
    from the published warehouse alone. It needs no network, and is safe to open whatever the data hold.

    **What to do.** `uda report --open` shows it. Materialize it alone to make it again from the published warehouse.
    """
    started, settings = time.perf_counter(), lake.settings()
    with lake.writing(settings) as root:
        path = write_report(root, build_report(root, settings))
        findings = {
            "report_shows_leaderboard": shows_leaderboard(path, root.result_csv),
            "report_self_contained": is_self_contained(path),
        }
        chart = published_picture(root, pl.read_parquet(root.files.read(root.result_parquet)))
    return dg.MaterializeResult(
        metadata={
            "chart": dg.MetadataValue.md(picture(chart, "Sessions of the leading users of each platform")),
            "bytes": path.stat().st_size,
            "seconds": round(time.perf_counter() - started, 3),
            "path": file_at(path),
        },
        check_results=[check_result(finding, name) for name, finding in findings.items()],
    )
