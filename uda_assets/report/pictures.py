"""The leaderboard as a picture, for places that show images: a bar for each of the top users of each platform."""

from __future__ import annotations

import io
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import vl_convert

from uda_assets.basics.visible import visibly
from uda_assets.lake import Lake

if TYPE_CHECKING:
    import polars as pl

_MOST_PLATFORMS = 6
_COLOURS = 32
_LONGEST_NAME = 24
_HUES = ("#4457d6", "#0b7a75", "#b4530a", "#a3246f", "#6d3fc0", "#33658a")
_INK, _FAINT = "#1f2430", "#666c7a"


def published_picture(lake: Lake, board: pl.DataFrame) -> bytes:
    """Return the PNG picture of the published leaderboard.

    The picture is cached in the lake's notes, because a publication often does not change the leaderboard.

    Args:
        lake: The data root.
        board: The published leaderboard.
    """
    publication = lake.state().publication
    name = publication.board.name if publication else None
    cached = lake.notes.read("chart", tuple[str, bytes])
    if cached and cached[0] == name:
        return cached[1]
    png = leaderboard_chart_png(board)
    if name:
        lake.notes.write("chart", (name, png))
    return png


def leaderboard_chart_svg(board: pl.DataFrame, users: int = 10) -> str:
    """Return the bars of the top users of each platform, as SVG on a white background.

    Args:
        board: A leaderboard, in its order: ``platform, user_id, session_count``.
        users: The most users to show for each platform.
    """
    svg: str = vl_convert.vegalite_to_svg(_spec(board, users))
    return svg


def leaderboard_chart_png(board: pl.DataFrame, users: int = 10) -> bytes:
    """Return the same picture as PNG, in a size that fits into Dagster's UI."""
    from PIL import Image  # noqa: PLC0415 - slow to import, and seldom needed

    png = vl_convert.svg_to_png(leaderboard_chart_svg(board, users))
    compact = io.BytesIO()
    # With a palette for its few flat colours, the file has a seventh of the size: small enough to be part of an event.
    flat = Image.open(io.BytesIO(png)).convert("RGB")
    flat.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(compact, "PNG")
    return compact.getvalue()


def _spec(board: pl.DataFrame, users: int) -> dict[str, Any]:
    platforms = [
        (name, [(_short(user), count) for _, user, count in islice(rows, users)])
        for name, rows in groupby(board.iter_rows(), key=lambda row: row[0])
    ]
    charts = [
        _bars(_short(name), rows, hue) for (name, rows), hue in zip(platforms[:_MOST_PLATFORMS], _HUES, strict=False)
    ]
    left_out = len(platforms) - len(charts)
    return {
        "background": "white",
        "padding": 16,
        "title": {
            "text": "Sessions of the leading users" if charts else "No sessions yet",
            "subtitle": f"and {left_out:,} further platforms" if left_out else "",
            "anchor": "start", "fontSize": 16, "color": _INK, "subtitleColor": _FAINT, "offset": 12,
        },
        "concat": charts or [{"data": {"values": []}, "mark": "bar"}],
        "columns": 3,
        "spacing": 28,
        "config": {"font": "sans-serif", "view": {"stroke": None}, "concat": {"spacing": 28}},
        "resolve": {"scale": {"x": "independent", "y": "independent"}},
    }  # fmt: skip


def _short(text: str) -> str:
    visible = visibly(text[: _LONGEST_NAME + 1])
    return visible if len(visible) <= _LONGEST_NAME else f"{visible[: _LONGEST_NAME - 1]}…"


def _bars(platform: str, rows: list[tuple[str, int]], hue: str) -> dict[str, Any]:
    # The rank in front keeps apart two names that are shortened to the same text.
    values = [{"user": f"{rank}  {user}", "sessions": count} for rank, (user, count) in enumerate(rows, 1)]
    y = {
        "field": "user", "type": "nominal", "sort": None, "title": None,
        "axis": {"labelLimit": 190, "ticks": False, "domain": False, "labelPadding": 8, "labelColor": _INK,
                 "labelFontSize": 12},
    }  # fmt: skip
    x = {"field": "sessions", "type": "quantitative", "axis": None, "scale": {"domainMin": 0}}
    return {
        "title": {"text": platform, "anchor": "start", "frame": "group", "fontSize": 13, "color": _INK},
        "data": {"values": values},
        "width": 150,
        "height": {"step": 24},
        "encoding": {"y": y, "x": x},
        "layer": [
            {"mark": {"type": "bar", "color": hue, "cornerRadiusEnd": 3, "height": 15}},
            {
                "mark": {"type": "text", "align": "left", "dx": 6, "color": _FAINT, "fontSize": 12},
                "encoding": {"text": {"field": "sessions", "type": "quantitative", "format": ","}},
            },
        ],
    }
