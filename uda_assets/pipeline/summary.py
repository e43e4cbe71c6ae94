"""What a person wants to know at the end of a run."""

from __future__ import annotations

from collections import Counter

import polars as pl

from uda_assets.basics.visible import visibly
from uda_assets.lake import Lake, State

_LEADING = 3


def summary(lake: Lake, leaderboard: pl.DataFrame, *, with_report: bool) -> str:
    """Return what was read and published, where it is, and what to do next, in a few lines.

    Args:
        lake: The data root, on which the leaderboard is published.
        leaderboard: The published leaderboard.
        with_report: Whether the run has made the report too.
    """
    state = lake.state()
    platforms = leaderboard["platform"].n_unique()
    # Run config may have chosen another N than the settings.
    at_most = f", at most {state.publication.n:,} of each" if state.publication else ""
    lines = {
        "Records": _records(state),
        "Drops": _drops(state),
        "Leaderboard": f"{leaderboard.height:,} users of {platforms:,} platforms{at_most}",
        "Result": f"{lake.result_csv} (and .parquet)",
        "Warehouse": str(lake.warehouse),
        "Report": str(lake.report) if with_report else "not part of this run: uv run uda report",
        "Next": _next(state),
    }
    return "\n".join(["the leaderboard is published", *(f"{name + ':':<13}{text}" for name, text in lines.items())])


def _records(state: State) -> str:
    manifests = state.drops.values()
    read, kept = sum(one.records for one in manifests), sum(one.kept for one in manifests)
    reasons: Counter[str] = Counter()
    for manifest in manifests:
        reasons.update(manifest.reasons)
    leading = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common(_LEADING))
    mostly = f" ({'mostly ' if len(reasons) > _LEADING else ''}{leading})" if leading else ""
    return f"{read:,} read = {kept:,} kept + {read - kept:,} in quarantine{mostly}"


def _drops(state: State) -> str:
    committed = f"{len(state.drops):,} committed"
    if not state.rejections:
        return f"{committed}, none rejected"
    drop, rejection = next(iter(state.rejections.items()))
    return f"{committed}, {len(state.rejections):,} rejected, such as {visibly(drop)}: {rejection.reason}"


def _next(state: State) -> str:
    if state.rejections:
        return "uv run uda drops says how to mend the rejected drops"
    if any(manifest.quarantined for manifest in state.drops.values()):
        return "uv run uda quarantine lists the malformed records; uv run uda dev opens the UI"
    return "uv run uda dev opens the UI; uv run uda leaderboard --n 7 prints another leaderboard"
