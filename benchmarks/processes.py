"""Whole processes, measured: seconds on the wall and of the processors, and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PROJECT = Path(__file__).parents[1]
_LAUNCHER = Path(__file__).with_name("launch.py")
# Ours, and what would have each process compile all that it imports.
_LEFT_OUT = ("UDA_", "DAGSTER_HOME", "PYTHONDONTWRITEBYTECODE")


class Failed(Exception):
    """A command failed; the message is the last line of what it had to say."""


class Usage(NamedTuple):
    """What a command took, and what it printed.

    Attributes:
        seconds: From start to end.
        cpu: Seconds of all processors together, the kernel's included.
        peak: Most memory in use at once, in MiB.
        out: Its standard output.
        err: Its standard error.
    """

    seconds: float
    cpu: float
    peak: float
    out: str
    err: str

    def told(self) -> dict[str, Any]:
        """What it printed as JSON, in its last line."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


def module(name: str, *arguments: object) -> list[str]:
    """The command that runs a module of this environment."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Usage:
    """Run a command to its end, with no settings of ours but those in ``environment``.

    Raises:
        Failed: Its exit code was not 0.
    """
    plain = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    with tempfile.TemporaryDirectory() as directory:
        out, err = Path(directory) / "out", Path(directory) / "err"
        launched = subprocess.run(
            [sys.executable, "-I", "-S", str(_LAUNCHER), str(out), str(err), *command],
            env=plain | dict(environment or {}), cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        code, seconds, cpu, peak = json.loads(launched.stdout)
        usage = Usage(seconds, cpu, peak, _text(out), _text(err))
    if code:
        raise Failed(next((line for line in reversed(usage.err.splitlines()) if line.strip()), f"exit code {code}"))
    return usage


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
