"""Sessions: one row a (platform, user_id, session_id), merged from the committed drops."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import duckdb

from uda_assets.database import RECORD_COLUMNS, SESSION_COLUMNS, literal, parquet_relation, working_database
from uda_assets.lake import MANIFEST, DropManifest, Lake, PartFile, SessionsManifest, make_dir, platform_dir, write_json
from uda_assets.ranking import MERGE_RECORDS
from uda_assets.settings import Settings


class Merge(NamedTuple):
    """The sessions that now count, and whether they had to be built."""

    manifest: SessionsManifest
    rebuilt: bool


def merge_sessions(lake: Lake, settings: Settings) -> Merge:
    """Bring the sessions up to the committed drops; the caller holds the lake's lock.

    New files are written beside the old ones, then the manifest names them. What it names no longer stays for one more
    generation, for readers that still follow the older manifest.
    """
    manifests = lake.manifests()
    drops = {name: manifest.fingerprint for name, manifest in manifests.items()}
    current = lake.sessions_manifest()
    if current and current.drops == drops and all((lake.sessions / file.path).exists() for file in current.files):
        return Merge(current, rebuilt=False)
    generation = hashlib.sha256(json.dumps(drops, sort_keys=True).encode()).hexdigest()[:16]
    with lake.stage() as staged, working_database(settings, staged / "spill") as connection:
        files = [
            _write_platform(lake, connection, staged, platform, parts, generation)
            for platform, parts in sorted(_parts_by_platform(lake, manifests).items())
        ]
    merged = SessionsManifest(
        generation=generation,
        drops=drops,
        files=files,
        records=sum(manifest.kept for manifest in manifests.values()),
        sessions=sum(file.rows for file in files),
        superseded=[file.path for file in current.files] if current else [],
    )
    write_json(lake.sessions / MANIFEST, merged)
    _remove_unnamed(lake, merged)
    return Merge(merged, rebuilt=True)


def sessions_relation(lake: Lake, manifest: SessionsManifest | None) -> str:
    """The sessions that a manifest names, as an SQL relation in ``SESSION_SCHEMA``."""
    return parquet_relation(lake.sessions, manifest.files if manifest else [], SESSION_COLUMNS)


def _parts_by_platform(lake: Lake, manifests: dict[str, DropManifest]) -> dict[str, list[PartFile]]:
    parts: dict[str, list[PartFile]] = {}
    for drop, manifest in manifests.items():
        for file in manifest.files:
            path = str((lake.parquet_dir(drop) / file.path).relative_to(lake.parquets))
            parts.setdefault(file.platform, []).append(PartFile(path, file.platform, file.rows))
    return parts


def _write_platform(
    lake: Lake, connection: duckdb.DuckDBPyConnection, staged: Path, platform: str, parts: list[PartFile],
    generation: str,
) -> PartFile:  # fmt: skip
    """Merge one platform's records: a platform at a time needs less memory."""
    records = parquet_relation(lake.parquets, parts, RECORD_COLUMNS)
    query = f"SELECT * EXCLUDE (platform) FROM ({MERGE_RECORDS.format(records=records)})"
    written = staged / "sessions.parquet"
    row = connection.execute(f"COPY ({query}) TO {literal(written)} (FORMAT parquet, COMPRESSION zstd)").fetchone()
    path = f"{platform_dir(platform)}/{generation}.parquet"
    make_dir((lake.sessions / path).parent)
    written.replace(lake.sessions / path)
    return PartFile(path, platform, int(row[0]) if row else 0)


def _remove_unnamed(lake: Lake, manifest: SessionsManifest) -> None:
    named = {file.path for file in manifest.files} | set(manifest.superseded)
    for path in lake.sessions.glob("*/*.parquet"):
        if str(path.relative_to(lake.sessions)) not in named:
            path.unlink(missing_ok=True)
