"""Questions about committed and published data, answered as rows.

Commands ask them often and one at a time, so this module imports no large library except DuckDB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import msgspec

from uda_assets.basics.errors import UdaError
from uda_assets.basics.settings import Settings
from uda_assets.lake import DropManifest, Lake, SessionsManifest, State
from uda_assets.warehouse.answers import Answer
from uda_assets.warehouse.database import configure, empty_relation, open_published, parquet_files, working_database
from uda_assets.warehouse.exclusion import ranked
from uda_assets.warehouse.movement import MOVEMENT_COLUMNS
from uda_assets.warehouse.ranking import Window, count_sessions, rank_alone
from uda_assets.warehouse.relations import SESSIONS, contributions_in, counts_in, sessions_in

LEADERBOARD_COLUMNS: dict[str, type] = {"platform": str, "user_id": str, "session_count": int}
QUARANTINE_COLUMNS: dict[str, type] = {"drop": str, "line": int, "reason": str, "raw": str}
BUILD_FIRST = (
    "nothing is built yet; run `uv run dagster asset materialize -m uda_assets.definitions "
    "--select '+top_n_by_platform'` first"
)
Session = tuple[str, str, str, datetime, datetime, int]
"""A row with the columns ``SESSIONS``."""
_PLATFORMS_SHOWN, _SESSIONS_SHOWN = 3, 4
_QUARANTINE_TYPES = "drop VARCHAR, line BIGINT, reason VARCHAR, raw VARCHAR"


def counts_within(lake: Lake, manifest: SessionsManifest | None, window: Window) -> str:
    """Return an SQL relation ``platform, user_id, session_count`` of the sessions in a window."""
    manifest = manifest or SessionsManifest()
    if not window.bounded:
        return counts_in(lake.sessions, manifest)
    return f"({count_sessions(sessions_in(lake.sessions, manifest), window)})"


def leaderboard_of(lake: Lake, settings: Settings, manifest: SessionsManifest, platform: str | None = None) -> Answer:
    """Rank the committed sessions by the N and window of the settings, for all platforms or for one.

    Each platform gets a query of its own, which reads only that platform's files.
    """
    names = [name for name in sorted(manifest.platforms) if platform in (None, name)]
    window, listed = Window(settings.since, settings.until), ranked(settings.exclude_users)
    with lake.scratch() as spill, working_database(settings, spill, lake.root) as connection:
        rows = [
            (name, *row)
            for name in names
            for row in connection.execute(
                rank_alone(counts_within(lake, _of_platform(manifest, name), window), settings.n, listed)
            ).fetchall()
        ]
    return Answer(LEADERBOARD_COLUMNS, rows)


@contextmanager
def published_warehouse(lake: Lake, settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published warehouse read-only; it stays as it is even if a newer one is published meanwhile.

    Raises:
        UdaError: Nothing is published.
        OtherFormat: Another version of this program wrote the data root.
    """
    lake.state()
    if not lake.warehouse.exists():
        raise UdaError(BUILD_FIRST)
    with lake.scratch() as scratch, open_published(_local_copy(lake, scratch)) as connection:
        configure(connection, settings, scratch, lake.root)
        yield connection


def _local_copy(lake: Lake, scratch: Path) -> Path:
    """Return the path of the warehouse on this machine; one in a bucket is downloaded to ``scratch``."""
    if not lake.files.remote:
        return Path(lake.warehouse)
    lake.files.fetch(lake.warehouse, scratch / lake.warehouse.name)
    return scratch / lake.warehouse.name


def published_movement(lake: Lake, settings: Settings, platform: str | None = None) -> Answer:
    """Return the rank movement of the published leaderboard, for all platforms or for one.

    :mod:`uda_assets.warehouse.movement` defines what the rows mean.
    """
    with published_warehouse(lake, settings) as connection:
        rows = connection.execute(
            f"SELECT {', '.join(MOVEMENT_COLUMNS)} FROM rank_movement WHERE $platform IS NULL OR platform = $platform "
            "ORDER BY against DESC, platform, rank NULLS LAST, previous_rank",
            {"platform": platform},
        ).fetchall()
    return Answer(MOVEMENT_COLUMNS, rows)


