"""dlt: load CSV files into DuckDB, then rank by SQL. It reads clean files only.

uv run --no-project --with "dlt[duckdb]" --with pyarrow --with s3fs python benchmarks/peers/dlt_chain.py DIR WORK
"""

import sys
from pathlib import Path

import dlt
from dlt.sources.filesystem import filesystem, read_csv_duckdb

source, work = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
pipeline = dlt.pipeline(
    "activity",
    destination=dlt.destinations.duckdb(str(work / "dlt.duckdb")),
    dataset_name="raw",
    pipelines_dir=str(work / "state"),
)
files = filesystem(bucket_url=source.as_uri(), file_glob="*.csv")
records = (files | read_csv_duckdb(use_pyarrow=True, all_varchar=True)).with_name("records")
pipeline.run(records, write_disposition="replace")
with pipeline.sql_client() as client:
    rows = client.execute_sql(
        "SELECT platform, user_id, count(DISTINCT session_id) AS sessions FROM records GROUP BY platform, user_id "
        "QUALIFY row_number() OVER (PARTITION BY platform ORDER BY sessions DESC, user_id) <= 50 "
        "ORDER BY platform, sessions DESC, user_id"
    )
for row in rows or []:
    print(*row, sep=",")
