"""Run the reader under the sanitizers for addresses and for undefined behaviour: corpus first, then random files.

``uv run python -m uda_assets_tests.kernel.sanitized 300`` compiles the kernel with gcc's or clang's sanitizers, starts
itself again with their library loaded first, and goes on for so many seconds. Each block is in memory of its own exact
size, so that the first byte read beyond it ends the program.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from uda_assets.kernel import Kernel, Status
from uda_assets.kernel import kernel as binding

SOURCE = Path(binding.__file__).with_name("kernel.c")
OPTIONS = ["-std=c11", "-g", "-O1", "-fPIC", "-shared", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def start(seconds: str) -> int:
    """Compile, and run ``check`` in a process that the sanitizer watches."""
    with tempfile.TemporaryDirectory() as directory:
        library = Path(directory) / "kernel.so"
        subprocess.run(["cc", *OPTIONS, "-o", library, SOURCE], check=True)
        runtime = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
        environment = os.environ | {
            "LD_PRELOAD": runtime.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc",
            "UDA_SANITIZED_KERNEL": str(library),
        }  # fmt: skip
        command = [sys.executable, "-m", "uda_assets_tests.kernel.sanitized", seconds]
        return subprocess.run(command, env=environment, check=False).returncode


def check(library: str, seconds: float) -> None:
    """Read the corpus, and then random files for so many seconds."""
    binding.LIBRARY = Path(library)
    read = Kernel.read

    def read_exactly(self: Kernel, block: bytes, *, is_last: bool) -> Status:
        exact: Any = (ctypes.c_char * len(block)).from_buffer_copy(block) if block else block
        vars(self)["exact"] = exact  # the kernel refers to the block until the next call
        return read(self, exact, is_last=is_last)

    Kernel.read = read_exactly  # type: ignore[method-assign]
    from uda_assets_tests.corpus.judging import judge_all
    from uda_assets_tests.corpus.pollutions import corpus
    from uda_assets_tests.ingest.test_fuzz import check_header, check_reader, files, fuzz, headers

    figures = judge_all(islice(corpus(), None))
    assert not figures.disagreements, figures.disagreements[:3]
    cases = fuzz(check_reader, files(), seconds=seconds * 0.9) + fuzz(check_header, headers(), seconds=seconds * 0.1)
    print(f"{figures}; {seconds:g} s of fuzzing: {cases} cases; nothing found by the sanitizers")


if __name__ == "__main__":
    if sanitized := os.environ.get("UDA_SANITIZED_KERNEL"):
        check(sanitized, float(sys.argv[1]))
    else:
        sys.exit(start(sys.argv[1]))
