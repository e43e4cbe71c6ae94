"""Where each drop stands: one function of the state, of what is there, and of the rules.

Sensor, run, ledger, `uda drops` and `uda verify` all ask it. The sensor asks from listings alone. A drop whose content
is not known by its signature is pending for it; a run hashes that drop first.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from uda_assets.basics.settings import Settings
from uda_assets.contract.suppliers import rulebook
from uda_assets.lake import DropManifest, Lake, Listing, State, open_lake
from uda_assets.lake.integrity import inspect_drops
from uda_assets.pipeline.rules import Rules, rules_of
from uda_assets.storage import Signature


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
        state: What the lake knows. The checksums in it are those of the drops that are there now.
        listing: What is below ``datasets/`` and ``archive/``.
        is_news: Whether something of the state is not committed yet.
    """

    state: State
    listing: Listing
    is_news: bool = False


def take_inventory(lake: Lake, *, check_files: bool) -> Inventory:
    """Look at a data root, and hash the drops that are new or changed. No record is read, and nothing is written.

    Args:
        lake: The data root.
        check_files: Whether to look at every converted file, so that a drop with a damaged file counts as pending if
            there is a raw file to convert again.
    """
    state = lake.state()
    look = lake.raw.look(state.raw)
    files = inspect_drops(lake, state) if check_files else state.files
    found = state.noting(raw=look.versions, files=files)
    return Inventory(found, look.listing, is_news=found != state)


def drop_ledger(inventory: Inventory, rules: Rules) -> list[DropEntry]:
    """Return where all drops stand for a run under these rules, by name in ascending order."""
    return list(_Ledger(inventory, rules, as_judged=False).entries())


def drop_ledger_as_judged(inventory: Inventory, rules: Rules) -> list[DropEntry]:
    """Return how the last conversion left all drops, by name in ascending order.

    A drop that it rejected is rejected here, even if it ran under stricter settings and a run under these rules would
    convert the drop.
    """
    return list(_Ledger(inventory, rules, as_judged=True).entries())


def pending(entries: Iterable[DropEntry]) -> list[str]:
    """Return the names of the drops that a run has to convert."""
    return [entry.drop for entry in entries if entry.status is Status.PENDING]


class _Ledger:
    """The ledger of an inventory under some rules."""

    def __init__(self, inventory: Inventory, rules: Rules, *, as_judged: bool) -> None:
        self._state, self._listing = inventory.state, inventory.listing
        self._rules, self._as_judged = rules, as_judged

    def entries(self) -> Iterator[DropEntry]:
        """Return the entries by name in ascending order."""
        state, listing = self._state, self._listing
        entries = {drop: self._present(drop, signature) for drop, signature in listing.drops.items()}
        for name, (code, advice) in listing.inaccessible.items():
            entries[name] = _rejected(name, f"{code}: {advice}", state.drops.get(name))
        for drop in {*state.drops, *state.forgotten, *listing.archived}.difference(entries):
            entries[drop] = self._absent(drop)
        for name, advice in listing.ignored.items():
            entries.setdefault(name, DropEntry(drop=name, status=Status.IGNORED, reason=f"ignored: {advice}"))
        return (self._with_supplier(entries[drop]) for drop in sorted(entries))

    def _with_supplier(self, entry: DropEntry) -> DropEntry:
        supplier = self._rules.book.suppliers.of(entry.drop) if entry.status is not Status.IGNORED else None
        return msgspec.structs.replace(entry, supplier=supplier.name) if supplier else entry

    def _present(self, drop: str, signature: Signature) -> DropEntry:
        """Return how a drop stands that has a raw file."""
        version, manifest = self._state.raw.get(drop), self._state.drops.get(drop)
        if version is None or version.signature != signature:
            return _committed(manifest, Status.PENDING) if manifest else DropEntry(drop=drop, status=Status.PENDING)
        entry = self._judged(drop, version.content, manifest)
        if manifest and entry.status is Status.COMMITTED and self._damage(drop):
            return _committed(manifest, Status.PENDING, self._rules.fingerprint(drop, version.content))
        return entry

    def _judged(self, drop: str, content: str, manifest: DropManifest | None) -> DropEntry:
        """Return how a drop with this content stands, whatever became of its files."""
        state, rules = self._state, self._rules
        rejection = state.rejections.get(drop)
        is_current = manifest is not None and rules.would_repeat(manifest, content)
        if manifest and is_current and not rejection:
            # Most drops, most of the time: no fingerprint is needed.
            return _committed(manifest, Status.COMMITTED)
        fingerprint = rules.fingerprint(drop, content)
        if manifest is None and state.forgotten.get(drop) == content:
            return DropEntry(drop=drop, status=Status.FORGOTTEN, fingerprint=fingerprint)
        if rejection and rejection.content == content:
            has_same_rules = rejection.fingerprint == fingerprint
            # Under another platform table, an earlier conversion may still be current.
            stands = has_same_rules or not is_current if self._as_judged else has_same_rules and rules.uphold(rejection)
            if stands:
                return _rejected(drop, f"{rejection.reason}: {rejection.advice}", manifest, fingerprint)
        if manifest is None:
            return DropEntry(drop=drop, status=Status.PENDING, fingerprint=fingerprint)
        if not is_current:
            return _committed(manifest, Status.PENDING, fingerprint)
        return _committed(manifest, Status.COMMITTED)

    def _absent(self, drop: str) -> DropEntry:
        """Return how a drop stands that has no raw file below ``datasets/``. It may have one in the archive."""
        manifest, damage = self._state.drops.get(drop), self._damage(drop)
        is_archived = drop in self._listing.archived and drop not in self._state.forgotten
        if is_archived and (manifest is None or damage or not self._rules.would_repeat(manifest, manifest.content)):
            if obstacle := self._listing.obstacles.get(drop):
                advice = (
                    f"place_taken: {obstacle} in the place of this archived drop; move it away, then materialize again"
                )
                return _rejected(drop, advice, manifest)
            return _committed(manifest, Status.PENDING) if manifest else DropEntry(drop=drop, status=Status.PENDING)
        if manifest is None:
            return DropEntry(drop=drop, status=Status.FORGOTTEN)
        if damage:
            reason = f"damaged: {damage}; there is no raw file to convert again, deliver it again or `uda forget` it"
            return _committed(manifest, Status.VANISHED, reason=reason)
        return _committed(manifest, Status.COMMITTED if is_archived else Status.VANISHED)

    def _damage(self, drop: str) -> str:
        files = self._state.files.get(drop)
        return str(faults[0]) if files and (faults := files.faults()) else ""


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


