"""What the assets share: who owns them, how a table and a finding look in the UI."""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from uda_assets.basics.findings import Finding
from uda_assets.basics.settings import load_settings
from uda_assets.contract.dictionary import Table
from uda_assets.defs.markdown import cases_table
from uda_assets.storage import Location

GROUP = "leaderboards"
OWNERS = ["team:user-activity"]


def tags(layer: str) -> dict[str, str]:
    """An asset's tags: the domain, and which layer of it the asset is: raw, clean, core or published."""
    return {"domain": "user_activity", "layer": layer}


ENGINE = "What does the heavy work: polars (this machine) or dask (a cluster)."
"""What the setting of that name means, for the launchpad."""

DEFAULTS = load_settings()
"""The settings at the time the code is loaded: what the launchpad shows as defaults."""


def table_metadata(table: Table) -> dict[str, Any]:
    """A table's columns and what they are made from, for the UI."""
    return {"dagster/column_schema": table_schema(table), "dagster/column_lineage": _lineage(table)}


def table_schema(table: Table) -> dg.TableSchema:
    """A table's columns as Dagster describes them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.kind,
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ]
    )


def _lineage(table: Table) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(origin.table), origin.column) for origin in origins]
            for column, origins in table.origins().items()
            if origins
        }
    )


def overdue_after(hours: float) -> dg.FreshnessPolicy | None:
    """When the UI shows an asset as overdue, after a warning at half of the time; never for 0 hours."""
    if not hours:
        return None
    fail = max(timedelta(hours=hours), timedelta(minutes=2))
    return dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=fail / 2)


def file_at(path: Location) -> dg.PathMetadataValue:
    """Where a result is, for the UI, which offers to copy it."""
    return dg.MetadataValue.path(str(path.absolute()))


def moment_text(moment: datetime | None) -> str | None:
    """A setting's moment as run config gives it."""
    return moment.isoformat() if moment else None


def check_result(
    finding: Finding, name: str | None = None, *, warning: bool = False, asset: dg.AssetKey | None = None
) -> dg.AssetCheckResult:
    """A finding as Dagster shows it, as an error or as a warning.

    A step that has one check needs not name it, nor one with checks of one asset that.
    """
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=asset,
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.WARN if warning else dg.AssetCheckSeverity.ERROR,
        description=finding.summary,
        # The number is plotted over runs.
        metadata={"faults": len(finding.cases), "cases": dg.MetadataValue.md(cases_table(finding.cases))},
    )
