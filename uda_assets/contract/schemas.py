"""The schemas of all tables, for Polars and for Arrow."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

RECORD_SCHEMA = pl.Schema(
    {
        "user_id": pl.String(),
        "session_id": pl.String(),
        "platform": pl.String(),
        "activity_time": pl.Datetime("us", "UTC"),
        "activity_type": pl.String(),
    }
)
QUARANTINE_SCHEMA = pl.Schema({"drop": pl.String(), "line": pl.Int64(), "reason": pl.String(), "raw": pl.String()})
SESSION_SCHEMA = pl.Schema(
    {
        "platform": pl.String(),
        "user_id": pl.String(),
        "session_id": pl.String(),
        "started_at": pl.Datetime("us", "UTC"),
        "ended_at": pl.Datetime("us", "UTC"),
        "events": pl.Int64(),
    }
)
LEADERBOARD_SCHEMA = pl.Schema({"platform": pl.String(), "user_id": pl.String(), "session_count": pl.Int64()})


def _arrow_schema(schema: pl.Schema, *, without: tuple[str, ...] = ()) -> pa.Schema:
    kinds = {pl.String: pa.string(), pl.Int64: pa.int64()}
    time = pa.timestamp("us", "UTC")
    return pa.schema([(name, kinds.get(type(kind), time)) for name, kind in schema.items() if name not in without])


PARQUET_SCHEMA = _arrow_schema(RECORD_SCHEMA, without=("platform",))
"""The columns of the Parquet files of accepted records; ``platform`` is part of their path."""
QUARANTINE_PARQUET_SCHEMA = _arrow_schema(QUARANTINE_SCHEMA)
