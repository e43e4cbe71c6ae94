"""Builds the report and writes it atomically."""

from __future__ import annotations

from typing import NamedTuple

from uda_assets.basics.settings import Settings
from uda_assets.lake import Lake
from uda_assets.report.content import Charted, read_content
from uda_assets.report.page import render
from uda_assets.report.vega import charting_script
from uda_assets.storage import Location, naming_file

REPORT_NAME = "report.html"


class Report(NamedTuple):
    """A report: the HTML page, and the data that its script draws."""

    html: str
    charted: Charted


def build_report(lake: Lake, settings: Settings) -> Report:
    """Return the report on what is published.

    Raises:
        UdaError: Nothing is published, or the published files cannot be read.
    """
    content = read_content(lake, settings)
    return Report(render(content, charting_script(lake)), content.charted)


def report_path(lake: Lake) -> Location:
    """Return the location of a data root's report."""
    return lake.results / REPORT_NAME


def write_report(lake: Lake, report: Report) -> Location:
    """Put a report among the results. The caller holds the lock of the data root."""
    path = report_path(lake)
    with lake.published.publishing() as publishing:
        temporary = publishing.replacing(path)
        with naming_file(path):
            temporary.write_text(report.html, encoding="utf-8")
    return path
