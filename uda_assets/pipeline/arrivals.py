"""What has arrived since the last run, told from directory listings alone: no drop is opened."""

from __future__ import annotations

import hashlib
import time
from typing import NamedTuple

import msgspec

from uda_assets.basics.settings import Settings
from uda_assets.contract.platforms import Platforms
from uda_assets.ingest import bounds_of
from uda_assets.ingest.convert import CONVERTER_VERSION
from uda_assets.lake import Examined, Lake
from uda_assets.storage import Signature


class Arrivals(NamedTuple):
    """What a run would have to look at.

    Attributes:
        pending: Drops that are new or changed, or all drops where the rules changed, archived ones too.
        unsettled: Drops that changed so recently that they may still be being written.
        key: Tells this pending set, and the rules, from any other.
        rules_changed: Whether the rules are not those of the last run.
        unpublished: Whether a run converted drops, or one was forgotten, and nothing was published since.
    """

    pending: list[str]
    unsettled: list[str]
    key: str
    rules_changed: bool
    unpublished: bool


def rules_mark(platforms: Platforms, settings: Settings) -> str:
    """Hash of all that decides what becomes of a record, its content apart."""
    rules = "\n".join(
        [CONVERTER_VERSION, platforms.fingerprint, repr(settings.max_reject_ratio), repr(bounds_of(settings))]
    )
    return hashlib.sha256(rules.encode()).hexdigest()


def look_for_arrivals(lake: Lake, rules: str, settle_seconds: float) -> Arrivals:
    """Compare what is there with what was last found to need nothing."""
    known = lake.examined()
    same_rules = known is not None and known.rules == rules
    done = known.drops if known and same_rules else {}
    pending: dict[str, Signature] = {}
    unsettled = []
    now = time.time()
    drops = lake.drops()
    if known and not same_rules:
        # They are converted again from there.
        pending |= {drop: mark for drop, mark in lake.archived().items() if drop not in drops}
    for drop, mark in drops.items():
        if done.get(drop) == mark:
            continue
        if not is_settled(mark, settle_seconds, now):
            unsettled.append(drop)
        else:
            pending[drop] = mark
    # The serial tells apart two sets that look alike with a completed run between them, as when a rule is taken back.
    serial = known.serial if known else 0
    key = hashlib.sha256(repr((serial, rules, sorted(pending.items()))).encode()).hexdigest()[:16]
    return Arrivals(
        list(pending), unsettled, key,
        rules_changed=known is not None and not same_rules,
        unpublished=known is not None and not known.published,
    )  # fmt: skip


def is_settled(mark: Signature, settle_seconds: float, now: float) -> bool:
    """Whether a file has not changed for a while; its change of name counts, a clock that runs backwards does not."""
    age = now - max(mark.modified, mark.changed) / 1e9
    return age >= settle_seconds or age < -settle_seconds


def note_examined(lake: Lake, rules: str, listed: dict[str, Signature], waiting: set[str], *, converted: bool) -> None:
    """Note what needs no conversion any more: all that was listed before the run began, without what still waits.

    Where anything changed, it counts as unpublished until :func:`note_published`. A run that finds nothing to do leaves
    the serial as it is, so that trying again for the same reason is known as such.
    """
    marks = {drop: mark for drop, mark in listed.items() if drop not in waiting}
    known = lake.examined()
    same = known is not None and (known.rules, known.drops) == (rules, marks)
    if not same or converted:
        serial = known.serial if known else 0
        lake.write_examined(Examined(serial=serial + 1, rules=rules, drops=marks, published=False))


def note_published(lake: Lake, *, published: bool) -> None:
    """Note whether what is published is what is converted."""
    known = lake.examined()
    if known and known.published != published:
        lake.write_examined(msgspec.structs.replace(known, published=published))
