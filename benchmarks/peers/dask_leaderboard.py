"""The bare leaderboard by dask.dataframe on an existing cluster: the three columns that it takes.

    python -m benchmarks.peers.dask_leaderboard FILE OUT tcp://host:8786 pyarrow

The last argument is the engine of `read_csv`: `c`, which is the default, or `pyarrow`, which is faster and cannot skip
bad lines. Text is Arrow's. Of the ways to forget repeats Dask's own defaults were about as fast as any other
(on 10M records and two workers as a tree 0.93x of the time, with `split_out` 1.3x).
"""

from __future__ import annotations

import sys

import dask.dataframe as dd
import pandas as pd
from distributed import Client

from benchmarks.peers.common import SPELLINGS, N

KEY = ["platform", "user_id", "session_id"]


def main() -> None:
    """Read, count, write."""
    file, out, address, engine = sys.argv[1:]
    with Client(address):
        kinds = dict.fromkeys(KEY, "string[pyarrow]")
        records = dd.read_csv(file, usecols=KEY, dtype=kinds, keep_default_na=False, engine=engine)
        records["platform"] = records["platform"].str.strip().str.lower().map(SPELLINGS, meta=("platform", "object"))
        sessions = records.dropna(subset=["platform"]).drop_duplicates(KEY)
        counted = sessions.groupby(["platform", "user_id"], sort=False).size()
        counts = counted.rename("session_count").reset_index()
        # Few enough for one process: the first users of each partition are no smaller than those of all.
        counts = counts.map_partitions(_first).compute()
    _first(counts).to_csv(out, index=False)


def _first(counts: pd.DataFrame) -> pd.DataFrame:
    ordered = counts.sort_values(["platform", "session_count", "user_id"], ascending=[True, False, True])
    return ordered.groupby("platform", sort=False).head(N)


if __name__ == "__main__":
    main()
