"""Compiles the reader's kernel when the package is built; a hook of the build backend, which nothing else imports.

The system's C compiler is used. Only where there is none that works, the build asks for the PyPI package ziglang, which
brings one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_HERE = Path(__file__).parent
_SOURCE = _HERE / "kernel.c"
_LIBRARY = _HERE / f"kernel-{sys.platform}.so"
_OPTIONS = ["-std=c11", "-O3", "-fPIC", "-shared", "-fvisibility=hidden"]


class KernelBuild(BuildHookInterface[BuilderConfig]):
    """Compiles ``kernel.c`` to a shared library beside it, and makes it a part of the wheel."""

    def dependencies(self) -> list[str]:
        """Return what the build needs."""
        return [] if _system_compiler() else ["ziglang>=0.13"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the kernel.

        Raises:
            SystemExit: It cannot be compiled; the message says why.
        """
        del version
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(_LIBRARY.relative_to(self.root).as_posix())
        compiler = _system_compiler() or [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]
        # A process that uses the library goes on with the old file.
        compiled = _LIBRARY.with_suffix(".new")
        done = subprocess.run([*compiler, *_OPTIONS, "-o", compiled, _SOURCE], capture_output=True, text=True)  # noqa: S603, PLW1510
        if done.returncode:
            first = next(iter(done.stderr.splitlines()), f"exit code {done.returncode}")
            sys.exit(f"uda_assets cannot be built: {compiler[0]} fails to compile {_SOURCE.name}: {first}")
        compiled.replace(_LIBRARY)


def _system_compiler() -> list[str] | None:
    """Return the command of the system's C compiler if it can compile the kernel."""
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if not compiler:
        return None
    checked = subprocess.run([compiler, "-std=c11", "-fsyntax-only", _SOURCE], capture_output=True)  # noqa: S603, PLW1510
    return None if checked.returncode else [compiler]
