"""The bare leaderboard by pandas: the three columns that it takes, all in memory.

pyarrow's reader, several times as fast as the default one, fails on bytes that are not UTF-8; the default one fails on
a quote that never ends. So skipping errors takes the default reader with quoting turned off.
"""

from __future__ import annotations

import csv
from typing import Any

import pandas as pd

from benchmarks.peers.common import SPELLINGS, N, arguments

KEY = ["platform", "user_id", "session_id"]


def main() -> None:
    """Read, count, write."""
    given = arguments(__doc__)
    how: dict[str, Any] = {"engine": "pyarrow"}
    if given.skip_errors:
        how = {"on_bad_lines": "skip", "encoding_errors": "replace", "quoting": csv.QUOTE_NONE, "na_filter": False}
        how["index_col"] = False  # or a first record with too many fields would shift all columns
    records = pd.read_csv(given.file, usecols=KEY, dtype=dict.fromkeys(KEY, "str"), keep_default_na=False, **how)
    # Spellings are few: each is worked out once.
    spelled = {text: SPELLINGS.get(str(text).strip().lower()) for text in records["platform"].unique()}
    records["platform"] = records["platform"].map(spelled)
    sessions = records.dropna(subset=["platform"]).drop_duplicates(KEY)
    counts = sessions.groupby(["platform", "user_id"], sort=False).size().reset_index(name="session_count")
    counts = counts.sort_values(["platform", "session_count", "user_id"], ascending=[True, False, True])
    counts.groupby("platform").head(N).to_csv(given.out, index=False)


if __name__ == "__main__":
    main()
