"""What the assets share: group, owners and tags, and how tables and findings look in the UI."""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from uda_assets.basics.findings import Finding
from uda_assets.basics.settings import load_settings
from uda_assets.contract.dictionary import Table
from uda_assets.defs.markdown import cases_table
from uda_assets.storage import Location

GROUP = "leaderboards"
DAILY_GROUP = "daily_leaderboards"
"""A group of its own, since Dagster asks for partitions when assets with and without them are materialized together."""
OWNERS = ["team:user-activity"]


def tags(layer: str) -> dict[str, str]:
    """Return an asset's tags: its domain, and its layer (raw, clean, core or published)."""
    return {"domain": "user_activity", "layer": layer}


ENGINE = "The engine for the heavy work: polars (this machine) or dask (a cluster)."
"""The description of the setting in the launchpad."""

DEFAULTS = load_settings()
"""The settings when the code is loaded, which the launchpad shows as defaults."""


def table_metadata(table: Table) -> dict[str, Any]:
    """Return a table's columns and their lineage for the UI."""
    return {"dagster/column_schema": table_schema(table), "dagster/column_lineage": _lineage(table)}


def table_schema(table: Table) -> dg.TableSchema:
    """Return a table's columns as Dagster describes them."""
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
    """Return a policy that fails after so many hours and warns after half of them, or None for 0 hours."""
    if not hours:
        return None
    fail = max(timedelta(hours=hours), timedelta(minutes=2))
    return dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=fail / 2)


def file_at(path: Location) -> dg.PathMetadataValue:
    """Return the path of a result, which the UI offers to copy."""
    return dg.MetadataValue.path(str(path.absolute()))


def moment_text(moment: datetime | None) -> str | None:
    """Return a moment as run config writes it."""
    return moment.isoformat() if moment else None


def check_result(
    finding: Finding, name: str | None = None, *, warning: bool = False, asset: dg.AssetKey | None = None
) -> dg.AssetCheckResult:
    """Return a finding as the result of a check, which fails as an error or as a warning.

    Args:
        finding: What the check found.
        name: The check, if the step has several.
        warning: Whether a failure is only a warning.
        asset: The asset, if the step has checks of several.
    """
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=asset,
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.WARN if warning else dg.AssetCheckSeverity.ERROR,
        description=finding.summary,
        # Dagster plots the number over runs.
        metadata={"faults": len(finding.cases), "cases": dg.MetadataValue.md(cases_table(finding.cases))},
    )
