"""Where each drop stands: what is there, what is committed, and what a run has to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from uda_assets.lake import Contents, DropManifest, Lake, Ledger, Listing
from uda_assets.lake.integrity import FileFault, damaged_drops
from uda_assets.pipeline.rules import Rules


class Status(StrEnum):
    """Where a drop stands."""

    COMMITTED = "committed"
    REJECTED = "rejected"
    PENDING = "pending"
    FORGOTTEN = "forgotten"
    VANISHED = "vanished"
    IGNORED = "ignored"


class DropEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line of the drop ledger. Its numbers are those of the version that counts, even after a rejection."""

    drop: str
    status: Status
    records: int | None = None
    kept: int | None = None
    quarantined: int | None = None
    reason: str | None = None
    fingerprint: str | None = None
    converted_at: datetime | None = None
    supplier: str | None = None


class Inventory(NamedTuple):
    """What a data root holds at one moment.

    Attributes:
        listing: What is below ``datasets/``.
        contents: The checksums of the drops in it.
        archived: The drops with an archived raw file.
        manifests: The committed drops.
        ledger: The rejected and forgotten drops.
        damaged: The first fault of each committed drop whose files are missing or altered, if these were looked at.
        obstacles: What is in the place of archived drops below ``datasets/``, so that they cannot be restored.
    """

    listing: Listing
    contents: Contents
    archived: frozenset[str]
    manifests: Mapping[str, DropManifest]
    ledger: Ledger
    damaged: Mapping[str, FileFault]
    obstacles: Mapping[str, str]


def take_inventory(lake: Lake, *, check_files: bool) -> Inventory:
    """Look at a data root. No record is read.

    Args:
        lake: The data root.
        check_files: Whether to look at every converted file, so that a drop with a damaged file counts as pending if
            there is a raw file to convert again.
    """
    listing = lake.raw.listing()
    contents = lake.raw.contents(listing.drops)
    manifests = lake.converted.manifests()
    damaged = damaged_drops(lake, manifests) if check_files else {}
    archived = frozenset(lake.raw.archived())
    obstacles = {drop: found for drop in archived - listing.drops.keys() if (found := lake.raw.obstacle(drop))}
    return Inventory(listing, contents, archived, manifests, lake.ledger.load(), damaged, obstacles)


def drop_ledger(inventory: Inventory, rules: Rules) -> list[DropEntry]:
    """Return where all drops stand for a run under these rules, by name in ascending order."""
    return _entries(inventory, rules, as_judged=False)


def drop_ledger_as_judged(inventory: Inventory, rules: Rules) -> list[DropEntry]:
    """Return how the last conversion left all drops, by name in ascending order.

    A drop that it rejected is rejected here, even if it ran under stricter settings and a run under these rules would
    convert the drop.
    """
    return _entries(inventory, rules, as_judged=True)


def pending(entries: Iterable[DropEntry]) -> list[str]:
    """Return the names of the drops that a run has to convert."""
    return [entry.drop for entry in entries if entry.status is Status.PENDING]


def _entries(inventory: Inventory, rules: Rules, *, as_judged: bool) -> list[DropEntry]:
    manifests, damaged = inventory.manifests, inventory.damaged
    entries = {drop: _rejected(drop, reason, manifests.get(drop)) for drop, reason in _unreadable(inventory).items()}
    for drop, content in inventory.contents.checksums.items():
        entry = _present(drop, content, inventory, rules, as_judged=as_judged)
        if entry.status is Status.COMMITTED and drop in damaged:
            entry = _committed(manifests[drop], Status.PENDING, fingerprint=rules.fingerprint(drop, content))
        entries[drop] = entry
    absent = {*manifests, *inventory.ledger.forgotten, *inventory.archived}.difference(entries)
    for drop in absent:
        entries[drop] = _absent(drop, inventory, rules)
    for name, advice in inventory.listing.ignored.items():
        entries.setdefault(name, DropEntry(drop=name, status=Status.IGNORED, reason=f"ignored: {advice}"))
    return [_with_supplier(entries[drop], rules) for drop in sorted(entries)]


def _with_supplier(entry: DropEntry, rules: Rules) -> DropEntry:
    supplier = rules.book.suppliers.of(entry.drop) if entry.status is not Status.IGNORED else None
    return msgspec.structs.replace(entry, supplier=supplier.name) if supplier else entry


def _unreadable(inventory: Inventory) -> dict[str, str]:
    """Return the drops that cannot even be hashed, with the reason. A run cannot convert them either."""
    refused = {name: f"{code}: {advice}" for name, (code, advice) in inventory.listing.inaccessible.items()}
    return refused | {
        drop: f"unreadable: it cannot be read ({fault}); make it readable, or deliver it again"
        for drop, fault in inventory.contents.unreadable.items()
    }


def _absent(drop: str, inventory: Inventory, rules: Rules) -> DropEntry:
    """Return how a drop stands that has no raw file below ``datasets/``. It may have one in the archive."""
    manifest, damage = inventory.manifests.get(drop), inventory.damaged.get(drop)
    is_archived = drop in inventory.archived and drop not in inventory.ledger.forgotten
    if is_archived and (manifest is None or damage or not rules.would_repeat(manifest, manifest.content)):
        if obstacle := inventory.obstacles.get(drop):
            advice = f"place_taken: {obstacle} in the place of this archived drop; move it away, then materialize again"
            return _rejected(drop, advice, manifest)
        return _committed(manifest, Status.PENDING) if manifest else DropEntry(drop=drop, status=Status.PENDING)
    if manifest is None:
        return DropEntry(drop=drop, status=Status.FORGOTTEN)
    if damage:
        reason = f"damaged: {damage}; there is no raw file to convert again, deliver it again or `uda forget` it"
        return _committed(manifest, Status.VANISHED, reason=reason)
    return _committed(manifest, Status.COMMITTED if is_archived else Status.VANISHED)


def _present(drop: str, content: str, inventory: Inventory, rules: Rules, *, as_judged: bool) -> DropEntry:
    """Return how a drop stands that has a raw file."""
    manifest, ledger = inventory.manifests.get(drop), inventory.ledger
    rejection = ledger.rejections.get(drop)
    is_current = manifest is not None and rules.would_repeat(manifest, content)
    if manifest and is_current and not rejection and drop not in ledger.forgotten:
        # Most drops, most of the time: no fingerprint is needed.
        return _committed(manifest, Status.COMMITTED)
    fingerprint = rules.fingerprint(drop, content)
    if ledger.forgotten.get(drop) == content and (manifest is None or drop in ledger.removing):
        return DropEntry(drop=drop, status=Status.FORGOTTEN, fingerprint=fingerprint)
    if rejection and rejection.content == content:
        has_same_rules = rejection.fingerprint == fingerprint
        # Under another platform table, an earlier conversion may still be current.
        holds = has_same_rules or not is_current if as_judged else has_same_rules and rules.uphold(rejection)
        if holds:
            return _rejected(drop, f"{rejection.reason}: {rejection.advice}", manifest, fingerprint)
    if manifest is None:
        return DropEntry(drop=drop, status=Status.PENDING, fingerprint=fingerprint)
    if not is_current:
        return _committed(manifest, Status.PENDING, fingerprint=fingerprint)
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
    """Return the entry of a rejected drop, with the numbers of an earlier version, which still counts."""
    if manifest:
        return _committed(manifest, Status.REJECTED, fingerprint=fingerprint, reason=reason)
    return DropEntry(drop=drop, status=Status.REJECTED, reason=reason, fingerprint=fingerprint)
