"""Forgetting a drop for good."""

from __future__ import annotations

from uda_assets.basics.errors import UdaError
from uda_assets.pipeline.arrivals import note_published
from uda_assets.pipeline.context import Run
from uda_assets.pipeline.publishing import Publication, publish_committed


def forget(run: Run, drop: str) -> Publication:
    """Take a drop's contribution out for good, and publish again. The same content is not converted any more.

    Raises:
        UdaError: There is no such drop.
    """
    lake = run.lake
    manifest, present = lake.converted.manifest(drop), lake.raw.listing().drops
    if manifest is None and drop not in present:
        raise UdaError(f"there is no drop {drop!r}; `uda drops` lists them")
    content = lake.files.hash(lake.source(drop)) if drop in present else manifest.content if manifest else ""
    note_published(lake, published=False)
    lake.forget(drop, content)
    return publish_committed(run)
