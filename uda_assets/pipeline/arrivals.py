"""What has arrived since the last run, told from directory listings alone. No drop is opened."""

from __future__ import annotations

import hashlib
import time
from typing import NamedTuple

import msgspec

from uda_assets.basics.settings import Settings
from uda_assets.contract.suppliers import rulebook
from uda_assets.lake import Examined, Lake, open_lake
from uda_assets.pipeline.rules import Rules, rules_of
from uda_assets.storage import Signature


class Arrivals(NamedTuple):
    """What a run would have to look at.

    Attributes:
        pending: Drops that are new or changed. If the rules changed, all drops, also the archived ones.
        unsettled: Drops that changed so recently that they may still be being written.
        key: Identifies this pending set under these rules.
        rules_changed: Whether the rules are not those of the last run.
        unpublished: Whether a run converted drops, or one was forgotten, and nothing was published since.
        problem: Why no drops can be listed, if that is so.
    """

    pending: list[str]
    unsettled: list[str]
    key: str
    rules_changed: bool
    unpublished: bool
    problem: str


def arrivals(settings: Settings) -> Arrivals:
    """Return what a run under these settings would have to look at.

    Raises:
        UdaError: The data root or its platform table or suppliers cannot be read.
    """
    lake = open_lake(settings)
    rules = rules_of(settings, rulebook(lake.root, settings))
    return look_for_arrivals(lake, rules, settings.settle_seconds)


def look_for_arrivals(lake: Lake, rules: Rules, settle_seconds: float) -> Arrivals:
    """Compare the drops that are there with those that the last run examined."""
    known = lake.examined.read()
    has_same_rules = known is not None and known.rules == rules.key
    done = known.drops if known and has_same_rules else {}
    pending: dict[str, Signature] = {}
    unsettled = []
    now = time.time()
    listing = lake.raw.listing()
    drops = listing.drops
    if known and not has_same_rules:
        # A run restores the archived raw files that it has to convert again.
        pending |= {drop: signature for drop, signature in lake.raw.archived().items() if drop not in drops}
    for drop, signature in drops.items():
        if done.get(drop) == signature:
            continue
        if is_settled(signature, settle_seconds, now):
            pending[drop] = signature
        else:
            unsettled.append(drop)
    # Two equal sets are told apart by the serial if a run completed between them, as when a rule is taken back.
    serial = known.serial if known else 0
    key = hashlib.sha256(repr((serial, rules.key, sorted(pending.items()))).encode()).hexdigest()[:16]
    return Arrivals(
        list(pending), unsettled, key,
        rules_changed=known is not None and not has_same_rules,
        unpublished=known is not None and not known.published,
        problem=listing.problem,
    )  # fmt: skip


def is_settled(signature: Signature, settle_seconds: float, now: float) -> bool:
    """Return whether a file has not changed for a while, its name included. A file from the future has settled too."""
    age = now - max(signature.modified, signature.changed) / 1e9
    return age >= settle_seconds or age < -settle_seconds


def note_examined(
    lake: Lake, rules: Rules, listed: dict[str, Signature], waiting: set[str], *, converted: bool
) -> None:
    """Note the drops that need no conversion any more: all that were listed, without those that still wait.

    A change counts as unpublished until :func:`note_published`. A run that finds nothing to do leaves the serial as it
    is, so that a further attempt for the same reason is known as such.
    """
    drops = {drop: signature for drop, signature in listed.items() if drop not in waiting}
    known = lake.examined.read()
    is_same = known is not None and (known.rules, known.drops) == (rules.key, drops)
    if not is_same or converted:
        serial = known.serial if known else 0
        lake.examined.write(Examined(serial=serial + 1, rules=rules.key, drops=drops, published=False))


def note_published(lake: Lake, *, published: bool) -> None:
    """Note whether everything that is converted is published."""
    known = lake.examined.read()
    if known and known.published != published:
        lake.examined.write(msgspec.structs.replace(known, published=published))
