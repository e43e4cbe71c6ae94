"""Polars writes the bytes of a CSV file again, from a frame in memory; prints the seconds of the writing alone.

``python -m benchmarks.peers.polars_write FILE OUT.csv``. (write_csv and sink_csv take the same time.)
"""

from __future__ import annotations

import json
import time

import polars as pl

from benchmarks.peers.common import COLUMNS, arguments


def main() -> None:
    """Read, then write against the clock."""
    given = arguments(__doc__)
    frame = pl.read_csv(given.file, schema=dict.fromkeys(COLUMNS, pl.String()))
    began = time.perf_counter()
    frame.write_csv(given.out)
    print(json.dumps({"work": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
