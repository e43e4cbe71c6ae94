"""What the assets share: who owns them, how a table and a finding look in the UI."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import dagster as dg
import polars as pl

from uda_assets.quality import Finding
from uda_assets.settings import load_settings

GROUP = "leaderboards"
OWNERS = ["team:user-activity"]
ENGINE = "What does the heavy work: polars (this machine) or dask (a cluster)."
DEFAULTS = load_settings()
"""The settings at the time the code is loaded: what the launchpad shows as defaults."""

_TYPES = {pl.String: "string", pl.Int64: "int64", pl.Datetime: "timestamp[us, UTC]"}


def column_schema(schema: Mapping[str, pl.DataType], descriptions: Mapping[str, str]) -> dg.TableSchema:
    """A table's columns for the UI."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                _TYPES[kind.base_type()],
                description=descriptions[name],
                constraints=dg.TableColumnConstraints(nullable=False),
            )
            for name, kind in schema.items()
        ]
    )


def moment_text(moment: datetime | None) -> str | None:
    """A setting's moment as run config gives it."""
    return moment.isoformat() if moment else None


def markdown(frame: pl.DataFrame, rows: int = 50) -> dg.MarkdownMetadataValue:
    """A table for the UI: at most ``rows`` rows; text from data cannot break out of its cell."""
    lines = [_line(frame.columns), _line("---" for _ in frame.columns)]
    lines += [
        _line("" if value is None else _cell(str(value)) for value in row) for row in frame.head(rows).iter_rows()
    ]
    if frame.height > rows:
        lines.append(f"\n… and {frame.height - rows} more")
    return dg.MetadataValue.md("\n".join(lines))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text[:200])
    return "".join(f"\\{character}" if character in r"\`*_{}[]()#+!|<>~$&" else character for character in shown)


def check_result(
    finding: Finding, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
) -> dg.AssetCheckResult:
    """A finding as Dagster shows it."""
    cases = pl.DataFrame({"case": list(finding.cases)}, schema={"case": pl.String})
    return dg.AssetCheckResult(
        passed=finding.passed,
        severity=severity,
        description=finding.summary,
        metadata={"cases": markdown(cases)} if finding.cases else {},
    )
