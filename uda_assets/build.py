"""The chain as one call, for the command line; in Dagster each step is an asset."""

from __future__ import annotations

from uda_assets.catalogue import pending, read_catalogue
from uda_assets.contract import Platforms, platforms_from, read_platforms
from uda_assets.conversion import ConversionReport, convert_drops
from uda_assets.errors import UdaError
from uda_assets.lake import Lake, hash_file
from uda_assets.sessions import merge_sessions
from uda_assets.settings import Settings
from uda_assets.warehouse import Publication, publish

PLATFORMS_FILE = "platforms.toml"


def platform_table(settings: Settings, further: object = None) -> Platforms:
    """The platform table in force: built in, the data root's ``platforms.toml``, and what a run config adds."""
    base = read_platforms(settings.root / PLATFORMS_FILE)
    keep_unknown = settings.keep_unknown_platforms or None
    return platforms_from(further or {}, base, keep_unknown=keep_unknown)


def convert_pending(lake: Lake, settings: Settings, platforms: Platforms) -> ConversionReport:
    """Convert what the catalogue says is pending; the caller holds the lake's lock."""
    entries = read_catalogue(lake, platforms, settings.max_reject_ratio)
    return convert_drops(lake, pending(entries), platforms, settings)


def publish_committed(lake: Lake, settings: Settings, platforms: Platforms) -> Publication:
    """Merge and publish what is committed; the caller holds the lake's lock."""
    merge_sessions(lake, settings)
    return publish(lake, settings, read_catalogue(lake, platforms, settings.max_reject_ratio))


def forget(lake: Lake, settings: Settings, drop: str) -> Publication:
    """Take a drop's contribution out for good and publish again; the same content is not converted any more.

    Raises:
        UdaError: There is no such drop.
    """
    platforms = platform_table(settings)
    with lake.writing(settings.lock_timeout):
        manifest, present = lake.manifest(drop), lake.drops()
        if manifest is None and drop not in present:
            raise UdaError(f"there is no drop {drop!r}; `uda drops` lists them")
        content = hash_file(lake.source(drop)) if drop in present else manifest.content if manifest else ""
        lake.forget_drop(drop, content)
        return publish_committed(lake, settings, platforms)
