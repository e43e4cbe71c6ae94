"""The chart for the README: seconds of each program, ours in colour. Legible on a light and on a dark page.

python -m benchmarks.chart results.json results.svg
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt

from benchmarks.contest import Contest, Row
from benchmarks.report import Report, read_report

# Contrast of at least 3 on white and on black alike, and no background.
_TEXT, _RIVAL, _OURS = "#808080", "#8c8c8c", "#2f81f7"
_WIDTH, _BAR = 460, 22
_GROUPS = ("P1", "P2")


def chart(report: Report) -> Any:
    """Bars of the leaderboard and of the whole chain, of the largest data that were measured."""
    panels = [_panel(contest) for contest in _chosen(report.contests)]
    return (
        alt.vconcat(*panels, spacing=26)
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(labelColor=_TEXT, labelFontSize=12, grid=False, domain=False, ticks=False, minExtent=170)
        .configure_title(color=_TEXT, fontSize=13, subtitleColor=_TEXT, anchor="start", frame="group", offset=8)
    )


def _chosen(contests: Sequence[Contest]) -> list[Contest]:
    """Of each group the last two titles, clean and malformed: contests come by growing size."""
    chosen: list[Contest] = []
    for group in _GROUPS:
        ordered = [contest for contest in contests if contest.group == group and "shuffled" not in contest.title]
        chosen += ordered[-2:]
    return chosen


def _panel(contest: Contest) -> Any:
    rows = [row for row in contest.rows if row.runs]
    data = alt.Data(values=[_bar(row) for row in rows])
    # Long bars would leave no room for the text behind them.
    longest = max(row.seconds for row in rows) * 1.3
    y = alt.Y("name:N", sort=None, title=None)
    x = alt.X("seconds:Q", title=None, axis=None, scale=alt.Scale(domain=[0, longest]))
    base = alt.Chart(data).encode(y=y)
    colour = alt.Color("colour:N", scale=None, legend=None)
    bars = base.mark_bar(cornerRadiusEnd=2).encode(x=x, color=colour)
    labels = base.mark_text(align="left", dx=6, color=_TEXT, fontSize=12).encode(x=x, text="label:N")
    # Short lines, as the reader's font may be wider than the one that the room for them is measured with.
    what, data_are = re.split(r", (?=\d)", contest.title, maxsplit=1)
    title = alt.TitleParams(what, subtitle=f"{data_are}: seconds, and peak memory")
    return alt.layer(bars, labels).properties(width=_WIDTH, height=_BAR * len(rows), title=title)


def _bar(row: Row) -> dict[str, Any]:
    label = f"{row.seconds:.1f} s, {row.peak:.0f} MiB"
    return {"name": row.name, "seconds": row.seconds, "label": label, "colour": _OURS if row.ours else _RIVAL}


def main() -> None:
    """Draw the report of an earlier run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="the .json of a run")
    parser.add_argument("svg", type=Path)
    options = parser.parse_args()
    chart(read_report(options.report)).save(options.svg)


if __name__ == "__main__":
    main()
