"""The bare leaderboard by Polars, lazily and with its streaming engine.

Grouping by the whole key and then counting beat n_unique by a quarter and equalled unique, on 2M records.

Polars cannot skip a badly quoted record: ``ignore_errors`` fails on it, so quoting has to be turned off, and records
with a comma inside a quoted user id go astray.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from benchmarks.peers.common import COLUMNS, SPELLINGS, N, arguments


def main() -> None:
    """Read, count, write."""
    given = arguments(__doc__)
    skip: dict[str, Any] = {
        "ignore_errors": True, "truncate_ragged_lines": True, "encoding": "utf8-lossy", "quote_char": None,
    }  # fmt: skip
    records = pl.scan_csv(given.file, schema=dict.fromkeys(COLUMNS, pl.String()), **(skip if given.skip_errors else {}))
    platform = pl.col("platform").str.strip_chars().str.to_lowercase().replace_strict(SPELLINGS, default=None)
    (
        records.select(platform, "user_id", "session_id")
        .filter(pl.col("platform").is_not_null())
        .group_by("platform", "user_id", "session_id")
        .agg()
        .group_by("platform", "user_id")
        .agg(session_count=pl.len())
        .sort("platform", "session_count", "user_id", descending=[False, True, False])
        .group_by("platform", maintain_order=True)
        .head(N)
        .collect(engine="streaming")
        .write_csv(given.out)
    )


if __name__ == "__main__":
    main()
