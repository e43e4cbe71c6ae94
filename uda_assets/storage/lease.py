"""The writer's lock in a bucket: a lease that its holder renews as long as it lives (Gray and Cheriton 1989).

The lease is kept in an object that is changed only by conditional puts, so that only one of several competing writers
gets it. The holder renews it at regular intervals. A waiting writer takes it over when it has not changed for the
duration of a lease. Each process measures this by its own clock, so that clocks need not agree. Each holder has a
higher serial number (a fencing token), and a holder that could not renew its lease for its duration commits nothing
more.
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


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the object.

    Attributes:
        serial: Number that increases with every holder.
        holder: Description of the holder; empty if the lease is free.
        beat: Number that increases with every renewal, so that the object's ETag changes.
        token: Random text that is different for every holder.
    """

    serial: int = 0
    holder: str = ""
    beat: int = 0
    token: str = ""


class _HeldLease:
    """A lease that a background thread renews."""

    def __init__(self, objects: ObjectStore, path: Location, lease: Lease, tag: str, requested: float) -> None:
        self._objects, self._path, self._lease, self._tag = objects, path, lease, tag
        # Other writers count from the time at which they first see the lease, which is after its put was requested.
        self._renewed = requested
        self._lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="uda-lease", daemon=True)
        self._thread.start()

    @property
    def stamp(self) -> str:
        """The serial number, and a part of the token."""
        return f"{self._lease.serial:010d}-{self._lease.token[:8]}"

    def require(self) -> None:
        """Check that the lease is still held.

        Raises:
            UdaError: Another writer took it over, or it could not be renewed in time.
        """
        if self._lost or time.monotonic() - self._renewed > LEASE_SECONDS:
            raise UdaError(
                f"the lock at {self._path} was lost to another writer, or could not be renewed for "
                f"{LEASE_SECONDS:g} s; this run commits nothing more: run again"
            )

    def _renew(self) -> None:
        while not self._ended.wait(LEASE_SECONDS / _RENEWALS_PER_LEASE):
            requested = time.monotonic()
            lease = msgspec.structs.replace(self._lease, beat=self._lease.beat + 1)
            try:
                self._tag = self._objects.swap(self._path, msgspec.json.encode(lease), self._tag)
            except ObjectChanged:
                self._lost = True
                return
            except Exception:  # noqa: S112 - the next renewal may succeed; otherwise the lease runs out
                continue
            self._lease, self._renewed = lease, requested

    def give_back(self) -> None:
        """Free the lease for other writers; if that fails, they wait until it runs out."""
        self._ended.set()
        self._thread.join()
        if not self._lost:
            with suppress(Exception):
                free = Lease(serial=self._lease.serial, token=self._lease.token)
                self._objects.swap(self._path, msgspec.json.encode(free), self._tag)


@contextmanager
def leased(objects: ObjectStore, path: Location, timeout: float) -> Iterator[_HeldLease]:
    """Hold the lease at ``path``.

    Raises:
        UdaError: Another writer held it for ``timeout`` seconds.
    """
    held = _acquire(objects, path, timeout)
    try:
        yield held
    finally:
        held.give_back()


def _acquire(objects: ObjectStore, path: Location, timeout: float) -> _HeldLease:
    deadline = time.monotonic() + timeout
    last_tag: str | None = None
    unchanged_since = time.monotonic()
    while True:
        tagged = objects.read_tagged(path)
        current, tag = (_decoded(tagged[0]), tagged[1]) if tagged else (Lease(), None)
        now = time.monotonic()
        if tag != last_tag:
            last_tag, unchanged_since = tag, now
        if not current.holder or now - unchanged_since > LEASE_SECONDS:
            lease = Lease(serial=current.serial + 1, holder=this_process(), token=uuid.uuid4().hex)
            with suppress(ObjectChanged):
                return _HeldLease(objects, path, lease, objects.swap(path, msgspec.json.encode(lease), tag), now)
        elif now >= deadline:
            raise lock_timed_out(current.holder, timeout)
        time.sleep(_POLL_SECONDS)


def _decoded(content: bytes) -> Lease:
    try:
        return msgspec.json.decode(content, type=Lease)
    except msgspec.DecodeError:
        # A lease that cannot be read has no holder, but perhaps another version of the program wrote it just now:
        # it is respected until it runs out.
        return Lease(holder="a writer whose lease cannot be read")
