"""The catalogue of drops: what is there, what is committed, and what a run has to do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from uda_assets.basics.settings import Settings
from uda_assets.contract.platforms import Platforms
from uda_assets.ingest import Bounds, bounds_of
from uda_assets.ingest.convert import CONVERTER_VERSION
from uda_assets.lake import DropManifest, Lake, Ledger, Listing, Rejection
from uda_assets.lake.footers import Footers, read_footers


class Status(StrEnum):
    """Where a drop stands."""

    COMMITTED = "committed"
    REJECTED = "rejected"
    PENDING = "pending"
    FORGOTTEN = "forgotten"
    VANISHED = "vanished"


class DropEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line of the drop ledger; numbers are those of the committed version, which counts, also after a rejection."""

    drop: str
    status: Status
    records: int | None = None
    kept: int | None = None
    quarantined: int | None = None
    reason: str | None = None
    fingerprint: str | None = None
    converted_at: datetime | None = None


class Tolerance(NamedTuple):
    """How much is put up with: share of malformed records, and bounds."""

    max_reject_ratio: float
    bounds: Bounds

    def upholds(self, rejection: Rejection) -> bool:
        """Whether the drop would be rejected again, as far as this decides it."""
        if rejection.bound is not None:
            bound = self.bounds.of_reason(rejection.reason)
            return bound is not None and bound <= rejection.bound
        return not rejection.records or rejection.quarantined / rejection.records > self.max_reject_ratio


def fingerprint(content: str, platforms: Platforms) -> str:
    """Hash of a drop's content and of the rules that would be applied to it."""
    return hashlib.sha256("\n".join([content, CONVERTER_VERSION, platforms.fingerprint]).encode()).hexdigest()


def is_current(manifest: DropManifest, content: str, platforms: Platforms) -> bool:
    """Whether converting the content under these rules would give what is committed.

    A changed platform table affects a drop only through the spellings that occur in it.
    """
    if manifest.content != content or manifest.converter_version != CONVERTER_VERSION:
        return False
    if manifest.spellings is None:
        return manifest.fingerprint == fingerprint(content, platforms)
    return all(platforms.resolve(spelling) == meaning for spelling, meaning in manifest.meanings.items())


def read_catalogue(
    lake: Lake,
    platforms: Platforms,
    settings: Settings,
    listing: Listing | None = None,
    manifests: dict[str, DropManifest] | None = None,
    *,
    whole: bool = True,
    as_judged: bool = False,
) -> list[DropEntry]:
    """All drops, present or not, in ascending order of name.

    Args:
        lake: The data root.
        platforms: The platform table in force.
        settings: A rejection for more than ``max_reject_ratio`` and the bounds in it allow holds.
        listing: What is there, where it has been listed already.
        manifests: The committed drops, where they are known already.
        whole: Whether to look at every converted file, so that a drop of which one is missing or not as it was written
            counts as pending where there is a raw file to convert again.
        as_judged: Tell how the last conversion left each drop: one that it rejected is rejected, also where it went by
            stricter settings than these, and a run by these would convert it.

    """
    listing = listing or lake.listing()
    contents = lake.contents(listing.drops)
    tolerance = None if as_judged else Tolerance(settings.max_reject_ratio, bounds_of(settings))
    manifests, ledger = lake.manifests() if manifests is None else manifests, lake.ledger()
    # Files that cannot even be looked at; it is no use to convert them before something changes.
    faulty = {name: f"{reason}: {advice}" for name, (reason, advice) in listing.inaccessible.items()} | {
        name: f"unreadable: it cannot be read ({fault}); make it readable, or deliver it again"
        for name, fault in contents.unreadable.items()
    }
    entries = {name: _rejected(name, reason, manifests.get(name)) for name, reason in faulty.items()}
    footers = read_footers(lake, manifests) if whole else {}
    damaged = {name: found for name, found in footers.items() if not found.sound}
    for name, content in contents.hashes.items():
        entry = _entry(name, content, manifests.get(name), ledger, platforms, tolerance)
        if entry.status is Status.COMMITTED and name in damaged:
            entry = _committed(manifests[name], Status.PENDING, fingerprint=fingerprint(content, platforms))
        entries[name] = entry
    archived = lake.archived().keys() - ledger.forgotten
    for name in {*manifests, *ledger.forgotten, *archived}.difference(entries):
        entries[name] = _absent(name, manifests.get(name), damaged.get(name), platforms, archived=name in archived)
    return [entries[name] for name in sorted(entries)]


def _absent(
    drop: str, manifest: DropManifest | None, damage: Footers | None, platforms: Platforms, *, archived: bool
) -> DropEntry:
    """How a drop stands whose raw file is not where drops are; it may be archived."""
    if manifest is None:
        return DropEntry(drop=drop, status=Status.PENDING if archived else Status.FORGOTTEN)
    if archived and (damage or not is_current(manifest, manifest.content, platforms)):
        return _committed(manifest, Status.PENDING)
    if damage:
        (first, *_) = [*damage.damaged, *damage.faults]
        reason = f"damaged: {first}; there is no raw file to convert again, deliver it again or `uda forget` it"
        return _committed(manifest, Status.VANISHED, reason=reason)
    return _committed(manifest, Status.COMMITTED if archived else Status.VANISHED)


def _entry(
    drop: str,
    content: str,
    manifest: DropManifest | None,
    ledger: Ledger,
    platforms: Platforms,
    tolerance: Tolerance | None,
) -> DropEntry:
    """How a drop that is there stands; without a tolerance as it was judged last."""
    rejection = ledger.rejections.get(drop)
    current = manifest is not None and is_current(manifest, content, platforms)
    if manifest and current and not rejection and drop not in ledger.forgotten:
        # Most drops, most of the time: no fingerprint is needed.
        return _committed(manifest, Status.COMMITTED)
    mark = fingerprint(content, platforms)
    if ledger.forgotten.get(drop) == content and (manifest is None or drop in ledger.removing):
        return DropEntry(drop=drop, status=Status.FORGOTTEN, fingerprint=mark)
    if rejection and rejection.content == content:
        # Under another platform table, a drop may be committed as it is.
        same_rules = rejection.fingerprint == mark
        if (same_rules and tolerance.upholds(rejection)) if tolerance else (same_rules or not current):
            return _rejected(drop, f"{rejection.reason}: {rejection.advice}", manifest, mark)
    if manifest is None:
        return DropEntry(drop=drop, status=Status.PENDING, fingerprint=mark)
    if not current:
        return _committed(manifest, Status.PENDING, fingerprint=mark)
    return _committed(manifest, Status.COMMITTED)


def _committed(
    manifest: DropManifest, status: Status, fingerprint: str | None = None, reason: str | None = None
) -> DropEntry:
    return DropEntry(
        drop=manifest.drop,
        status=status,
        records=manifest.records,
        kept=manifest.kept,
        quarantined=manifest.quarantined,
        reason=reason,
        fingerprint=fingerprint or manifest.fingerprint,
        converted_at=manifest.converted_at,
    )


def _rejected(drop: str, reason: str, manifest: DropManifest | None, fingerprint: str | None = None) -> DropEntry:
    """A drop that nothing is taken from as it is; the numbers are those of an earlier version, which still counts."""
    if manifest:
        return _committed(manifest, Status.REJECTED, fingerprint=fingerprint, reason=reason)
    return DropEntry(drop=drop, status=Status.REJECTED, reason=reason, fingerprint=fingerprint)


def pending(entries: Iterable[DropEntry]) -> list[str]:
    """Names of the drops that a run has to convert."""
    return [entry.drop for entry in entries if entry.status == Status.PENDING]
