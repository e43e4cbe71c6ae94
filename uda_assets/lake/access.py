"""How the parts of a lake read and write its files, and the lock that each write needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import msgspec

from uda_assets.basics.errors import UdaError
from uda_assets.lake.layout import Layout
from uda_assets.storage import Hold, Location, Storage, remove_empty

_REQUESTS_AT_ONCE = 16
"""The number of requests to a bucket that are under way at a time."""

T = TypeVar("T")
K = TypeVar("K")


class Access:
    """The files of one data root.

    Attributes:
        layout: The paths below the data root.
        files: The storage that holds them.
        hold: The root, while this process holds it.
    """

    def __init__(self, layout: Layout, files: Storage) -> None:
        self.layout = layout
        self.files = files
        self.hold: Hold | None = None

    def require_lock(self) -> Hold:
        """Return the root, which this process holds.

        Raises:
            UdaError: It is not held, or not any more: a lease can end while its holder is busy.
        """
        if self.hold is None:
            raise UdaError(f"{self.layout.root} is not locked for writing")
        self.hold.require()
        return self.hold

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, by their paths relative to the data root, and directories that this leaves empty."""
        self.require_lock()
        places = [self.layout.root / path for path in paths]
        self.files.remove(places)
        if not self.files.remote:
            for directory in {place.parent for place in places}:
                remove_empty(directory)

    def side_by_side(self, function: Callable[[K], T], items: list[K]) -> Iterator[tuple[K, T]]:
        """Yield each item with its result. In a bucket several calls run at once, because each waits for an answer."""
        if not self.files.remote or len(items) < 2:
            yield from ((item, function(item)) for item in items)
            return
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE, thread_name_prefix="uda-read") as pool:
            yield from zip(items, pool.map(function, items), strict=True)


class Notes:
    """Small files that save work later and can be lost without harm. Writing them does not need the lock."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def read(self, name: str, kind: type[T]) -> T | None:
        """Return a note, or None if there is none or it cannot be read."""
        try:
            return msgspec.msgpack.decode(self._access.files.read(self._path(name)), type=kind)
        except (OSError, msgspec.DecodeError):
            return None

    def write(self, name: str, value: object) -> None:
        """Write a note. An error is ignored."""
        with suppress(OSError):
            self._access.files.note(self._path(name), msgspec.msgpack.encode(value))

    def _path(self, name: str) -> Location:
        return self._access.layout.internal / f"{name}.msgpack"