# -- what waits for a run ----------------------------------------------------------------------------------------------


class Waiting(NamedTuple):
    """What waits for a run.

    Attributes:
        pending: Drops to convert that have settled.
        unsettled: Drops to convert that changed so recently that they may still be being written.
        key: Identifies this set of drops in this state of the lake.
        is_changed_by_rules: Whether other rules make a drop pending whose content is committed.
        unpublished: Whether something that counts is not published yet.
        problem: Why no drops can be listed, if that is so.
    """

    pending: list[str]
    unsettled: list[str]
    key: str
    is_changed_by_rules: bool
    unpublished: bool
    problem: str


def waiting(settings: Settings) -> Waiting:
    """Return what waits for a run under these settings, told from the state and from listings. No drop is opened.

    Raises:
        UdaError: The data root, its platform table or its suppliers cannot be read.
    """
    lake = open_lake(settings)
    rules = rules_of(settings, rulebook(lake.root, settings))
    state = lake.state()
    listing = lake.raw.listing()
    now = time.time()
    there = listing.drops | {drop: seen for drop, seen in listing.archived.items() if drop not in listing.drops}
    settled: dict[str, Signature] = {}
    unsettled = []
    for drop in pending(drop_ledger(Inventory(state, listing), rules)):
        if drop not in listing.drops or is_settled(there[drop], settings.settle_seconds, now):
            settled[drop] = there[drop]
        else:
            unsettled.append(drop)
    # Two equal sets are told apart by what changed between them, as when a rule is taken back.
    key = hashlib.sha256(repr((state.changes, rules.key, sorted(settled.items()))).encode()).hexdigest()[:16]
    return Waiting(
        list(settled), unsettled, key,
        is_changed_by_rules=any(_is_unchanged(state, drop, seen) for drop, seen in settled.items()),
        unpublished=not state.is_published,
        problem=listing.problem,
    )  # fmt: skip


def is_settled(signature: Signature, settle_seconds: float, now: float) -> bool:
    """Return whether a file has not changed for a while, its name included. A file from the future has settled too."""
    age = now - max(signature.modified, signature.changed) / 1e9
    return age >= settle_seconds or age < -settle_seconds


def _is_unchanged(state: State, drop: str, signature: Signature) -> bool:
    version = state.raw.get(drop)
    return drop in state.drops and (version is None or version.signature == signature)
