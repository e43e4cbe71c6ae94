"""Sessions: one row a (platform, user_id, session_id), kept up to date at the cost of what changed.

What is stored, a platform at a time:

- *Segments* hold contributions: what one drop knows of one session (drop, key, first and last time, events). A run
  appends one segment for all drops that are new; small segments are merged now and then, as in a log-structured merge
  tree (O'Neil et al. 1996), so that their number stays bounded.
- *Shared* holds the sessions to which several drops contribute, merged; they take the place of their contributions.
- *Counts* hold sessions by user: a base, and the users that changed since it was written.

Taking out or replacing a drop needs no other drop: its contributions are in a segment, by name. Which known sessions a
change touches is found by the hash of the key alone; equal hashes are then told apart by the key itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import duckdb
import msgspec

from uda_assets.database import RECORD_COLUMNS, empty_relation, literal, parquet_relation, working_database
from uda_assets.errors import UdaError
from uda_assets.faults import passed
from uda_assets.lake import (
    DropManifest,
    Lake,
    PartFile,
    Segment,
    SessionsManifest,
    platform_dir,
)
from uda_assets.settings import Settings

SESSIONS = "platform, user_id, session_id, started_at, ended_at, events"
_KEY = "platform, key_hash, user_id, session_id"
_CONTRIBUTION_COLUMNS = (
    "drop VARCHAR, user_id VARCHAR, session_id VARCHAR, started_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, "
    "events BIGINT, key_hash UBIGINT, platform VARCHAR"
)
_SESSION_COLUMNS = (
    "user_id VARCHAR, session_id VARCHAR, started_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, events BIGINT, "
    "key_hash UBIGINT, platform VARCHAR"
)
_COUNT_COLUMNS = "user_id VARCHAR, session_count BIGINT, platform VARCHAR"

LAYOUT = f"1, duckdb {duckdb.__version__}"
"""How sessions are stored. DuckDB does not promise that its hash stays the same over versions."""

# Measured on 10 million records: a quarter faster, and smaller, than DuckDB's defaults with zstd.
_FILE_OPTIONS = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1"
_MANY_SEGMENTS = 12
_LARGE_DROP = 1_000_000
_MERGED = "min(started_at) AS started_at, max(ended_at) AS ended_at, sum(events)::BIGINT AS events"


class Merge(NamedTuple):
    """The sessions that now count, and what had to be done.

    Attributes:
        manifest: What counts.
        added, removed: Names of drops whose contribution was put in, or taken out; a replaced drop is in both.
        rebuilt: Whether everything was built anew.
        rows_read: Records of the added drops.
        rows_compared: Contributions to sessions that the change touches.
        rows_written: Rows of all files that were written.
    """

    manifest: SessionsManifest
    added: list[str]
    removed: list[str]
    rebuilt: bool
    rows_read: int = 0
    rows_compared: int = 0
    rows_written: int = 0


def merge_sessions(lake: Lake, settings: Settings) -> Merge:
    """Bring the sessions up to the committed drops; the caller holds the lake's lock.

    New files are written beside the old ones, then the manifest names them. What it names no longer stays until the
    generation after the published one is published, for readers that still follow the older manifest.
    """
    manifests = lake.manifests()
    drops = {name: manifest.fingerprint for name, manifest in manifests.items()}
    known = lake.sessions_manifest()
    usable = known if known and known.layout == LAYOUT and not lake.missing_sessions(known) else None
    before = usable or SessionsManifest(generation=known.generation if known else 0, layout=LAYOUT)
    removed = sorted(name for name, mark in before.drops.items() if drops.get(name) != mark)
    added = sorted(name for name, mark in drops.items() if before.drops.get(name) != mark)
    if usable and not added and not removed:
        # A run before this one may have died when it had committed and not yet removed what that made superfluous.
        lake.remove_sessions_but(usable)
        return Merge(usable, [], [], rebuilt=False)
    with lake.stage() as staged, working_database(settings, staged.scratch / "spill", lake.root) as connection:
        _require_whole(lake, [manifests[name] for name in added])
        change = _Change(lake, connection, before, {name: manifests[name] for name in added}, removed)
        parts = [change.platform(platform) for platform in change.platforms()]
    merged = _manifest(before, parts, drops, sum(manifest.kept for manifest in manifests.values()))
    merged = msgspec.structs.replace(merged, superseded=_superseded(lake, known))
    passed("sessions: files written")
    lake.write_sessions_manifest(merged)
    passed("sessions: committed")
    lake.remove_sessions_but(merged)
    return Merge(
        merged, added, removed, rebuilt=usable is None, rows_read=sum(manifests[name].kept for name in added),
        rows_compared=change.rows_compared, rows_written=change.rows_written,
    )  # fmt: skip


def _require_whole(lake: Lake, manifests: Iterable[DropManifest]) -> None:
    if incomplete := sorted(lake.incomplete(manifests)):
        raise UdaError(
            f"converted files of drop {incomplete[0]!r} are missing; deliver it again, or `uda forget` it to go on "
            "without it"
        )


def sessions_relation(lake: Lake, manifest: SessionsManifest | None, columns: str = SESSIONS) -> str:
    """The sessions that a manifest names, as an SQL relation in ``SESSION_SCHEMA``, or of other columns."""
    manifest = manifest or SessionsManifest()
    contributions = _contributions(lake, manifest.segments)
    if not manifest.shared:
        return f"(SELECT {columns} FROM {contributions})"
    shared = parquet_relation(lake.sessions, manifest.shared, _SESSION_COLUMNS)
    return (
        f"(SELECT {columns} FROM {contributions} ANTI JOIN {shared} USING ({_KEY}) "
        f"UNION ALL SELECT {columns} FROM {shared})"
    )


def contributions_relation(lake: Lake, segments: Sequence[Segment]) -> str:
    """What each drop knows of each session, as an SQL relation: a session of several drops has several rows."""
    return _contributions(lake, segments)


def counts_relation(lake: Lake, manifest: SessionsManifest | None) -> str:
    """Sessions by platform and user, all time, as an SQL relation: ``platform, user_id, session_count``."""
    manifest = manifest or SessionsManifest()
    columns = "platform, user_id, session_count"
    base = parquet_relation(lake.sessions, manifest.counts, _COUNT_COLUMNS)
    if not manifest.changed:
        return f"(SELECT {columns} FROM {base})"
    changed = parquet_relation(lake.sessions, manifest.changed, _COUNT_COLUMNS)
    return (
        f"(SELECT {columns} FROM {base} ANTI JOIN {changed} USING (platform, user_id) "
        f"UNION ALL SELECT {columns} FROM {changed} WHERE session_count > 0)"
    )


def _contributions(lake: Lake, segments: Iterable[Segment]) -> str:
    """The contributions that count: segments without those of drops that were taken out."""
    whole = [segment for segment in segments if not segment.removed]
    relations = [parquet_relation(lake.sessions, whole, _CONTRIBUTION_COLUMNS)] if whole else []
    for segment in segments:
        if segment.removed:
            gone = ", ".join(map(literal, segment.removed))
            relation = parquet_relation(lake.sessions, [segment], _CONTRIBUTION_COLUMNS)
            relations.append(f"(SELECT * FROM {relation} WHERE drop NOT IN ({gone}))")
    if len(relations) == 1:
        return relations[0]
    return "(" + " UNION ALL BY NAME ".join(f"SELECT * FROM {one}" for one in relations) + ")" if relations else (
        empty_relation(_CONTRIBUTION_COLUMNS)
    )  # fmt: skip


class _Platform(NamedTuple):
    """What counts for one platform."""

    segments: list[Segment]
    shared: list[PartFile]
    counts: list[PartFile]
    changed: list[PartFile]
    sessions: int


class _Change:
    """One change of the sessions: drops to put in, drops to take out."""

    def __init__(
        self,
        lake: Lake,
        connection: duckdb.DuckDBPyConnection,
        before: SessionsManifest,
        added: dict[str, DropManifest],
        removed: Sequence[str],
    ) -> None:
        self._lake = lake
        self._connection = connection
        self._before = before
        self._added = added
        self._removed = set(removed)
        self._stem = f"{before.generation + 1:08d}-{uuid.uuid4().hex[:8]}"
        self._written = 0
        self.rows_written = self.rows_compared = 0

    def platforms(self) -> list[str]:
        """All platforms, before or after."""
        names = {file.platform for manifest in self._added.values() for file in manifest.files}
        return sorted(names | {segment.platform for segment in self._before.segments})

    def platform(self, platform: str) -> _Platform:
        """What counts for a platform after the change; only what the change touches is written anew."""
        old = _of_platform(self._before, platform)
        new = self._write_contributions(platform)
        kept = [self._without_removed(segment) for segment in old.segments]
        if not new and kept == old.segments:
            return old
        if not old.segments:
            return self._first(platform, new)
        self._find_touched(old, new)
        shared, sessions = self._share_anew(platform, old), old.sessions + self._count_touched()
        counts, changed = self._count_anew(platform, old)
        segments = self._compact(platform, [segment for segment in kept if segment.drops] + new)
        self._execute("DROP TABLE earlier; DROP TABLE later; DROP TABLE delta")
        return _Platform(segments, shared, counts, changed, sessions)

    # -- contributions ---------------------------------------------------------------------------------------------

    def _write_contributions(self, platform: str) -> list[Segment]:
        """A segment for all new drops, and one for each that is large."""
        names = [name for name in self._added if self._parts(name, platform)]
        large = [name for name in names if self._added[name].kept > _LARGE_DROP]
        small = [name for name in names if name not in large]
        groups = [[name] for name in large] + ([small] if small else [])
        return [self._write_group(platform, group) for group in groups]

    def _parts(self, drop: str, platform: str) -> list[PartFile]:
        """A new drop's files of one platform, by their paths below ``dataset_parquets``."""
        directory = self._lake.name_of(drop)
        files = [file for file in self._added[drop].files if file.platform == platform]
        return [msgspec.structs.replace(file, path=f"{directory}/{file.path}") for file in files]

    def _write_group(self, platform: str, drops: list[str]) -> Segment:
        parts = {drop: self._parts(drop, platform) for drop in drops}
        files = [part for drop in drops for part in parts[drop]]
        grouped = "min(activity_time) AS started_at, max(activity_time) AS ended_at, count(*) AS events"
        if len(drops) == 1:
            source = parquet_relation(self._lake.parquets, files, RECORD_COLUMNS)
            contributions = f"""
                SELECT {literal(drops[0])} AS drop, user_id, session_id, {grouped} FROM {source}
                GROUP BY user_id, session_id"""
        else:
            source = parquet_relation(self._lake.parquets, files, RECORD_COLUMNS, filename=True)
            names = [(f"{self._lake.parquets}/{part.path}", drop) for drop in drops for part in parts[drop]]
            rows = ", ".join(f"({literal(path)}, {literal(drop)})" for path, drop in names)
            # The few names are put in place of the files' when the records are grouped.
            contributions = f"""
                SELECT drop, user_id, session_id, started_at, ended_at, events FROM (
                    SELECT filename, user_id, session_id, {grouped} FROM {source}
                    GROUP BY filename, user_id, session_id)
                JOIN (VALUES {rows}) AS names (filename, drop) USING (filename)"""
        query = f"SELECT *, hash(user_id, session_id) AS key_hash FROM ({contributions})"
        file = self._write(platform, "", query)
        return Segment(path=file.path, platform=platform, rows=file.rows, drops=drops)

    def _without_removed(self, segment: Segment) -> Segment:
        gone = self._removed.intersection(segment.drops)
        if not gone:
            return segment
        return msgspec.structs.replace(
            segment,
            drops=[drop for drop in segment.drops if drop not in gone],
            removed=sorted({*segment.removed, *gone}),
        )

    # -- the first build: nothing to compare with ------------------------------------------------------------------

    def _first(self, platform: str, new: list[Segment]) -> _Platform:
        shared: list[PartFile] = []
        if sum(len(segment.drops) for segment in new) > 1:
            rows = _contributions(self._lake, new)
            # Comparing hashes first: most sessions are in one drop only.
            query = f"""
                SELECT user_id, session_id, {_MERGED}, key_hash FROM {rows}
                SEMI JOIN (SELECT key_hash FROM {rows} GROUP BY key_hash HAVING count(*) > 1) USING (key_hash)
                GROUP BY key_hash, user_id, session_id HAVING count(*) > 1"""
            shared = self._write_any(platform, "shared", query)
        state = SessionsManifest(segments=new, shared=shared)
        query = f"""
            SELECT user_id, count(*) AS session_count FROM {sessions_relation(self._lake, state)} GROUP BY user_id
            ORDER BY session_count DESC, user_id"""
        counts = self._write_any(platform, "counts", query)
        return _Platform(self._compact(platform, new), shared, counts, [], self._sum(counts))

    def _sum(self, counts: list[PartFile]) -> int:
        relation = parquet_relation(self._lake.sessions, counts, _COUNT_COLUMNS)
        return self._number(f"SELECT coalesce(sum(session_count), 0) FROM {relation}")

    # -- a change: only the sessions that it touches --------------------------------------------------------------

    def _find_touched(self, old: _Platform, new: list[Segment]) -> None:
        """Tables ``earlier`` and ``later``: the contributions to the touched sessions, before and after the change."""
        fresh = _contributions(self._lake, new)
        concerned = [segment for segment in old.segments if self._removed.intersection(segment.drops)]
        gone = ", ".join(map(literal, sorted(self._removed))) or "NULL"
        self._execute(f"""
            CREATE OR REPLACE TEMP TABLE touched AS
            SELECT key_hash FROM {fresh}
            UNION SELECT key_hash FROM {_contributions(self._lake, concerned)} WHERE drop IN ({gone})""")
        rows = _contributions(self._lake, old.segments)
        # The hash alone is read first: where no session is known, the far larger columns of text are not read at all.
        self._execute(f"""
            CREATE OR REPLACE TEMP TABLE touched AS
            SELECT DISTINCT key_hash FROM (SELECT key_hash FROM {rows}) SEMI JOIN touched USING (key_hash)""")
        known = self._number("SELECT count(*) FROM touched")
        found = f"FROM {rows} SEMI JOIN touched USING (key_hash)" if known else f"FROM {rows} LIMIT 0"
        columns = "drop, user_id, session_id, started_at, ended_at, events, key_hash"
        self._execute(f"CREATE TEMP TABLE earlier AS SELECT {columns} {found}")
        self.rows_compared += self._number("SELECT count(*) FROM earlier")
        self._execute(f"""
            CREATE TEMP TABLE later AS
            SELECT {columns} FROM earlier WHERE drop NOT IN ({gone if self._removed else "''"})
            UNION ALL SELECT {columns} FROM {fresh}""")
        self._execute("""
            CREATE TEMP TABLE delta AS
            SELECT user_id, sum(step)::BIGINT AS step FROM (
                SELECT user_id, 1 AS step FROM (SELECT DISTINCT user_id, session_id FROM later)
                UNION ALL
                SELECT user_id, -1 FROM (SELECT DISTINCT user_id, session_id FROM earlier))
            GROUP BY user_id HAVING sum(step) <> 0""")

    def _share_anew(self, platform: str, old: _Platform) -> list[PartFile]:
        before = parquet_relation(self._lake.sessions, old.shared, _SESSION_COLUMNS)
        merged = f"""
            SELECT user_id, session_id, {_MERGED}, key_hash FROM later
            GROUP BY key_hash, user_id, session_id HAVING count(*) > 1"""
        touched = self._number(f"SELECT count(*) FROM {before} SEMI JOIN touched USING (key_hash)") if old.shared else 0
        if not touched and not self._number(f"SELECT count(*) FROM ({merged})"):
            return old.shared
        columns = "user_id, session_id, started_at, ended_at, events, key_hash"
        query = f"SELECT {columns} FROM {before} ANTI JOIN touched USING (key_hash) UNION ALL {merged}"
        return self._write_any(platform, "shared", query)

    def _count_touched(self) -> int:
        return self._number("SELECT coalesce(sum(step), 0) FROM delta")

    def _count_anew(self, platform: str, old: _Platform) -> tuple[list[PartFile], list[PartFile]]:
        """The counts' base and changed users; a base of which much has changed is written anew."""
        users = self._number("SELECT count(*) FROM delta")
        if not users:
            return old.counts, old.changed
        state = SessionsManifest(counts=old.counts, changed=old.changed)
        counts = counts_relation(self._lake, state)
        known, moved = sum(file.rows for file in old.counts), users + sum(file.rows for file in old.changed)
        if moved * 4 > known:
            query = f"""
                SELECT user_id, sum(session_count)::BIGINT AS session_count FROM (
                    SELECT user_id, session_count FROM {counts} UNION ALL SELECT user_id, step FROM delta)
                GROUP BY user_id HAVING sum(session_count) > 0 ORDER BY session_count DESC, user_id"""
            return self._write_any(platform, "counts", query), []
        changed = parquet_relation(self._lake.sessions, old.changed, _COUNT_COLUMNS)
        query = f"""
            SELECT user_id, session_count FROM {changed} ANTI JOIN delta USING (user_id)
            UNION ALL
            SELECT delta.user_id, step + coalesce(session_count, 0)
            FROM delta LEFT JOIN (SELECT user_id, session_count FROM {counts} SEMI JOIN delta USING (user_id))
            USING (user_id)"""
        return old.counts, self._write_any(platform, "changed", query)

    # -- compaction ------------------------------------------------------------------------------------------------

    def _compact(self, platform: str, segments: list[Segment]) -> list[Segment]:
        """Merge the smaller half of too many segments, and write anew those of which most was taken out."""
        by_size = sorted(segments, key=lambda segment: segment.rows)
        small = by_size[: _MANY_SEGMENTS // 2] if len(segments) > _MANY_SEGMENTS else []
        while len(segments) - len(small) >= _MANY_SEGMENTS:
            small = by_size[: len(small) + 1]
        hollow = [segment for segment in segments if len(segment.removed) > len(segment.drops)]
        worn = [segment for segment in segments if segment in small or segment in hollow]
        if not worn:
            return segments
        query = f"SELECT * EXCLUDE (platform) FROM {_contributions(self._lake, worn)}"
        file = self._write(platform, "", query)
        drops = sorted(drop for segment in worn for drop in segment.drops)
        kept = [segment for segment in segments if segment not in worn]
        return [*kept, Segment(path=file.path, platform=platform, rows=file.rows, drops=drops)]

    # -- files -----------------------------------------------------------------------------------------------------

    def _write(self, platform: str, kind: str, query: str) -> PartFile:
        self._written += 1
        name = f"{platform_dir(platform)}/{self._stem}-{self._written}.parquet"
        path = f"{kind}/{name}" if kind else name
        with self._lake.replacing(self._lake.sessions / path) as target:
            row = self._execute(f"COPY ({query}) TO {literal(target)} ({_FILE_OPTIONS})").fetchone()
        passed("sessions: file written")
        rows = int(row[0]) if row else 0
        self.rows_written += rows
        return PartFile(path, platform, rows)

    def _write_any(self, platform: str, kind: str, query: str) -> list[PartFile]:
        file = self._write(platform, kind, query)
        return [file] if file.rows else []

    def _execute(self, query: str) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(query)

    def _number(self, query: str) -> int:
        row = self._execute(query).fetchone()
        return int(row[0]) if row else 0


def _of_platform(manifest: SessionsManifest, platform: str) -> _Platform:
    return _Platform(
        [segment for segment in manifest.segments if segment.platform == platform],
        [file for file in manifest.shared if file.platform == platform],
        [file for file in manifest.counts if file.platform == platform],
        [file for file in manifest.changed if file.platform == platform],
        manifest.platforms.get(platform, 0),
    )


def _manifest(
    before: SessionsManifest, parts: list[_Platform], drops: dict[str, str], records: int
) -> SessionsManifest:
    segments = [segment for part in parts for segment in part.segments]
    known = {segment.path for segment in before.segments}
    sessions = {part.segments[0].platform: part.sessions for part in parts if part.segments}
    return SessionsManifest(
        layout=LAYOUT,
        generation=before.generation + 1,
        drops=drops,
        segments=segments,
        shared=[file for part in parts if part.segments for file in part.shared],
        counts=[file for part in parts if part.segments for file in part.counts],
        changed=[file for part in parts if part.segments for file in part.changed],
        platforms=sessions,
        records=records,
        sessions=sum(sessions.values()),
        fresh=[segment.path for segment in segments if segment.path not in known],
    )


def _superseded(lake: Lake, known: SessionsManifest | None) -> list[str]:
    """Files that a reader may still need: those of the generation before, and of all back to the published one."""
    if known is None:
        return []
    published = lake.published_generation()
    return sorted({*known.paths(), *(known.superseded if published != known.generation else [])})
