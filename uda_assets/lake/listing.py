"""Which drops there are, from listings alone."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import NamedTuple

from uda_assets.lake.names import name_fault, printable_name
from uda_assets.storage import Location, Refusal, Signature, Storage


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
        return self.names(drop)

    def names(self, drop: str) -> bool:
        """Whether a file of this name is seen."""
        named = any(fnmatchcase(drop, pattern) for pattern in self.include)
        return named and not any(fnmatchcase(drop, pattern) for pattern in self.exclude)


EVERYTHING = Selection()


class Listing(NamedTuple):
    """What is below ``datasets``.

    Attributes:
        drops: The drops by name in ascending order, with their signatures.
        inaccessible: Files that cannot be drops under their names, links that lead out of ``datasets``, and
            directories that cannot be listed: by name, as far as that can be shown, and why.

    """

    drops: dict[str, Signature]
    inaccessible: dict[str, Refusal]


def list_drops(files: Storage, datasets: Location, selection: Selection) -> Listing:
    """What is there, as of now."""
    listing = Listing({}, {})
    found = files.drops_below(datasets)
    if selection != EVERYTHING:
        found = ((name, mark) for name, mark in found if _is_seen(name, mark, selection))
    for name, mark in sorted(found, key=lambda listed: listed[0]):
        if isinstance(mark, Refusal):
            listing.inaccessible[printable_name(name)] = mark
        elif fault := name_fault(name, remote=files.remote):
            listing.inaccessible[printable_name(name)] = Refusal("bad_name", fault)
        else:
            listing.drops[name] = mark
    return listing


def _is_seen(name: str, mark: Signature | Refusal, selection: Selection) -> bool:
    """A directory that is not looked into may hold what is asked for; a link of a drop's name has one."""
    if isinstance(mark, Refusal):
        return name.endswith("/") or not name or selection.names(name)
    return selection.takes(name, mark)
