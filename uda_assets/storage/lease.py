"""The writer's lock where the storage has none: a lease, renewed while its holder lives (Gray and Cheriton 1989).

The lease is an object that only conditional puts change, so that of two writers who reach for it one gets it. Its
holder puts it anew all the while; who waits for it takes it over when it has not changed for a lease's length, measured
by the own clock, so that clocks need not agree. Each holder has a higher serial (a fencing token), and a holder that
has not been able to renew for a lease's length commits nothing any more.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import msgspec

from uda_assets.basics.errors import UdaError
from uda_assets.storage.base import Location

SECONDS = 12.0
"""How long a lease lasts without being renewed."""
_RENEWALS = 4
_LOOKS_EVERY = 0.25


class AnotherWriter(Exception):
    """An object is not the one that was to be replaced."""


class Objects(Protocol):
    """Objects that can be compared and swapped."""

    def read_tagged(self, path: Location) -> tuple[bytes, str] | None:
        """An object and its ETag; None where there is none."""

    def swap(self, path: Location, content: bytes, tag: str | None) -> str:
        """Put an object if it has this ETag, or if there is none; the new ETag.

        Raises:
            AnotherWriter: It is another one by now.
        """


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """What the object holds.

    Attributes:
        serial: Goes up with every holder.
        holder: Who it is; empty when it was given back.
        beat: Goes up with every renewal, so that the object's ETag changes.
        token: Told apart from any other holder's.

    """

    serial: int = 0
    holder: str = ""
    beat: int = 0
    token: str = ""


class _Held:
    """A lease that is being renewed by a thread of its own."""

    def __init__(self, objects: Objects, path: Location, lease: Lease, tag: str, began: float) -> None:
        self._objects, self._path, self._lease, self._tag = objects, path, lease, tag
        # Others count from when they first see it, which is not before the put of it began.
        self._renewed = began
        self._lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="uda-lease", daemon=True)
        self._thread.start()

    @property
    def stamp(self) -> str:
        """The serial, and what tells it from any other one."""
        return f"{self._lease.serial:010d}-{self._lease.token[:8]}"

    def require(self) -> None:
        """See that it is still held."""
        if self._lost or time.monotonic() - self._renewed > SECONDS:
            raise UdaError(
                f"the lock at {self._path} was lost to another writer, or could not be renewed for {SECONDS:g} s; "
                "nothing more is committed, run again"
            )

    def _renew(self) -> None:
        while not self._ended.wait(SECONDS / _RENEWALS):
            began = time.monotonic()
            lease = msgspec.structs.replace(self._lease, beat=self._lease.beat + 1)
            try:
                self._tag = self._objects.swap(self._path, msgspec.json.encode(lease), self._tag)
            except AnotherWriter:
                self._lost = True
                return
            except Exception:  # noqa: S112 - the storage may be back at the next beat, or else the lease ends
                continue
            self._lease, self._renewed = lease, began

    def give_back(self) -> None:
        """Let others have it at once; where that fails they wait for its end."""
        self._ended.set()
        self._thread.join()
        if not self._lost:
            with suppress(Exception):
                free = Lease(serial=self._lease.serial, token=self._lease.token)
                self._objects.swap(self._path, msgspec.json.encode(free), self._tag)


@contextmanager
def leased(objects: Objects, path: Location, timeout: float) -> Iterator[_Held]:
    """Hold the lease at ``path``.

    Raises:
        UdaError: Another writer held it for ``timeout`` seconds.

    """
    held = _acquire(objects, path, timeout)
    try:
        yield held
    finally:
        held.give_back()


def _acquire(objects: Objects, path: Location, timeout: float) -> _Held:
    deadline = time.monotonic() + timeout
    seen: str | None = None
    since = time.monotonic()
    while True:
        found = objects.read_tagged(path)
        known, tag = (_decoded(found[0]), found[1]) if found else (Lease(), None)
        now = time.monotonic()
        if tag != seen:
            seen, since = tag, now
        if not known.holder or now - since > SECONDS:
            lease = Lease(serial=known.serial + 1, holder=_ourselves(), token=uuid.uuid4().hex)
            with suppress(AnotherWriter):
                return _Held(objects, path, lease, objects.swap(path, msgspec.json.encode(lease), tag), now)
        elif now >= deadline:
            raise UdaError(f"the data root is being written by {known.holder}; waited {timeout:g} s (UDA_LOCK_TIMEOUT)")
        time.sleep(_LOOKS_EVERY)


def _decoded(content: bytes) -> Lease:
    try:
        return msgspec.json.decode(content, type=Lease)
    except msgspec.DecodeError:
        # Nobody can hold what nobody can read; but who just writes it gets a lease's time.
        return Lease(holder="a writer whose lease cannot be read")


def _ourselves() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}"
