"""The chain as one call, for the command line; in Dagster each step is an asset."""

from __future__ import annotations

import time

from uda_assets.basics.errors import UdaError
from uda_assets.basics.progress import Progress
from uda_assets.basics.settings import CleanSource, Settings
from uda_assets.contract.platforms import Platforms, platform_table
from uda_assets.engines import Engine, running
from uda_assets.lake import Lake, open_lake
from uda_assets.pipeline.arrivals import (
    Arrivals,
    is_settled,
    look_for_arrivals,
    note_examined,
    note_published,
    rules_mark,
)
from uda_assets.pipeline.catalogue import DropEntry, Status, pending, read_catalogue
from uda_assets.pipeline.conversion import ConversionReport, convert_drops
from uda_assets.pipeline.publishing import Publication, publish
from uda_assets.pipeline.sessions import merge_sessions
from uda_assets.storage import root_of
from uda_assets.warehouse.database import Connect


def arrivals(settings: Settings) -> Arrivals:
    """What a run would have to look at, by directory listings alone."""
    rules = rules_mark(platform_table(root_of(settings), settings), settings)
    return look_for_arrivals(open_lake(settings), rules, settings.settle_seconds)


def convert_pending(
    lake: Lake,
    settings: Settings,
    platforms: Platforms,
    *,
    settle_seconds: float = 0.0,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Convert what the catalogue says is pending, the oldest first; the caller holds the lake's lock.

    Args:
        lake: The data root.
        settings: ``max_drops_per_run`` bounds how many; what is left stays pending.
        platforms: The platform table in force.
        settle_seconds: Leave drops alone that changed more recently than this.
        engine: What does the work; by default the one that the settings choose.
        progress: Told how far it is.
    """
    listing, now = lake.listing(), time.time()
    waiting = pending(read_catalogue(lake, platforms, settings, listing))
    if restored := _restore_archived(lake, [drop for drop in waiting if drop not in listing.drops]):
        listing = lake.listing()
    listed = listing.drops
    ready = [
        drop
        for drop in waiting
        if drop in listed and (drop in restored or is_settled(listed[drop], settle_seconds, now))
    ]
    ready.sort(key=lambda drop: (listed[drop].modified, drop))
    chosen = ready[: settings.max_drops_per_run or None]
    if progress:
        progress.begin({drop: listed[drop].size for drop in chosen})
    on_advance = progress.advance if progress else None
    report = convert_drops(lake, chosen, platforms, settings, engine=engine, on_advance=on_advance)
    rules = rules_mark(platforms, settings)
    left = set(waiting).difference(chosen).union(report.put_off)
    note_examined(lake, rules, listed, left, converted=bool(report.converted))
    if report.converted:
        lake.note_manifests()
    return report


def _restore_archived(lake: Lake, absent: list[str]) -> set[str]:
    """Bring the raw files of drops back that are to be converted again."""
    manifests = lake.manifests()
    contents = {drop: manifests[drop].content if drop in manifests else None for drop in absent}
    return {drop for drop, content in contents.items() if lake.restore_drop(drop, content)}


def publish_committed(
    lake: Lake, settings: Settings, platforms: Platforms, engine: Engine | None = None
) -> Publication:
    """Merge and publish what is committed; the caller holds the lake's lock."""
    with running(engine, settings) as opened:
        merge_sessions(lake, settings, opened)
        return publish_merged(lake, settings, platforms, engine=opened)


def publish_merged(
    lake: Lake,
    settings: Settings,
    platforms: Platforms,
    connect: Connect | None = None,
    engine: Engine | None = None,
) -> Publication:
    """Publish the sessions, then archive the raw files if so configured; the caller holds the lake's lock.

    Sessions that are not those of the committed drops are merged first: between the steps of a run, another writer may
    have converted more, and what is published is to be of one state.
    """
    if not _is_merged(lake):
        merge_sessions(lake, settings, engine)
    archiving = settings.clean_source is CleanSource.ARCHIVE
    # No raw file is moved away while a file of its converted form is missing.
    entries = read_catalogue(lake, platforms, settings, whole=archiving, as_judged=True)
    published = publish(lake, settings, entries, connect, engine)
    if archiving:
        archive_sources(lake, entries)
    note_published(lake, published=True)
    return published


def _is_merged(lake: Lake) -> bool:
    merged = lake.sessions_manifest()
    committed = {drop: manifest.fingerprint for drop, manifest in lake.manifests().items()}
    return committed == (merged.drops if merged else {})


def archive_sources(lake: Lake, entries: list[DropEntry]) -> list[str]:
    """Move the raw files of committed drops below ``archive``; one that has changed meanwhile stays."""
    listed, manifests, merged = lake.drops(), lake.manifests(), lake.sessions_manifest()
    hashes = lake.contents(listed).hashes
    return [
        entry.drop
        for entry in entries
        if entry.status is Status.COMMITTED
        and entry.drop in listed
        and merged is not None
        and entry.drop in merged.drops
        and hashes.get(entry.drop) == manifests[entry.drop].content
        and lake.archive_drop(entry.drop, listed[entry.drop], hashes[entry.drop])
    ]


def forget(lake: Lake, settings: Settings, drop: str, engine: Engine | None = None) -> Publication:
    """Take a drop's contribution out for good and publish again; the same content is not converted any more.

    Raises:
        UdaError: There is no such drop.
    """
    platforms = platform_table(root_of(settings), settings)
    with lake.writing(settings.lock_timeout):
        manifest, present = lake.manifest(drop), lake.drops()
        if manifest is None and drop not in present:
            raise UdaError(f"there is no drop {drop!r}; `uda drops` lists them")
        content = lake.files.hash(lake.source(drop)) if drop in present else manifest.content if manifest else ""
        note_published(lake, published=False)
        lake.forget_drop(drop, content)
        return publish_committed(lake, settings, platforms, engine)
