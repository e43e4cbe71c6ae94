"""How work that is under way is stopped: threads and DuckDB are told, and what they were at cleans up after itself.

Python tells of a signal to the main thread alone, and only between two steps of its own. So threads that read ask here
at each read, and queries are interrupted from outside. Nothing happens here unless the command line asks for it.
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


_asked = Event()
_connections: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()
_changing = Lock()


def interruptible(connection: duckdb.DuckDBPyConnection) -> None:
    """Have a connection's query interrupted when all is to stop."""
    with _changing:
        _connections.add(connection)


def request_stop() -> None:
    """Stop what is under way, in whatever thread."""
    _asked.set()
    with _changing:
        connections = list(_connections)
    if not connections:
        return
    import duckdb  # noqa: PLC0415 - it is there if there are connections, and takes long otherwise

    for connection in connections:
        # One that was closed meanwhile has nothing to be stopped.
        with suppress(duckdb.ConnectionException):
            connection.interrupt()


def raise_if_stopped() -> None:
    """Go on only if nobody has asked to stop.

    Raises:
        Stopped: Someone has.
    """
    if _asked.is_set():
        raise Stopped
