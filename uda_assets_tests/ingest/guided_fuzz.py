"""Fuzzing that follows what the code does, by atheris, which is no dependency of the project.

``uv run --with atheris python -m uda_assets_tests.ingest.guided_fuzz -max_total_time=60`` goes on for a minute; other
arguments are libFuzzer's. Each input is read by the fast reader and by the reference reader; where they differ, it
stops, and leaves the input in a file. It begins with files of the corpus.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["uda_assets.ingest", "uda_assets_tests.ingest.reference"]):
    from uda_assets_tests.ingest.fast import read_fast, read_slow
from uda_assets_tests.corpus.pollutions import corpus

_BLOCKS = (1, 37, 200, 1 << 20)


def check(data: bytes) -> None:
    """The first byte chooses how large blocks are."""
    block_bytes, drop = _BLOCKS[data[0] % len(_BLOCKS)] if data else 1, data[1:]
    assert read_fast(drop, block_bytes=block_bytes) == read_slow(drop)


def main() -> None:
    """Run libFuzzer with files of the corpus to begin with."""
    with tempfile.TemporaryDirectory() as directory:
        for number, file in enumerate(corpus()):
            if number % 50 == 0 and file.suffix == ".csv" and len(file.data) < 2000:
                (Path(directory) / str(number)).write_bytes(bytes([number % 256]) + file.data)
        atheris.Setup([sys.argv[0], *sys.argv[1:], directory], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
