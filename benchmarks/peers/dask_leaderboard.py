"""The bare leaderboard by dask.dataframe on an existing cluster: the three columns that it takes.

    python -m benchmarks.peers.dask_leaderboard FILE OUT tcp://host:8786

Text as Arrow, which is Dask's default. `drop_duplicates` and `groupby` shuffle to as many partitions as were read.
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
    file, out, address = sys.argv[1:]
    with Client(address):
        records = dd.read_csv(file, usecols=KEY, dtype=dict.fromkeys(KEY, "string[pyarrow]"), keep_default_na=False)
        records["platform"] = records["platform"].str.strip().str.lower().map(SPELLINGS, meta=("platform", "object"))
        sessions = records.dropna(subset=["platform"]).drop_duplicates(KEY, split_out=records.npartitions)
        counted = sessions.groupby(["platform", "user_id"], sort=False).size(split_out=records.npartitions)
        counts = counted.reset_index().rename(columns={0: "session_count"})
        # Few enough for one process: the first users of each partition are no smaller than those of all.
        counts = counts.map_partitions(_first).compute()
    _first(counts).to_csv(out, index=False)


def _first(counts: pd.DataFrame) -> pd.DataFrame:
    ordered = counts.sort_values(["platform", "session_count", "user_id"], ascending=[True, False, True])
    return ordered.groupby("platform", sort=False).head(N)


if __name__ == "__main__":
    main()
