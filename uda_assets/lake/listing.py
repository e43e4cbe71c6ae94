"""Which drops there are, from listings alone."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import NamedTuple

from uda_assets.lake.names import name_fault, printable_name
from uda_assets.storage import Location, Signature, Storage


class Selection(NamedTuple):
    """Which files below ``datasets`` are seen as drops.

    Attributes:
        include, exclude: Patterns of names, as of :mod:`fnmatch`; ``*`` also matches ``/``.
        modified_after: The earliest last change, if any.

    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    modified_after: datetime | None = None

    def takes(self, drop: str, mark: Signature) -> bool:
        """Whether a file is seen."""
        if self.modified_after and mark.modified < self.modified_after.timestamp() * 1e9:
            return False
        named = any(fnmatchcase(drop, pattern) for pattern in self.include)
        return named and not any(fnmatchcase(drop, pattern) for pattern in self.exclude)


EVERYTHING = Selection()


class Listing(NamedTuple):
    """What is below ``datasets``.

    Attributes:
        drops: The drops by name in ascending order, with their signatures.
        inaccessible: Files that cannot be drops under their names, and directories that cannot be listed: by name, as
            far as that can be shown, a short code, and what is wrong and what to do.

    """

    drops: dict[str, Signature]
    inaccessible: dict[str, tuple[str, str]]


def list_drops(files: Storage, datasets: Location, selection: Selection) -> Listing:
    """What is there, as of now."""
    listing = Listing({}, {})
    found = files.drops_below(datasets)
    if selection != EVERYTHING:
        found = ((name, mark) for name, mark in found if isinstance(mark, str) or selection.takes(name, mark))
    for name, mark in sorted(found, key=lambda listed: listed[0]):
        if isinstance(mark, str):
            told = "unreadable", f"it cannot be listed ({mark}); make it readable"
            listing.inaccessible[printable_name(name)] = told
        elif fault := name_fault(name, remote=files.remote):
            listing.inaccessible[printable_name(name)] = ("bad_name", fault)
        else:
            listing.drops[name] = mark
    return listing
