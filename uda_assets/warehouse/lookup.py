"""Questions to what is committed, as rows: asked often and one at a time, so that nothing but DuckDB is imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import msgspec

from uda_assets.basics.errors import UdaError
from uda_assets.basics.settings import Settings
from uda_assets.lake import DropManifest, Lake, SessionsManifest
from uda_assets.warehouse.answers import Table
from uda_assets.warehouse.database import configure, empty_relation, open_published, parquet_files, working_database
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
"""A row of ``SESSIONS``."""
_PLATFORMS_SHOWN, _SESSIONS_SHOWN = 3, 4
_QUARANTINED = "drop VARCHAR, line BIGINT, reason VARCHAR, raw VARCHAR"


def counts_within(lake: Lake, manifest: SessionsManifest | None, window: Window) -> str:
    """Sessions by platform and user within a window, as an SQL relation: ``platform, user_id, session_count``."""
    merged = manifest or SessionsManifest()
    if not window.bounded:
        return counts_in(lake.sessions, merged)
    return f"({count_sessions(sessions_in(lake.sessions, merged), window)})"


def leaderboard_of(lake: Lake, settings: Settings, manifest: SessionsManifest, platform: str | None = None) -> Table:
    """A leaderboard with another N or window, of all platforms or of one, from the committed sessions.

    Each platform is a query of its own, so that only its files are read.
    """
    names = [name for name in sorted(manifest.platforms) if platform in (None, name)]
    window = Window(settings.since, settings.until)
    with lake.scratch() as spill, working_database(settings, spill, lake.root) as connection:
        rows = [
            (name, *row)
            for name in names
            for row in connection.execute(
                rank_alone(counts_within(lake, _of_platform(manifest, name), window), settings.n)
            ).fetchall()
        ]
    return Table(LEADERBOARD_COLUMNS, rows)


@contextmanager
def published_warehouse(lake: Lake, settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """The published warehouse, to be read only; what is published meanwhile does not change it.

    Raises:
        UdaError: Nothing is published, or by an older version of this program.
    """
    if not lake.warehouse.exists():
        raise UdaError(BUILD_FIRST)
    with lake.scratch() as scratch, open_published(_local_copy(lake, scratch)) as connection:
        configure(connection, settings, scratch, lake.root)
        try:
            connection.execute("FROM publication, rank_movement LIMIT 0")
        except duckdb.CatalogException:
            raise UdaError(
                "what is published was made by an older version of uda_assets; materialize top_n_by_platform again"
            ) from None
        yield connection


def _local_copy(lake: Lake, scratch: Path) -> Path:
    """The warehouse as a file of this machine."""
    if not lake.files.remote:
        return Path(lake.warehouse)
    lake.files.fetch(lake.warehouse, scratch / lake.warehouse.name)
    return scratch / lake.warehouse.name


def published_movement(lake: Lake, settings: Settings, platform: str | None = None) -> Table:
    """How the published leaderboard moved, of all platforms or of one; see :mod:`uda_assets.warehouse.movement`."""
    with published_warehouse(lake, settings) as connection:
        found = connection.execute(
            f"SELECT {', '.join(MOVEMENT_COLUMNS)} FROM rank_movement WHERE $platform IS NULL OR platform = $platform "
            "ORDER BY against DESC, platform, rank NULLS LAST, previous_rank",
            {"platform": platform},
        ).fetchall()
    return Table(MOVEMENT_COLUMNS, found)


def some_sessions(lake: Lake, connection: duckdb.DuckDBPyConnection, manifest: SessionsManifest) -> list[Session]:
    """A few sessions of a few platforms, whole; they are noted, since most runs change none.

    Args:
        lake: The data root.
        connection: A database that can read its files.
        manifest: The sessions that count.

    """
    noted = lake.notes.read("some_sessions", tuple[int, list[Session]])
    if noted and noted[0] == manifest.generation:
        return noted[1]
    found = [
        tuple(row)
        for name in sorted(manifest.platforms)[:_PLATFORMS_SHOWN]
        for row in connection.execute(_first_sessions(lake, _first_unit(_of_platform(manifest, name)))).fetchall()
    ]
    lake.notes.write("some_sessions", (manifest.generation, found))
    return found


def _first_sessions(lake: Lake, manifest: SessionsManifest) -> str:
    """The sessions with the smallest hashes in a segment: of the rest, no more than the hashes is read."""
    first = contributions_in(lake.sessions, manifest.segments[:1])
    hashes = f"SELECT key_hash FROM {first} ORDER BY key_hash LIMIT {_SESSIONS_SHOWN}"
    sessions = sessions_in(lake.sessions, manifest, f"{SESSIONS}, key_hash")
    return (
        f"SELECT {SESSIONS} FROM {sessions} SEMI JOIN ({hashes}) USING (key_hash) ORDER BY ALL LIMIT {_SESSIONS_SHOWN}"
    )


def _first_unit(manifest: SessionsManifest) -> SessionsManifest:
    """The files of one unit of a platform: all that is known of a session is in one, and one is bounded in size."""
    segments = [file for file in manifest.segments if file.drops]
    bucket = segments[0].bucket if segments else 0
    return msgspec.structs.replace(
        manifest,
        segments=[file for file in segments if file.bucket == bucket],
        shared=[file for file in manifest.shared if file.bucket == bucket],
    )


def _of_platform(manifest: SessionsManifest, platform: str) -> SessionsManifest:
    """The files of one platform alone."""
    return msgspec.structs.replace(
        manifest,
        segments=[file for file in manifest.segments if file.platform == platform],
        shared=[file for file in manifest.shared if file.platform == platform],
        counts=[file for file in manifest.counts if file.platform == platform],
        changed=[file for file in manifest.changed if file.platform == platform],
    )


def quarantine_relation(lake: Lake, manifest: SessionsManifest | None) -> str:
    """The quarantined records of the drops that count, as an SQL relation: ``drop, line, reason, raw``."""
    merged = manifest.drops if manifest else {}
    return _quarantine_of(lake, [made for drop, made in lake.converted.manifests().items() if drop in merged])


def _quarantine_of(lake: Lake, drops: Iterable[DropManifest]) -> str:
    # A file without records is left out: opening thousands of them would make each query slow.
    look = lake.files.looking(lake.quarantine)
    paths = [path for made in drops if made.quarantined and look(path := lake.converted.quarantine_of(made))]
    return parquet_files(paths) if paths else empty_relation(_QUARANTINED)


def read_quarantine(lake: Lake, settings: Settings, drop: DropManifest | None = None) -> Table:
    """The quarantined records of one drop or of all, by drop and line."""
    relation = _quarantine_of(lake, [drop] if drop else lake.converted.manifests().values())
    with lake.scratch() as spill, working_database(settings, spill, lake.root) as connection:
        found = connection.execute(f"SELECT drop, line, reason, raw FROM {relation} ORDER BY drop, line").fetchall()
    return Table(QUARANTINE_COLUMNS, found)