def sample_sessions(lake: Lake, connection: duckdb.DuckDBPyConnection, manifest: SessionsManifest) -> list[Session]:
    """Return a few complete sessions of a few platforms.

    They are cached below the data root by the manifest's generation, because most runs change no sessions.

    Args:
        lake: The data root.
        connection: A database that can read the data root's files.
        manifest: The committed sessions.
    """
    cached = lake.notes.read("some_sessions", tuple[int, list[Session]])
    if cached and cached[0] == manifest.generation:
        return cached[1]
    sessions = [
        tuple(row)
        for name in sorted(manifest.platforms)[:_PLATFORMS_SHOWN]
        for row in connection.execute(_first_sessions(lake, _first_unit(_of_platform(manifest, name)))).fetchall()
    ]
    lake.notes.write("some_sessions", (manifest.generation, sessions))
    return sessions


def _first_sessions(lake: Lake, manifest: SessionsManifest) -> str:
    """Return SQL for the sessions with the smallest hashes in a segment; of the others only the hashes are read."""
    first = contributions_in(lake.sessions, manifest.segments[:1])
    hashes = f"SELECT key_hash FROM {first} ORDER BY key_hash LIMIT {_SESSIONS_SHOWN}"
    sessions = sessions_in(lake.sessions, manifest, f"{SESSIONS}, key_hash")
    return (
        f"SELECT {SESSIONS} FROM {sessions} SEMI JOIN ({hashes}) USING (key_hash) ORDER BY ALL LIMIT {_SESSIONS_SHOWN}"
    )


def _first_unit(manifest: SessionsManifest) -> SessionsManifest:
    """Keep only the first unit of a platform's files; a unit is bounded in size, and its sessions are complete."""
    segments = [file for file in manifest.segments if file.drops]
    bucket = segments[0].bucket if segments else 0
    return msgspec.structs.replace(
        manifest,
        segments=[file for file in segments if file.bucket == bucket],
        shared=[file for file in manifest.shared if file.bucket == bucket],
    )


def _of_platform(manifest: SessionsManifest, platform: str) -> SessionsManifest:
    """Keep only one platform's files."""
    return msgspec.structs.replace(
        manifest,
        segments=[file for file in manifest.segments if file.platform == platform],
        shared=[file for file in manifest.shared if file.platform == platform],
        counts=[file for file in manifest.counts if file.platform == platform],
        changed=[file for file in manifest.changed if file.platform == platform],
    )


def quarantine_relation(lake: Lake, state: State) -> str:
    """Return an SQL relation ``drop, line, reason, raw`` of the quarantined records of all drops in the sessions."""
    merged = state.sessions.drops if state.sessions else {}
    return _quarantine_of(lake, [manifest for drop, manifest in state.drops.items() if drop in merged])


def _quarantine_of(lake: Lake, manifests: Iterable[DropManifest]) -> str:
    # Drops without quarantined records are skipped: opening thousands of empty files would make each query slow.
    signature_of = lake.files.signature_lookup(lake.quarantine)
    paths = [
        path
        for manifest in manifests
        if manifest.quarantined and signature_of(path := f"{lake.root}/{lake.quarantine_path(manifest)}")
    ]
    return parquet_files(paths) if paths else empty_relation(_QUARANTINE_TYPES)


def read_quarantine(lake: Lake, settings: Settings, drop: str | None = None) -> Answer:
    """Return the quarantined records of one committed drop or of all drops, sorted by drop and line."""
    drops = lake.state().drops
    relation = _quarantine_of(lake, drops.values() if drop is None else [drops[drop]])
    with lake.scratch() as spill, working_database(settings, spill, lake.root) as connection:
        rows = connection.execute(f"SELECT drop, line, reason, raw FROM {relation} ORDER BY drop, line").fetchall()
    return Answer(QUARANTINE_COLUMNS, rows)
