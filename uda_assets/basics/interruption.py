"""Stop work that is under way when the user interrupts the program.

Python delivers signals only to the main thread, and only between two of its bytecode instructions. Therefore threads
that read drops call :func:`raise_if_stopped` before each read, and :func:`request_stop` interrupts DuckDB's queries
from outside. The work that is stopped cleans up after itself. Only the command line calls :func:`request_stop`.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Event, Lock
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    import duckdb


class Stopped(KeyboardInterrupt):
    """The program was asked to stop."""


_stop_requested = Event()
_connections: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()
_connections_lock = Lock()


def interruptible(connection: duckdb.DuckDBPyConnection) -> None:
    """Register a connection, so that :func:`request_stop` interrupts its query."""
    with _connections_lock:
        _connections.add(connection)


def request_stop() -> None:
    """Ask the work in all threads to stop."""
    _stop_requested.set()
    with _connections_lock:
        connections = list(_connections)
    if not connections:
        return
    import duckdb  # noqa: PLC0415 - importing it is slow, and it is already imported if there are connections

    for connection in connections:
        # A connection that was closed in the meantime has nothing to interrupt.
        with suppress(duckdb.ConnectionException):
            connection.interrupt()


def raise_if_stopped() -> None:
    """Raise :class:`Stopped` if the program was asked to stop."""
    if _stop_requested.is_set():
        raise Stopped
