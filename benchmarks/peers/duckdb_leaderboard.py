"""The bare leaderboard by DuckDB.

The columns are given, so that nothing is sniffed. SELECT DISTINCT and then a count took as long as count(DISTINCT …)
or up to a tenth less, on 2M records in either order.

Skipping errors needs ``strict_mode = false``: with ``ignore_errors = true`` alone, DuckDB 2.0 silently returned 5% of
the records of a file of 2M with 0.5% malformed ones. (``store_rejects`` or ``parallel = false`` mend it too, slower.)
"""

from __future__ import annotations

import duckdb

from benchmarks.peers.common import COLUMNS, N, arguments, sql_case


def main() -> None:
    """Read, count, write."""
    given = arguments(__doc__)
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in COLUMNS)
    skip = ", ignore_errors = true, strict_mode = false" if given.skip_errors else ""
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(f"""
            COPY (
                SELECT platform, user_id, count(*) AS session_count
                FROM (
                    SELECT DISTINCT {sql_case("lower(trim(platform))")} AS platform, user_id, session_id
                    FROM read_csv('{given.file}', columns = {{{columns}}}, auto_detect = false, header = true,
                                  delim = ',', quote = '"', escape = '"'{skip})
                )
                WHERE platform IS NOT NULL
                GROUP BY platform, user_id
                QUALIFY row_number() OVER (PARTITION BY platform ORDER BY session_count DESC, user_id) <= {N}
                ORDER BY platform, session_count DESC, user_id
            ) TO '{given.out}' (FORMAT csv, HEADER)""")


if __name__ == "__main__":
    main()
