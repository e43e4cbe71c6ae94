"""Archiving raw files once their records are published, and restoring those that must be converted again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from uda_assets.lake import Lake
from uda_assets.pipeline.status import DropEntry, Status


def archive_sources(lake: Lake, entries: Sequence[DropEntry]) -> list[str]:
    """Move the raw files of committed drops below ``archive/``, and return these drops. A changed file stays."""
    state = lake.state()
    listing, versions = lake.raw.look(state.raw)
    merged = state.sessions.drops if state.sessions else {}
    # A link is archived before the drop to which it leads, while its content can still be read.
    links_first = sorted(entries, key=lambda entry: not lake.raw.is_link(entry.drop))
    return [
        entry.drop
        for entry in links_first
        if entry.status is Status.COMMITTED
        and entry.drop in listing.drops
        and entry.drop in merged
        and versions[entry.drop].content == state.drops[entry.drop].content
        and lake.raw.move_to_archive(entry.drop, listing.drops[entry.drop], versions[entry.drop].content)
    ]


def restore_archived(lake: Lake, absent: Iterable[str]) -> set[str]:
    """Move the archived raw files of drops back below ``datasets/``, and return the drops that were restored."""
    manifests = lake.state().drops
    contents = {drop: manifests[drop].content if drop in manifests else None for drop in absent}
    return {drop for drop, content in contents.items() if lake.raw.restore(drop, content)}
