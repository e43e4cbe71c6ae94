"""Builds the report and writes it atomically."""

from __future__ import annotations

import importlib.metadata
from typing import NamedTuple

from blake3 import blake3

from uda_assets.basics.settings import Settings
from uda_assets.contract.platforms import Platforms, platform_table
from uda_assets.lake import Lake, State
from uda_assets.lake.integrity import signatures_of
from uda_assets.lake.publishing import publishing
from uda_assets.report.content import Charted, read_content
from uda_assets.report.page import render
from uda_assets.report.vega import charting_script
from uda_assets.storage import Location, naming_file


class Report(NamedTuple):
    """A report: the HTML page, the data that its script draws, and a hash of what it was made from."""

    html: str
    charted: Charted
    made_from: str


def build_report(lake: Lake, settings: Settings) -> Report:
    """Return the report on what is published.

    Raises:
        UdaError: Nothing is published, or the published files cannot be read.
    """
    made_from = _hash_of_inputs(lake, lake.state(), platform_table(lake.root, settings))
    content = read_content(lake, settings)
    return Report(render(content, charting_script(lake)), content.charted, made_from)


def is_reported(lake: Lake, state: State, platforms: Platforms) -> bool:
    """Return whether the report that is in place shows what is published."""
    path = lake.below(lake.report)
    if state.reported != _hash_of_inputs(lake, state, platforms) or path not in state.seen:
        return False
    return signatures_of(lake, [path]).get(path) == state.seen[path]


def write_report(lake: Lake, report: Report) -> Location:
    """Put a report among the results. The caller holds the lock of the data root."""
    with publishing(lake) as publication:
        new = publication.replacing(lake.report)
        with naming_file(lake.report):
            new.write_text(report.html, encoding="utf-8")
        publication.state = publication.state.noting(reported=report.made_from)
    return lake.report


def _hash_of_inputs(lake: Lake, state: State, platforms: Platforms) -> str:
    versions = [importlib.metadata.version(name) for name in ("uda-assets", "duckdb", "polars")]
    warehouse = state.results.get(lake.below(lake.warehouse))
    return blake3(repr((warehouse, platforms.fingerprint, versions)).encode()).hexdigest()
