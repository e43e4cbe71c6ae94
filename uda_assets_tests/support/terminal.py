"""Programs run in a real pseudo-terminal, and what they print there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][AB0]|\x1b\][^\x07]*\x07")


def in_terminal(
    *arguments: str | Path, root: Path, width: int = 100, until: str | None = None, **environment: str
) -> tuple[int, str]:
    """Exit code and output of ``uda`` with stdout and stderr on a terminal of some width.

    It is interrupted when it has printed ``until``.
    """
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    given = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "uda_assets", *map(str, arguments)],
        stdin=side, stdout=side, stderr=side, cwd=root, start_new_session=True,
        env=given | {"TERM": "xterm-256color", "UDA_DATA_ROOT": str(root)} | environment,
    )  # fmt: skip
    os.close(side)
    pieces = []
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:  # what Linux gives when the last program has closed the terminal
            break
        if not piece:
            break
        pieces.append(piece)
        if until and until.encode() in b"".join(pieces):
            process.send_signal(signal.SIGINT)
            until = None
    os.close(main)
    return process.wait(60), b"".join(pieces).decode()


def without_escapes(output: str) -> str:
    """The text alone, without colours and movements of the cursor."""
    return _ESCAPES.sub("", output)
