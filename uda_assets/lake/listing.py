"""Which drops there are, from listings alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import NamedTuple

from uda_assets.lake.names import name_fault, printable_name
from uda_assets.storage import NO_DROP, Location, Refusal, Signature, Storage


class Selection(NamedTuple):
    """Which files below ``datasets/`` are seen as drops.

    Attributes:
        include, exclude: Patterns of names, as in :mod:`fnmatch`. ``*`` also matches ``/``.
        modified_after: The earliest last change, if there is such a bound.
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    modified_after: datetime | None = None

    def takes(self, drop: str, signature: Signature) -> bool:
        """Return whether a file is seen."""
        if self.modified_after and signature.modified < self.modified_after.timestamp() * 1e9:
            return False
        return self.names(drop)

    def names(self, drop: str) -> bool:
        """Return whether a file of this name is seen."""
        included = any(fnmatchcase(drop, pattern) for pattern in self.include)
        return included and not any(fnmatchcase(drop, pattern) for pattern in self.exclude)


EVERYTHING = Selection()


class Listing(NamedTuple):
    """What is below ``datasets/`` and ``archive/``.

    Attributes:
        drops: The signatures of the drops, by name in ascending order.
        inaccessible: Why other files and directories cannot be drops, by printable name: files with unusable names,
            links that lead out of ``datasets/``, and directories that cannot be listed.
        ignored: Why files are never read, by printable name: their names are not those of drops.
        archived: The signatures of the archived raw files by drop. Each is the latest of its drop.
        obstacles: What is in the place of archived drops below ``datasets/``, so that they cannot be restored.
        problem: Why nothing at all can be listed, if that is so.
    """

    drops: dict[str, Signature]
    inaccessible: dict[str, Refusal]
    ignored: dict[str, str]
    archived: Mapping[str, Signature] = MappingProxyType({})
    obstacles: Mapping[str, str] = MappingProxyType({})
    problem: str = ""


NOTHING = Listing({}, {}, {})


def list_drops(files: Storage, datasets: Location, selection: Selection) -> Listing:
    """List the drops in a directory now."""
    listing = Listing({}, {}, {})
    found = files.drops_below(datasets)
    if selection != EVERYTHING:
        found = ((name, seen) for name, seen in found if _is_selected(name, seen, selection))
    for name, seen in sorted(found, key=lambda item: item[0]):
        if isinstance(seen, Refusal) and not name:
            listing = listing._replace(problem=f"{datasets}: {seen.advice}, or set UDA_DATA_ROOT")
        elif seen is NO_DROP:
            listing.ignored[printable_name(name)] = seen.advice
        elif isinstance(seen, Refusal):
            listing.inaccessible[printable_name(name)] = seen
        elif fault := name_fault(name, remote=files.remote):
            listing.inaccessible[printable_name(name)] = Refusal("bad_name", fault)
        else:
            listing.drops[name] = seen
    return listing


def _is_selected(name: str, seen: Signature | Refusal, selection: Selection) -> bool:
    """Return whether a file is selected, or a directory that cannot be listed and may hold selected files."""
    if isinstance(seen, Refusal):
        return name.endswith("/") or not name or selection.names(name)
    return selection.takes(name, seen)
