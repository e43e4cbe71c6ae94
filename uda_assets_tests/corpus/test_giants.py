"""Giants end in the exact answer or in a clear rejection, within bounded memory and without filling the disk.

``uv run pytest -n 0 -m heavy -s uda_assets_tests/corpus/test_giants.py`` reads each in a process of its own, by the
default settings and two threads, and prints its peak memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from uda_assets_tests.corpus.giants import GIANTS, MIB, Giant

SMALL = {"UDA_MAX_RECORD_BYTES": "1MiB", "UDA_MAX_DECOMPRESSED_BYTES": "16MiB", "UDA_MEMORY_LIMIT": "64MiB"}


def read(root: Path, **settings: str) -> tuple[dict[str, Any], int]:
    """What came of the drops of a data root, and the peak memory of the process that read them."""
    environment = os.environ | {"UDA_THREADS": "2", "POLARS_MAX_THREADS": "2"} | settings
    command = [sys.executable, "-m", "uda_assets_tests.corpus.giants", str(root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    drops, peak = json.loads(done.stdout)
    return {drop: tuple(found) if isinstance(found, list) else found for drop, found in drops.items()}, peak


def write(giant: Giant, root: Path, mebibytes: float) -> int:
    path = root / "datasets" / giant.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        giant.write(file, int(mebibytes * MIB))
    return path.stat().st_size


def test_small_giants_within_small_bounds(tmp_path: Path) -> None:
    small = [giant for giant in GIANTS if not giant.settings or giant.expected == "decompressed_too_large"]
    for giant in small:
        write(giant, tmp_path, giant.small)
    drops, peak = read(tmp_path, **SMALL)
    print(f"\n{len(small)} small giants, peak {peak / MIB:.0f} MiB")
    # Compression is not judged before 64 MiB, and these bounds are passed before.
    expected = {giant.name: giant.expected for giant in small} | dict.fromkeys(
        (giant.name for giant in small if giant.expected == "compression_too_high"), "decompressed_too_large"
    )
    assert drops == expected
    assert peak < 400 * MIB


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("giant", GIANTS, ids=lambda giant: giant.name)
def test_giants(tmp_path: Path, giant: Giant) -> None:
    size = write(giant, tmp_path, giant.size)
    begun = time.monotonic()
    drops, peak = read(tmp_path, **giant.settings)
    print(
        f"\n{giant.name}: {giant.size} MiB ({size / MIB:.1f} MiB on disk): {drops[giant.name]}, "
        f"peak {peak / MIB:.0f} MiB, {time.monotonic() - begun:.1f} s"
    )
    assert drops == {giant.name: giant.expected}
    assert peak < 1024 * MIB
    (tmp_path / "datasets" / giant.name).unlink()
