"""The raw files of drops: which there are, what is in them, and their archive."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from uda_assets.basics.errors import DropBusy
from uda_assets.lake.access import Access
from uda_assets.lake.listing import EVERYTHING, Listing, Selection, list_drops
from uda_assets.lake.state import Version
from uda_assets.storage import FileChanged, Location, Refusal, Signature, raise_if_exhausted


class Look(NamedTuple):
    """What a look at the raw files found.

    Attributes:
        listing: What is there.
        versions: The drops that could be read, with their checksums.
    """

    listing: Listing
    versions: dict[str, Version]


class RawFiles:
    """The raw files below ``datasets/``, and those below ``archive/``."""

    def __init__(self, access: Access, selection: Selection) -> None:
        self._access = access
        self._layout, self._files = access.layout, access.files
        self._selection = selection

    def listing(self) -> Listing:
        """List what is below ``datasets/`` and ``archive/`` now. No drop is opened."""
        listing = list_drops(self._files, self._layout.datasets, self._selection)
        archived = list_drops(self._files, self._layout.archive, EVERYTHING).drops
        obstacles = {drop: found for drop in archived.keys() - listing.drops.keys() if (found := self._obstacle(drop))}
        return listing._replace(archived=archived, obstacles=obstacles, problem=listing.problem or self._problem())

    def _problem(self) -> str:
        """Return why there is no directory of drops, or nothing."""
        root, datasets = self._layout.root, self._layout.datasets
        if self._files.remote or datasets.is_dir():
            return ""
        for path, what in ((root, "data root"), (datasets, "directory")):
            if not path.exists():
                return f"there is no {what} {path}; make {datasets}, or set UDA_DATA_ROOT"
            if not path.is_dir():
                return f"{path} is a file, not a {what}; set UDA_DATA_ROOT to a directory that holds datasets/"
        return ""

    # -- contents ------------------------------------------------------------------------------------------------

    def look(self, known: Mapping[str, Version]) -> Look:
        """List the drops and hash them. A file with the signature that it had when last hashed is not read again.

        A drop that vanishes meanwhile is in neither part of the answer. One that cannot be read is inaccessible.
        """
        listing = self.listing()
        versions: dict[str, Version] = {}
        inaccessible = dict(listing.inaccessible)

        def version_or_error(item: tuple[str, Signature]) -> Version | OSError:
            drop, signature = item
            try:
                return self._version(drop, signature, known.get(drop))
            except OSError as error:
                raise_if_exhausted(error)
                return error

        for (drop, _), version in self._access.side_by_side(version_or_error, list(listing.drops.items())):
            if isinstance(version, Version):
                versions[drop] = version
            elif not isinstance(version, FileNotFoundError):
                fault = version.strerror or str(version)
                advice = f"it cannot be read ({fault}); make it readable, or deliver it again"
                inaccessible[drop] = Refusal("unreadable", advice)
        drops = {drop: signature for drop, signature in listing.drops.items() if drop in versions}
        return Look(listing._replace(drops=drops, inaccessible=inaccessible), versions)

    def version(self, drop: str, known: Version | None = None) -> Version:
        """Return what is in a drop now.

        Raises:
            DropBusy: The drop has vanished, or cannot be read.
        """
        try:
            return self._version(drop, self._files.signature(self._layout.source(drop)), known)
        except OSError as error:
            raise_if_exhausted(error)
            raise DropBusy(f"drop {drop!r} cannot be read: {error.strerror or error}; deliver it again") from None

    def still(self, drop: str, version: Version) -> Version | None:
        """Return a drop's version if it is unchanged. It is hashed again if its signature alone cannot tell.

        A file that had changed a moment before it was first hashed is known for certain when it is hashed again later.
        """
        now = self.version(drop, version)
        return now if (now.signature, now.content) == (version.signature, version.content) else None

    def _version(self, drop: str, signature: Signature, known: Version | None) -> Version:
        if known and known.signature == signature and not known.racy:
            return known
        racy = self._files.is_racy(signature)
        return Version(signature, self._files.hash(self._layout.source(drop)), racy)

    # -- archive -------------------------------------------------------------------------------------------------

    def move_to_archive(self, drop: str, expected: Signature, content: str) -> bool:
        """Move a raw file below ``archive/``, unless it has changed. An older archived version is kept beside it.

        The file stays if the archive holds a directory of its name, or a file with the name of one of its directories.

        Args:
            drop: The drop.
            expected: The signature that the file is expected to have.
            content: The checksum that it is expected to have.
        """
        source, target = self._layout.source(drop), self._layout.archive / drop
        if target.is_dir() or (not self._files.remote and any(parent.is_file() for parent in target.parents)):
            return False
        if target.exists() and (older := self._files.hash(target)) != content:
            self._files.move(target, target.with_name(f"{target.name}.{older[:12]}"))
        try:
            if self._files.signature(source) != expected:
                return False
            self._files.move(source, target)
        except (FileNotFoundError, FileChanged):
            return False
        if not self._is_same_after_move(target, expected, content) and not source.exists():
            self._files.move(target, source)
            return False
        return True

    def is_link(self, drop: str) -> bool:
        """Return whether a raw file is a link to another one."""
        return not self._files.remote and self._layout.source(drop).is_symlink()

    def is_archived(self, drop: str, content: str | None) -> bool:
        """Return whether the archive holds this content of a drop, or any content if None is given."""
        try:
            return content in {None, self._files.hash(self._layout.archive / drop)}
        except OSError:
            return False

    def restore(self, drop: str, content: str | None) -> bool:
        """Move an archived raw file back below ``datasets/``. Return whether that was done.

        Nothing is moved if the archived content is another one, if there is a file already, or if the settings select
        no such drop.
        """
        archived, source = self._layout.archive / drop, self._layout.source(drop)
        if source.exists() or self._obstacle(drop) or not self.is_archived(drop, content):
            return False
        if not self._selection.takes(drop, self._files.signature(archived)):
            return False
        self._files.move(archived, source)
        return True

    def _obstacle(self, drop: str) -> str | None:
        """Return what is in the place of an archived drop below ``datasets/``, or None if it can be restored."""
        if self._files.remote:
            return None
        source = self._layout.source(drop)
        if os.path.isdir(source.parent):  # noqa: PTH112 - this is asked for every archived drop
            return f"{source} is a directory" if source.is_dir() else None
        return next((f"{parent} is a file" for parent in source.parents if parent.is_file()), None)

    def _is_same_after_move(self, target: Location, expected: Signature, content: str) -> bool:
        if self._files.remote:
            # A copy has times of its own, and the object may have changed between the look and the move.
            return self._files.hash(target) == content
        found = self._files.signature(target)
        if found.identity != expected.identity:
            # It was moved by a copy, of which the content decides.
            return self._files.hash(target) == content
        return (found.size, found.modified) == (expected.size, expected.modified)
