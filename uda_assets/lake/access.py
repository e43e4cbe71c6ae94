"""How the parts of a lake read and write its files, and the lock that each write needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from uda_assets.lake.layout import Layout
from uda_assets.lake.sealed import sealed
from uda_assets.storage import Guard, Location, Storage

_REQUESTS_AT_ONCE = 16
"""The number of requests to a bucket that are under way at a time."""

T = TypeVar("T")
K = TypeVar("K")


class Access:
    """The files of one data root.

    Attributes:
        layout: The paths below the data root.
        files: The storage that holds them.
        guard: The lock, while this process holds it.
    """

    def __init__(self, layout: Layout, files: Storage) -> None:
        self.layout = layout
        self.files = files
        self.guard: Guard | None = None

    def require_lock(self) -> None:
        """Raise an error if this process has lost the lock. A lease can end while its holder is busy.

        Raises:
            UdaError: Another writer may hold the lock by now.
        """
        if self.guard is not None:
            self.guard.require()

    @contextmanager
    def replacing(self, path: Location) -> Iterator[Path]:
        """Yield a local path to write to. It replaces the file in one step at the end, and is dropped on any error."""
        self.require_lock()
        with self.files.replacing(path) as new:
            yield new
            self.require_lock()

    def commit(self, path: Location, manifest: msgspec.Struct) -> None:
        """Replace a manifest in one step."""
        self.require_lock()
        self.files.commit(path, sealed(manifest))

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
