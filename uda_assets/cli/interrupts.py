"""Ctrl-C, SIGTERM and a closed terminal: the command stops soon, cleans up, and is not disturbed at that."""

from __future__ import annotations

import os
import signal
import subprocess
from threading import Event, Thread
from time import monotonic
from types import FrameType

from uda_assets.basics.interruption import Stopped, ask

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 5.0
"""Seconds in which a further signal is taken for impatience: cleaning up goes on."""


def program(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a program that ends its own by SIGINT, which they must not ignore, though we may have been told to.

    A script's shell tells that to what it starts in the background. The program is then kept from the terminal's own
    SIGINT by a process group of its own.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        # What is ignored is handed down; what has a handler is not.
        signal.signal(signal.SIGINT, _nothing)
    return subprocess.Popen(command, env=environment, process_group=0 if ignored else None)  # noqa: S603


def _nothing(number: int, frame: FrameType | None) -> None:
    del number, frame


class Interrupts:
    """Handles the signals of this process from ``install`` on."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._last = 0.0
        self._child: subprocess.Popen[bytes] | None = None
        self._over = Event()

    def install(self) -> None:
        """Take over the signals, except what the parent has us ignore (``nohup``, or a job in the background)."""
        if signal.getsignal(signal.SIGINT) == self._stop:
            return
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        # Python writes there at once, also while the main thread is in a library that does not come back.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        Thread(target=self._watch, args=(reading,), name="uda-signals", daemon=True).start()

    def finish(self) -> None:
        """What is still to come cannot be stopped; it takes no time."""
        self._over.set()
        for number in _SIGNALS:
            if signal.getsignal(number) == self._stop:
                signal.signal(number, signal.SIG_IGN)

    def wait_for(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for a program of the same terminal, and pass on to it what the terminal does not; its exit code."""
        self._child = child
        try:
            code = child.wait()
        finally:
            self._child = None
        return 128 + self.received if self.received else code

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        again, self._last = monotonic() - self._last < _PATIENCE, monotonic()
        if again:
            return
        first, self.received = self.received is None, self.received or number
        if self._child is None:
            raise Stopped
        if number != signal.SIGINT or not first:
            self._child.send_signal(signal.SIGTERM)

    def _watch(self, reading: int) -> None:
        os.read(reading, 1)
        # A query may be just about to begin.
        while not self._over.is_set() and self._child is None:
            ask()
            self._over.wait(0.2)


interrupts = Interrupts()
