"""Another leaderboard from the sessions that :mod:`benchmarks.peers.duckdb_chain` has put into its database.

``python -m benchmarks.peers.duckdb_lookup DATABASE OUT.csv --n 7 --since 2026-01-10 --platform iOS``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import duckdb


def main() -> None:
    """Count, rank, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--since")
    parser.add_argument("--platform")
    given = parser.parse_args()
    wanted = {"started_at >= ?::TIMESTAMPTZ": given.since, "platform = ?": given.platform}
    conditions = [condition for condition, value in wanted.items() if value]
    with duckdb.connect(given.database, read_only=True) as connection:
        connection.execute(
            f"""
            COPY (
                SELECT platform, user_id, count(*) AS session_count FROM sessions
                WHERE {" AND ".join(conditions) or "true"}
                GROUP BY platform, user_id
                QUALIFY row_number() OVER (PARTITION BY platform ORDER BY session_count DESC, user_id) <= {given.n}
                ORDER BY platform, session_count DESC, user_id
            ) TO '{given.out}' (FORMAT csv, HEADER)""",
            [value for value in wanted.values() if value],
        )


if __name__ == "__main__":
    main()
