"""The whole chain by DuckDB: CSV with rejects, Parquet by platform, sessions and the top in a database file.

Beside OUT.csv it makes OUT.duckdb with the tables ``quarantine``, ``sessions`` and ``top_n_by_platform``, and the
directory OUT.parquet. Malformed records are always set aside (``store_rejects``): that is what the chain is for.
"""

from __future__ import annotations

import duckdb

from benchmarks.peers.common import COLUMNS, N, arguments, sql_case


def main() -> None:
    """Convert, dedupe, rank, write."""
    given = arguments(__doc__)
    types = dict.fromkeys(COLUMNS, "VARCHAR") | {"activity_time": "TIMESTAMPTZ"}
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
    lake, database = given.out.with_suffix(".parquet"), given.out.with_suffix(".duckdb")
    with duckdb.connect(database) as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(f"""
            COPY (
                SELECT * REPLACE ({sql_case("lower(trim(platform))")} AS platform)
                FROM read_csv('{given.file}', columns = {{{columns}}}, auto_detect = false, header = true,
                              delim = ',', quote = '"', escape = '"', store_rejects = true)
                WHERE {sql_case("lower(trim(platform))")} IS NOT NULL
                  AND user_id <> '' AND session_id <> '' AND activity_time IS NOT NULL AND activity_type <> ''
            ) TO '{lake}' (FORMAT parquet, PARTITION_BY (platform), COMPRESSION zstd)""")
        connection.execute("""
            CREATE TABLE quarantine AS
            SELECT line, any_value(error_type) AS reason, any_value(csv_line) AS raw
            FROM reject_errors GROUP BY line""")
        connection.execute(f"""
            CREATE TABLE sessions AS
            SELECT platform, user_id, session_id,
                   min(activity_time) AS started_at, max(activity_time) AS ended_at, count(*) AS events
            FROM read_parquet('{lake}/*/*.parquet', hive_partitioning = true)
            GROUP BY platform, user_id, session_id""")
        connection.execute(f"""
            CREATE TABLE top_n_by_platform AS
            SELECT platform, user_id, count(*) AS session_count FROM sessions
            GROUP BY platform, user_id
            QUALIFY row_number() OVER (PARTITION BY platform ORDER BY session_count DESC, user_id) <= {N}""")
        connection.execute(f"""
            COPY (FROM top_n_by_platform ORDER BY platform, session_count DESC, user_id)
            TO '{given.out}' (FORMAT csv, HEADER)""")


if __name__ == "__main__":
    main()
