"""The script that draws charts: Vega-Lite with all it needs, as the package vl-convert carries it."""

from __future__ import annotations

import importlib.metadata
from functools import cache

import vl_convert

from uda_assets.lake import Lake


def charting_script(lake: Lake) -> str:
    """The script, which sets ``vegaEmbed``; bundling takes seconds, so that it is noted below the data root."""
    version = importlib.metadata.version("vl-convert-python")
    noted = lake.notes.read("charting", tuple[str, str])
    if noted and noted[0] == version:
        return noted[1]
    script = _bundled()
    lake.notes.write("charting", (version, script))
    return script


@cache
def _bundled() -> str:
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script
