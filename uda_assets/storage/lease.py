"""The root of a data root in a bucket: one object, which holds its content and the lease of its writer.

The holder of a lease renews it as long as it lives (Gray and Cheriton 1989). A waiting writer takes it over when it has
not changed for the duration of a lease. Each process measures this by its own clock, so that clocks need not agree.

The object is changed only by conditional puts. So only one of several competing writers gets the lease. And because
taking it over changes the object, whatever an earlier holder still tries to put there fails, however late it arrives.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import msgspec

from uda_assets.basics.errors import UdaError
from uda_assets.storage.base import Location, lock_timed_out, this_process

LEASE_SECONDS = 12.0
"""Duration of a lease that is not renewed."""
_RENEWALS_PER_LEASE = 4
_POLL_SECONDS = 0.25


class ObjectChanged(Exception):
    """An object was not replaced, because another writer changed it first."""


class ObjectStore(Protocol):
    """A store of objects that supports conditional puts."""

    def read_tagged(self, path: Location) -> tuple[bytes, str] | None:
        """Return the content of an object and its ETag, or None if there is no such object."""

    def swap(self, path: Location, content: bytes, tag: str | None) -> str:
        """Put an object if the existing one has this ETag or, if ``tag`` is None, if there is none.

        Returns:
            The new ETag.

        Raises:
            ObjectChanged: The condition does not hold, because another writer changed the object.
        """


class _Object(msgspec.Struct, frozen=True, kw_only=True):
    """The object.

    Attributes:
        serial: Goes up with every holder.
        holder: Description of the holder; empty if the lease is free.
        beat: Goes up with every renewal and every replacement, so that the object's ETag changes.
        token: Random text that is different for every holder.
        unfinished: Whether the last holder gave up after an error.
        root: The content of the root, or None if there is none yet.
    """

    serial: int = 0
    holder: str = ""
    beat: int = 0
    token: str = ""
    unfinished: bool = False
    root: str | None = None


class _HeldObject:
    """A root whose lease a background thread renews."""

    def __init__(
        self, objects: ObjectStore, path: Location, held: _Object, tag: str, requested: float, *, abandoned: bool
    ) -> None:
        self._objects, self._path, self._held, self._tag = objects, path, held, tag
        self.abandoned = abandoned
        # Other writers count from the time at which they first see the lease, which is after its put was requested.
        self._renewed = requested
        self._lost = False
        # A renewal and a replacement must not get into each other's way.
        self._one_at_a_time = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="uda-lease", daemon=True)
        self._thread.start()

    @property
    def content(self) -> bytes | None:
        """The content of the root."""
        return None if self._held.root is None else self._held.root.encode()

    @property
    def stamp(self) -> str:
        """The serial number, and a part of the token."""
        return f"{self._held.serial:010d}-{self._held.token[:8]}"

    def require(self) -> None:
        """Check that the lease is still held.

        Raises:
            UdaError: Another writer took it over, or it could not be renewed in time.
        """
        if self._lost or time.monotonic() - self._renewed > LEASE_SECONDS:
            raise self._was_lost()

    def replace(self, content: bytes) -> None:
        """Replace the content by a conditional put.

        Raises:
            UdaError: Another writer holds the root by now.
        """
        with self._one_at_a_time:
            self.require()
            try:
                self._put(root=content.decode())
            except ObjectChanged:
                self._lost = True
                raise self._was_lost() from None

    def _was_lost(self) -> UdaError:
        return UdaError(
            f"the lock at {self._path} was lost to another writer, or could not be renewed for "
            f"{LEASE_SECONDS:g} s; this run commits nothing more: run again"
        )

    def _put(self, **changes: object) -> None:
        requested = time.monotonic()
        held = msgspec.structs.replace(self._held, beat=self._held.beat + 1, **changes)
        self._tag = self._objects.swap(self._path, msgspec.json.encode(held), self._tag)
        self._held, self._renewed = held, requested

    def _renew(self) -> None:
        while not self._ended.wait(LEASE_SECONDS / _RENEWALS_PER_LEASE):
            with self._one_at_a_time:
                if self._lost:
                    return
                try:
                    self._put()
                except ObjectChanged:
                    self._lost = True
                    return
                except Exception:  # noqa: S112 - the next renewal may succeed; otherwise the lease runs out
                    continue

    def give_back(self, *, unfinished: bool) -> None:
        """Free the lease for other writers; if that fails, they wait until it runs out."""
        self._ended.set()
        self._thread.join()
        if not self._lost:
            with suppress(Exception):
                self._put(holder="", unfinished=unfinished)


@contextmanager
def leased(objects: ObjectStore, path: Location, timeout: float) -> Iterator[_HeldObject]:
    """Hold the root at ``path``.

    Raises:
        UdaError: Another writer held it for ``timeout`` seconds.
    """
    held = _acquire(objects, path, timeout)
    try:
        yield held
    except BaseException:
        held.give_back(unfinished=True)
        raise
    held.give_back(unfinished=False)


def root_in(content: bytes) -> bytes | None:
    """Return the content of the root that is kept in an object."""
    root = _decoded(content).root
    return None if root is None else root.encode()


def _acquire(objects: ObjectStore, path: Location, timeout: float) -> _HeldObject:
    deadline = time.monotonic() + timeout
    last_tag: str | None = None
    unchanged_since = time.monotonic()
    while True:
        tagged = objects.read_tagged(path)
        current, tag = (_decoded(tagged[0]), tagged[1]) if tagged else (_Object(), None)
        now = time.monotonic()
        if tag != last_tag:
            last_tag, unchanged_since = tag, now
        if not current.holder or now - unchanged_since > LEASE_SECONDS:
            taken = msgspec.structs.replace(
                current, serial=current.serial + 1, holder=this_process(), beat=0, token=uuid.uuid4().hex,
                unfinished=False,
            )  # fmt: skip
            with suppress(ObjectChanged):
                tag = objects.swap(path, msgspec.json.encode(taken), tag)
                abandoned = bool(current.holder) or current.unfinished
                return _HeldObject(objects, path, taken, tag, now, abandoned=abandoned)
        elif now >= deadline:
            raise lock_timed_out(current.holder, timeout)
        time.sleep(_POLL_SECONDS)


def _decoded(content: bytes) -> _Object:
    try:
        return msgspec.json.decode(content, type=_Object)
    except msgspec.DecodeError:
        # An object that cannot be read has no holder, but perhaps another version of the program wrote it just now:
        # it is respected until it runs out.
        return _Object(holder="a writer whose lease cannot be read")
