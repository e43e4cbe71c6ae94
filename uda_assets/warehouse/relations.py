"""The session files that a manifest names, as SQL relations."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from uda_assets.lake import Segment, SessionsManifest
from uda_assets.storage import Location
from uda_assets.warehouse.database import empty_relation, literal, parquet_relation

SESSIONS = "platform, user_id, session_id, started_at, ended_at, events"
_KEY = "platform, key_hash, user_id, session_id"
CONTRIBUTION_COLUMNS = (
    "drop VARCHAR, user_id VARCHAR, session_id VARCHAR, started_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, "
    "events BIGINT, key_hash UBIGINT, platform VARCHAR"
)
SESSION_COLUMNS = (
    "user_id VARCHAR, session_id VARCHAR, started_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, events BIGINT, "
    "key_hash UBIGINT, platform VARCHAR"
)
COUNT_COLUMNS = "user_id VARCHAR, session_count BIGINT, platform VARCHAR"

LAYOUT = f"1, duckdb {duckdb.__version__}"
"""The version of the session files. It includes DuckDB's version, because DuckDB's hash may differ between versions."""


def sessions_in(base: Location, manifest: SessionsManifest, columns: str = SESSIONS) -> str:
    """Return the sessions of a manifest as an SQL relation, by default in ``SESSION_SCHEMA``."""
    contributions = contributions_in(base, manifest.segments)
    if not manifest.shared:
        return f"(SELECT {columns} FROM {contributions})"
    shared = parquet_relation(base, manifest.shared, SESSION_COLUMNS)
    return (
        f"(SELECT {columns} FROM {contributions} ANTI JOIN {shared} USING ({_KEY}) "
        f"UNION ALL SELECT {columns} FROM {shared})"
    )


def counts_in(base: Location, manifest: SessionsManifest) -> str:
    """Return an SQL relation ``platform, user_id, session_count`` of all sessions of a manifest."""
    columns = "platform, user_id, session_count"
    counts = parquet_relation(base, manifest.counts, COUNT_COLUMNS)
    if not manifest.changed:
        return f"(SELECT {columns} FROM {counts})"
    changed = parquet_relation(base, manifest.changed, COUNT_COLUMNS)
    return (
        f"(SELECT {columns} FROM {counts} ANTI JOIN {changed} USING (platform, user_id) "
        f"UNION ALL SELECT {columns} FROM {changed} WHERE session_count > 0)"
    )


def contributions_in(base: Location, segments: Iterable[Segment]) -> str:
    """Return an SQL relation of each drop's part of each session, without the drops removed from their segments."""
    whole = [segment for segment in segments if not segment.removed]
    relations = [parquet_relation(base, whole, CONTRIBUTION_COLUMNS)] if whole else []
    for segment in segments:
        if segment.removed:
            removed = ", ".join(map(literal, segment.removed))
            relation = parquet_relation(base, [segment], CONTRIBUTION_COLUMNS)
            relations.append(f"(SELECT * FROM {relation} WHERE drop NOT IN ({removed}))")
    if not relations:
        return empty_relation(CONTRIBUTION_COLUMNS)
    if len(relations) == 1:
        return relations[0]
    return "(" + " UNION ALL BY NAME ".join(f"SELECT * FROM {relation}" for relation in relations) + ")"
