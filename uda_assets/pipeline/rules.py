"""The rules of a run: all that decides what becomes of a drop, except its content."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from uda_assets.basics.settings import Settings
from uda_assets.contract.suppliers import Rulebook
from uda_assets.ingest import Bounds, bounds_of
from uda_assets.ingest.convert import CONVERTER_VERSION
from uda_assets.lake import DropManifest, Rejection


class Rules(NamedTuple):
    """The contract's tables, and how much is tolerated.

    Attributes:
        book: The platform table and the suppliers.
        max_reject_ratio: The largest share of malformed records (0 to 1) that does not reject a drop.
        bounds: How much a drop may ask of the machine.
    """

    book: Rulebook
    max_reject_ratio: float
    bounds: Bounds

    @property
    def key(self) -> str:
        """A hash of the rules."""
        parts = [CONVERTER_VERSION, self.book.key, repr(self.max_reject_ratio), repr(self.bounds)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _heeds_marks(self, drop: str) -> bool:
        supplier = self.book.suppliers.of(drop)
        return supplier is not None and supplier.dialect.byte_order_mark

    def fingerprint(self, drop: str, content: str) -> str:
        """Return the fingerprint of a drop: a hash of its content and of the rules that apply to its records."""
        parts = [content, CONVERTER_VERSION, self.book.platforms_of(drop).fingerprint]
        parts += [part for part in (self.book.dialect_key(drop), "marks" * self._heeds_marks(drop)) if part]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def would_repeat(self, manifest: DropManifest, content: str) -> bool:
        """Return whether converting this content would give what is committed.

        Changed platforms affect a drop only through the spellings that occur in it.
        """
        drop = manifest.drop
        if manifest.content != content or manifest.converter_version != CONVERTER_VERSION:
            return False
        if manifest.dialect != self.book.dialect_key(drop) or (manifest.is_marked and not self._heeds_marks(drop)):
            return False
        if manifest.spellings is None:
            return manifest.fingerprint == self.fingerprint(drop, content)
        platforms = self.book.platforms_of(drop)
        return all(platforms.resolve(spelling) == meaning for spelling, meaning in manifest.meanings.items())

    def uphold(self, rejection: Rejection) -> bool:
        """Return whether a drop would be rejected again, as far as the tolerance decides it."""
        if rejection.bound is not None:
            bound = self.bounds.exceeded_by(rejection.reason)
            return bound is not None and bound <= rejection.bound
        return not rejection.records or rejection.quarantined / rejection.records > self.max_reject_ratio


def rules_of(settings: Settings, book: Rulebook) -> Rules:
    """Return the rules that the settings and the contract's tables make."""
    return Rules(book, settings.max_reject_ratio, bounds_of(settings))
