"""The script that draws charts: Vega-Lite and its dependencies, from the package vl-convert."""

from __future__ import annotations

import importlib.metadata
from functools import cache

import vl_convert

from uda_assets.lake import Lake


def charting_script(lake: Lake) -> str:
    """Return the script, which defines ``vegaEmbed``.

    Bundling takes seconds, so the script is cached in the lake's notes.
    """
    version = importlib.metadata.version("vl-convert-python")
    cached = lake.notes.read("charting", tuple[str, str])
    if cached and cached[0] == version:
        return cached[1]
    script = _bundled()
    lake.notes.write("charting", (version, script))
    return script


@cache
def _bundled() -> str:
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script
