"""Forgetting a drop for good."""

from __future__ import annotations

from typing import TypeVar

from uda_assets.basics.errors import UdaError
from uda_assets.basics.moments import reached
from uda_assets.pipeline.context import Run
from uda_assets.pipeline.publishing import Published, publish_committed

T = TypeVar("T")


def forget(run: Run, drop: str) -> Published:
    """Take a drop's contribution out for good, and publish again. The same content is not converted any more.

    Raises:
        UdaError: There is no such drop.
    """
    lake, state = run.lake, run.lake.state()
    manifest, present = state.drops.get(drop), lake.raw.listing().drops
    if manifest is None and drop not in present:
        raise UdaError(f"there is no drop {drop!r}; `uda drops` lists them")
    content = lake.files.hash(lake.source(drop)) if drop in present else manifest.content if manifest else ""
    # Nothing of it stays for readers of the warehouse that is published so far.
    gone = lake.paths_of(manifest) if manifest else []
    lake.commit(
        state.changed(
            drops=_without(drop, state.drops),
            files=_without(drop, state.files),
            rejections=_without(drop, state.rejections),
            forgotten=state.forgotten | {drop: content},
            obsolete=[*state.obsolete, *gone],
        )
    )
    reached("forget: committed")
    return publish_committed(run)


def _without(drop: str, known: dict[str, T]) -> dict[str, T]:
    return {name: value for name, value in known.items() if name != drop}
