"""The report."""

import time

import dagster as dg
import polars as pl

from uda_assets.defs.common import GROUP, OWNERS, check_result, file_at, tags
from uda_assets.defs.resources import LakeResource, readable_failures
from uda_assets.pipeline.summary import summary
from uda_assets.report import build_report, is_reported, write_report
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
def leaderboard_report(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The published results as one HTML file that can be mailed: `results/report.html`.

    **What it is.** Leaderboards, sessions over time and per user, rank movement, data quality and provenance, made
    from the published warehouse alone. It needs no network, and is safe to open whatever the data hold.

    **What to do.** `uda report --open` shows it. Materialize it alone to make it again from the published warehouse.
    """
    started, settings = time.perf_counter(), lake.settings()
    with readable_failures():
        root = lake.open()
        is_new = not is_reported(root, root.state(), lake.book(settings).platforms)
    if is_new:
        with lake.writing(settings) as root:
            write_report(root, build_report(root, settings))
    with readable_failures(), root.scratch() as scratch:
        page, result = scratch / root.report.name, scratch / root.result_csv.name
        root.files.fetch(root.report, page)
        root.files.fetch(root.result_csv, result)
        size = page.stat().st_size
        board = pl.read_parquet(root.files.read(root.result_parquet))
        findings = {
            "report_shows_leaderboard": shows_leaderboard(page, result),
            "report_self_contained": is_self_contained(page),
        }
    context.log.info(summary(root, board, with_report=True))
    return dg.MaterializeResult(
        metadata={
            "is_new": is_new,
            "bytes": size,
            "seconds": round(time.perf_counter() - started, 3),
            "path": file_at(root.report),
        },
        check_results=[check_result(finding, name) for name, finding in findings.items()],
    )
