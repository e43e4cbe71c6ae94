"""Handling of Ctrl-C, SIGTERM and a closed terminal: the command stops soon, and its cleanup is not interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
from threading import Event, Thread
from time import monotonic
from types import FrameType

from uda_assets.basics.interruption import Stopped, request_stop

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CLEANUP_SECONDS = 5.0
"""A signal that follows another one within this time is ignored, so that the cleanup can finish."""


def start_program(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a program that stops its own child processes with SIGINT, which they therefore must not ignore.

    The shell of a script makes its background jobs ignore SIGINT, and child processes inherit that. In this case the
    program gets SIGINT's default action back, and a process group of its own, which the terminal's SIGINT does not
    reach.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        # A child process inherits an ignored signal, but not a handler.
        signal.signal(signal.SIGINT, _do_nothing)
    return subprocess.Popen(command, env=environment, process_group=0 if ignored else None)  # noqa: S603


def _do_nothing(number: int, frame: FrameType | None) -> None:
    del number, frame


class Interrupts:
    """The signal handlers of this process, in effect from :meth:`install` on.

    Attributes:
        received: The first signal received, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._last_signal = 0.0
        self._child: subprocess.Popen[bytes] | None = None
        self._finished = Event()

    def install(self) -> None:
        """Handle the signals, except those that the parent process has made us ignore (``nohup``, background jobs)."""
        if signal.getsignal(signal.SIGINT) == self._handle:
            return
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        # Python writes to this pipe at once, even while the main thread is inside a library and cannot run a handler.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        Thread(target=self._interrupt_work, args=(reading,), name="uda-signals", daemon=True).start()

    def finish(self) -> None:
        """Ignore the signals from now on, because what is left to do takes no time."""
        self._finished.set()
        for number in _SIGNALS:
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_IGN)

    def wait_for(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for a child process on the same terminal, and forward the signals that the terminal does not send to it.

        Returns:
            Its exit code, or 128 plus the number of the signal that stopped us.
        """
        self._child = child
        try:
            code = child.wait()
        finally:
            self._child = None
        return 128 + self.received if self.received else code

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        repeated, self._last_signal = monotonic() - self._last_signal < _CLEANUP_SECONDS, monotonic()
        if repeated:
            return
        first, self.received = self.received is None, self.received or number
        if self._child is None:
            raise Stopped
        if number != signal.SIGINT or not first:
            self._child.send_signal(signal.SIGTERM)

    def _interrupt_work(self, reading: int) -> None:
        """Wait for a signal, then keep interrupting threads and queries until the command has finished."""
        os.read(reading, 1)
        # Once is not enough: a query may be about to start.
        while not self._finished.is_set() and self._child is None:
            request_stop()
            self._finished.wait(0.2)


interrupts = Interrupts()
