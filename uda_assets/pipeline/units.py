"""The sessions of one unit: one platform, and one bucket of its users.

A bucket holds the users whose hash falls into it. So a session, and the number of a user's sessions, are in one unit,
and no unit needs to know of another. A unit consists of files of these kinds:

- *Segments* hold contributions: what one drop knows of one session (drop, key, first and last time, events). A run
  appends one segment for all new drops. Small segments are merged now and then, as in a log-structured merge tree
  (O'Neil et al. 1996), so that their number stays bounded.
- *Shared* holds the sessions to which several drops contribute, merged. They take the place of their contributions.
- *Counts* hold sessions by user, and *changed* the users whose counts have changed since these were written.
- *Touched* say on which days which users' sessions have changed, until the leaderboards of these days are published.

Taking out or replacing a drop needs no other drop, because its contributions are in a segment under its name. The hash
of the key finds the known sessions that a change touches; equal hashes are then told apart by the key itself.

The functions here are tasks. The engine may run them anywhere. They write files under names of their own and return
these names. Only the manifest makes the files count, so that a task may run twice or die midway.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

import duckdb
import msgspec

from uda_assets.basics.errors import UdaError
from uda_assets.basics.limits import Workplace
from uda_assets.basics.moments import reached
from uda_assets.lake import PartFile, Segment, SessionsManifest, platform_dir
from uda_assets.storage import Location, hash_file, is_remote, make_dir, naming_file, size_of, storage_of
from uda_assets.warehouse.database import literal, parquet_files, parquet_relation, working_database
from uda_assets.warehouse.exclusion import EVERYONE
from uda_assets.warehouse.ranking import (
    DAY_OF_START,
    Window,
    among_days,
    count_sessions,
    rank_alone,
    rank_days_alone,
    rank_touched_days,
)
from uda_assets.warehouse.relations import (
    COUNT_COLUMNS,
    LAYOUT,
    SESSION_COLUMNS,
    contributions_in,
    counts_in,
    sessions_in,
)

# Measured on 10 million records: a quarter faster, and smaller, than DuckDB's defaults with zstd.
_FILE_OPTIONS = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1"
_EXCHANGE_OPTIONS = "FORMAT parquet, COMPRESSION lz4_raw"
_MANY_SEGMENTS = 12
_TOUCHED_COLUMNS = "day DATE, user_id VARCHAR, platform VARCHAR"
_CONTRIBUTION = "drop, user_id, session_id, started_at, ended_at, events, key_hash"
_BOTH = "FROM earlier UNION ALL FROM later"
_MERGED = "min(started_at) AS started_at, max(ended_at) AS ended_at, sum(events)::BIGINT AS events"


class PartSource(NamedTuple):
    """A part file of a drop."""

    path: Location
    drop: str


class Group(NamedTuple):
    """New drops whose contributions to a unit become one segment.

    Attributes:
        drops: The names of the drops.
        sources: Their part files of the unit's platform, if there is only one bucket.
        split: The files that :func:`split` wrote for this unit, if there are several buckets.
        divided: Whether a session of one drop may be in several of these files.
    """

    drops: list[str]
    sources: list[PartSource] = []  # noqa: RUF012  # read only
    split: list[Location] = []  # noqa: RUF012
    divided: bool = False


class Unit(NamedTuple):
    """The files that count for one platform and bucket. The kinds are those of :class:`SessionsManifest`."""

    platform: str
    bucket: int
    segments: list[Segment]
    shared: list[PartFile]
    counts: list[PartFile]
    changed: list[PartFile]

    @property
    def manifest(self) -> SessionsManifest:
        """A manifest of these files alone."""
        return SessionsManifest(segments=self.segments, shared=self.shared, counts=self.counts, changed=self.changed)


class UnitJob(NamedTuple):
    """A change of a unit: the drops to put in, and those to take out.

    Attributes:
        base: Directory of the sessions.
        before: The files that count so far.
        new: The contributions to put in.
        removed: Drops whose contributions no longer count.
        generation: The generation of the sessions after the change.
        layout: The layout of sessions that the calling process uses.
    """

    base: Location
    before: Unit
    new: list[Group]
    removed: frozenset[str]
    generation: int
    layout: str = LAYOUT


class UnitChange(NamedTuple):
    """A unit after a change.

    Attributes:
        after: The files that count now.
        sessions: The number of sessions that the change added, which may be negative.
        days: The days (UTC) on which sessions started that the change touched.
        touched: The files that say whose sessions these were; none of a unit that is built anew.
        rows_compared: Contributions to the sessions that the change touched.
        rows_written: Rows of all files that were written.
    """

    after: Unit
    sessions: int
    rows_compared: int
    rows_written: int
    days: list[date] = []  # noqa: RUF012
    touched: list[PartFile] = []  # noqa: RUF012


class SplitJob(NamedTuple):
    """Part files of one platform whose contributions are divided by bucket into files below ``target``."""

    sources: list[PartSource]
    buckets: int
    target: Location
    layout: str = LAYOUT


class RankJob(NamedTuple):
    """A request for the first ``n`` users of a unit, of those who are ranked, by sessions within a window."""

    base: Location
    unit: Unit
    window: Window
    n: int
    ranked: str = EVERYONE
    layout: str = LAYOUT


class DaysJob(NamedTuple):
    """A request for the first ``n`` users of a unit, of those who are ranked, on each of some days."""

    base: Location
    unit: Unit
    days: list[date]
    n: int
    ranked: str = EVERYONE
    layout: str = LAYOUT


class TouchedDaysJob(NamedTuple):
    """A request for the users of a unit whose sessions on some days have changed, with their counts as they are now.

    Attributes:
        touched: The files that say whose sessions have changed.
        days: The days.
        n: The number of users wanted of each day.
        ranked: The SQL condition of users who may be listed.
        listed: Days and users whose counts are wanted however few they are.
    """

    base: Location
    unit: Unit
    touched: list[PartFile]
    days: list[date]
    n: int
    ranked: str
    listed: list[tuple[date, str]]
    layout: str = LAYOUT


def change_unit(job: UnitJob, place: Workplace) -> UnitChange:
    """Carry out a change of a unit. Only what it touches is written anew.

    Raises:
        UdaError: This machine uses another layout of sessions.
    """
    _require_layout(job.layout)
    with working_database(place, place.spill, job.base) as connection:
        return _UnitUpdate(job, place, connection).change()


def split(job: SplitJob, place: Workplace) -> dict[int, list[Location]]:
    """Write the contributions in part files by bucket, and return the files of each bucket that has any.

    Raises:
        UdaError: This machine uses another layout of sessions, and so may put users into other buckets.
    """
    _require_layout(job.layout)
    name = uuid.uuid4().hex
    target, written = job.target / name, place.spill / name
    if not is_remote(target):
        written = target
        # Its parent is not made: if that is gone, so is the process that would have used the files.
        target.mkdir()
    else:
        make_dir(written)
    with working_database(place, place.spill / "database", job.target) as connection:
        bucket = f"(hash(hash(user_id)) % {job.buckets})::INTEGER AS bucket"
        query = f"SELECT *, {bucket} FROM ({_grouped(connection, job.sources)})"
        options = f"{_EXCHANGE_OPTIONS}, PARTITION_BY (bucket)"
        with naming_file(written):
            connection.execute(f"COPY ({query}) TO {literal(written)} ({options})")
    place.bytes_read += _size(source.path for source in job.sources)
    found: dict[int, list[Location]] = {}
    for path in sorted(written.glob("bucket=*/*.parquet")):
        place.bytes_written += path.stat().st_size
        location = target / path.relative_to(written).as_posix()
        if location != path:
            with storage_of(location).replacing(location) as copy:
                # A rename would fail if the worker spills to another file system.
                shutil.move(path, copy)
        found.setdefault(int(path.parent.name.partition("=")[2]), []).append(location)
    return found


def rank_unit(job: RankJob, place: Workplace) -> list[tuple[str, int]]:
    """Return the first users of a unit as rows of ``user_id, session_count``.

    Raises:
        UdaError: This machine uses another layout of sessions.
    """
    _require_layout(job.layout)
    with working_database(place, place.spill, job.base) as connection:
        manifest = job.unit.manifest
        if job.window.bounded:
            counts = f"({count_sessions(sessions_in(job.base, manifest), job.window)})"
            place.bytes_read += _size(job.base / path for path in _paths(manifest.segments, manifest.shared))
        else:
            counts = counts_in(job.base, manifest)
            place.bytes_read += _size(job.base / path for path in _paths(manifest.counts, manifest.changed))
        rows: list[tuple[str, int]] = connection.execute(rank_alone(counts, job.n, job.ranked)).fetchall()
        return rows


def rank_unit_days(job: DaysJob, place: Workplace) -> list[tuple[date, str, int]]:
    """Return the first users of a unit on each of some days, as rows of ``day, user_id, session_count``.

    Raises:
        UdaError: This machine uses another layout of sessions.
    """
    _require_layout(job.layout)
    with working_database(place, place.spill, job.base) as connection:
        place.bytes_read += _size(job.base / path for path in _paths(job.unit.segments, job.unit.shared))
        query = rank_days_alone(sessions_in(job.base, job.unit.manifest), job.n, job.days, job.ranked)
        rows: list[tuple[date, str, int]] = connection.execute(query).fetchall()
        return rows


def rank_unit_touched_days(job: TouchedDaysJob, place: Workplace) -> list[tuple[date, str, int]]:
    """Return touched users as rows of ``day, user_id, session_count``: the first ones of each day, and the listed ones.

    A listed user who has no sessions on a day any more has the count 0.

    Raises:
        UdaError: This machine uses another layout of sessions.
    """
    _require_layout(job.layout)
    with working_database(place, place.spill, job.base) as connection:
        place.bytes_read += _size(job.base / path for path in _paths(job.touched, job.unit.segments, job.unit.shared))
        touched = parquet_relation(job.base, job.touched, _TOUCHED_COLUMNS)
        connection.execute(
            f"CREATE TEMP TABLE touched AS SELECT DISTINCT day, user_id FROM {touched} "
            f"WHERE {among_days('day', job.days)} AND {job.ranked}"
        )
        connection.execute("CREATE TEMP TABLE listed (day DATE, user_id VARCHAR)")
        connection.execute(
            "INSERT INTO listed SELECT unnest($days), unnest($users)",
            {"days": [day for day, _ in job.listed], "users": [user for _, user in job.listed]},
        )
        query = rank_touched_days(sessions_in(job.base, job.unit.manifest), job.n, job.days)
        rows: list[tuple[date, str, int]] = connection.execute(query).fetchall()
        return rows


def _require_layout(layout: str) -> None:
    if layout != LAYOUT:
        raise UdaError(
            f"a worker stores sessions as {LAYOUT!r}, this process as {layout!r}; install the same versions everywhere"
        )


def _paths(*kinds: Iterable[Segment | PartFile]) -> list[str]:
    return [file.path for kind in kinds for file in kind]


def _size(paths: Iterable[Location]) -> int:
    return sum(size_of(path) for path in paths)


def _grouped(connection: duckdb.DuckDBPyConnection, sources: Sequence[PartSource]) -> str:
    """Return a query for what each drop in part files knows of each session."""
    drops = {source.drop for source in sources}
    if len(drops) == 1:
        files = parquet_files(source.path for source in sources)
        name, records, key = literal(drops.pop()), files, "user_id, session_id"
    else:
        # All rows of a vector have the same file name, so that looking up the drop costs next to nothing.
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE names AS SELECT unnest($files) AS filename, unnest($drops) AS drop",
            {"files": [str(source.path) for source in sources], "drops": [source.drop for source in sources]},
        )
        files = parquet_files((source.path for source in sources), filename=True)
        name, records, key = "drop", f"{files} JOIN names USING (filename)", "drop, user_id, session_id"
    return f"""
        SELECT {name} AS drop, user_id, session_id, min(activity_time) AS started_at,
               max(activity_time) AS ended_at, count(*) AS events, hash(user_id, session_id) AS key_hash
        FROM {records} GROUP BY {key}"""


class _UnitUpdate:
    """One change of one unit, carried out."""

    def __init__(self, job: UnitJob, place: Workplace, connection: duckdb.DuckDBPyConnection) -> None:
        self._base, self._old, self._new, self._removed = job.base, job.before, job.new, job.removed
        self._place = place
        self._connection = connection
        self._stem = f"{job.generation:08d}-{uuid.uuid4().hex[:8]}"
        self._made: list[str] = []
        self._rows_written = self._rows_compared = 0

    def change(self) -> UnitChange:
        """Write the files that change, and return those that count afterwards."""
        old = self._old
        new = [segment for group in self._new for segment in self._write_contributions(group)]
        kept = [without(segment, self._removed) for segment in old.segments]
        if not old.segments:
            after = self._first(new)
            return self._changed(after, self._sum(after.counts), self._days(contributions_in(self._base, new)))
        self._find_touched(new)
        shared = self._share_anew()
        step = self._number("SELECT coalesce(sum(step), 0) FROM delta")
        counts, changed = self._count_anew()
        segments = self._compact([segment for segment in kept if segment.drops] + new)
        after = old._replace(segments=segments, shared=shared, counts=counts, changed=changed)
        touched = self._write_any("touched", f"SELECT DISTINCT {DAY_OF_START} AS day, user_id FROM ({_BOTH})")
        return self._changed(after, step, self._days(f"({_BOTH})"), touched)

    def _changed(self, after: Unit, sessions: int, days: list[date], touched: Sequence[PartFile] = ()) -> UnitChange:
        counting = set(_paths(after.segments, after.shared, after.counts, after.changed, touched))
        # New segments that were merged at once, and files without rows: no manifest will name them.
        unneeded = [self._base / path for path in self._made if path not in counting]
        storage_of(self._base).remove(unneeded)
        return UnitChange(after, sessions, self._rows_compared, self._rows_written, days, list(touched))

    def _days(self, contributions: str) -> list[date]:
        """Return the days on which contributions start: those of their sessions, and perhaps a few more."""
        query = f"SELECT DISTINCT {DAY_OF_START} AS day FROM {contributions} ORDER BY day"
        return [day for (day,) in self._execute(query).fetchall()]

    # -- contributions ---------------------------------------------------------------------------------------------

    def _write_contributions(self, group: Group) -> list[Segment]:
        if group.split:
            self._place.bytes_read += _size(group.split)
            files = parquet_files(group.split)
            query = f"SELECT {_CONTRIBUTION} FROM {files}" if not group.divided else (
                f"SELECT drop, user_id, session_id, {_MERGED}, key_hash FROM {files} "
                "GROUP BY key_hash, drop, user_id, session_id"
            )  # fmt: skip
        else:
            self._place.bytes_read += _size(source.path for source in group.sources)
            query = _grouped(self._connection, group.sources)
        file = self._write("", query)
        return [segment_of(file, group.drops)] if file.rows else []

    # -- the first build: nothing to compare with ------------------------------------------------------------------

    def _first(self, new: list[Segment]) -> Unit:
        shared: list[PartFile] = []
        if sum(len(segment.drops) for segment in new) > 1:
            rows = contributions_in(self._base, new)
            # Hashes are compared first, since most sessions are in one drop only.
            query = f"""
                SELECT user_id, session_id, {_MERGED}, key_hash FROM {rows}
                SEMI JOIN (SELECT key_hash FROM {rows} GROUP BY key_hash HAVING count(*) > 1) USING (key_hash)
                GROUP BY key_hash, user_id, session_id HAVING count(*) > 1"""
            shared = self._write_any("shared", query)
        state = SessionsManifest(segments=new, shared=shared)
        query = f"""
            SELECT user_id, count(*) AS session_count FROM {sessions_in(self._base, state)} GROUP BY user_id
            ORDER BY session_count DESC, user_id"""
        counts = self._write_any("counts", query)
        return self._old._replace(segments=self._compact(new), shared=shared, counts=counts, changed=[])

    def _sum(self, counts: list[PartFile]) -> int:
        relation = parquet_relation(self._base, counts, COUNT_COLUMNS)
        return self._number(f"SELECT coalesce(sum(session_count), 0) FROM {relation}")

    # -- a change: only the sessions that it touches --------------------------------------------------------------

    def _find_touched(self, new: list[Segment]) -> None:
        """Make tables of the contributions to the touched sessions before (``earlier``) and after (``later``)."""
        fresh = contributions_in(self._base, new)
        concerned = [segment for segment in self._old.segments if self._removed.intersection(segment.drops)]
        gone = ", ".join(map(literal, sorted(self._removed))) or "NULL"
        self._execute(f"""
            CREATE OR REPLACE TEMP TABLE touched AS
            SELECT key_hash FROM {fresh}
            UNION SELECT key_hash FROM {contributions_in(self._base, concerned)} WHERE drop IN ({gone})""")
        rows = contributions_in(self._base, self._old.segments)
        self._place.bytes_read += _size(self._base / segment.path for segment in self._old.segments)
        # Only the hashes are read first. If no touched session is known, the large columns of text are not read at all.
        self._execute(f"""
            CREATE OR REPLACE TEMP TABLE touched AS
            SELECT DISTINCT key_hash FROM (SELECT key_hash FROM {rows}) SEMI JOIN touched USING (key_hash)""")
        known = self._number("SELECT count(*) FROM touched")
        found = f"FROM {rows} SEMI JOIN touched USING (key_hash)" if known else f"FROM {rows} LIMIT 0"
        self._execute(f"CREATE TEMP TABLE earlier AS SELECT {_CONTRIBUTION} {found}")
        self._rows_compared = self._number("SELECT count(*) FROM earlier")
        self._execute(f"""
            CREATE TEMP TABLE later AS
            SELECT {_CONTRIBUTION} FROM earlier WHERE drop NOT IN ({gone if self._removed else "''"})
            UNION ALL SELECT {_CONTRIBUTION} FROM {fresh}""")
        self._execute("""
            CREATE TEMP TABLE delta AS
            SELECT user_id, sum(step)::BIGINT AS step FROM (
                SELECT user_id, 1 AS step FROM (SELECT DISTINCT user_id, session_id FROM later)
                UNION ALL
                SELECT user_id, -1 FROM (SELECT DISTINCT user_id, session_id FROM earlier))
            GROUP BY user_id HAVING sum(step) <> 0""")

    def _share_anew(self) -> list[PartFile]:
        old = self._old.shared
        before = parquet_relation(self._base, old, SESSION_COLUMNS)
        merged = f"""
            SELECT user_id, session_id, {_MERGED}, key_hash FROM later
            GROUP BY key_hash, user_id, session_id HAVING count(*) > 1"""
        touched = self._number(f"SELECT count(*) FROM {before} SEMI JOIN touched USING (key_hash)") if old else 0
        if not touched and not self._number(f"SELECT count(*) FROM ({merged})"):
            return old
        columns = "user_id, session_id, started_at, ended_at, events, key_hash"
        query = f"SELECT {columns} FROM {before} ANTI JOIN touched USING (key_hash) UNION ALL {merged}"
        return self._write_any("shared", query)

    def _count_anew(self) -> tuple[list[PartFile], list[PartFile]]:
        """Write the counts of the users that changed, or all counts if many have changed since they were written."""
        old = self._old
        users = self._number("SELECT count(*) FROM delta")
        if not users:
            return old.counts, old.changed
        counts = counts_in(self._base, SessionsManifest(counts=old.counts, changed=old.changed))
        known, moved = sum(file.rows for file in old.counts), users + sum(file.rows for file in old.changed)
        if moved * 4 > known:
            query = f"""
                SELECT user_id, sum(session_count)::BIGINT AS session_count FROM (
                    SELECT user_id, session_count FROM {counts} UNION ALL SELECT user_id, step FROM delta)
                GROUP BY user_id HAVING sum(session_count) > 0 ORDER BY session_count DESC, user_id"""
            return self._write_any("counts", query), []
        changed = parquet_relation(self._base, old.changed, COUNT_COLUMNS)
        query = f"""
            SELECT user_id, session_count FROM {changed} ANTI JOIN delta USING (user_id)
            UNION ALL
            SELECT delta.user_id, step + coalesce(session_count, 0)
            FROM delta LEFT JOIN (SELECT user_id, session_count FROM {counts} SEMI JOIN delta USING (user_id))
            USING (user_id)"""
        return old.counts, self._write_any("changed", query)

    # -- compaction ------------------------------------------------------------------------------------------------

    def _compact(self, segments: list[Segment]) -> list[Segment]:
        """Merge the smaller half of too many segments, and rewrite those from which most drops were taken out."""
        by_size = sorted(segments, key=lambda segment: segment.rows)
        small = by_size[: _MANY_SEGMENTS // 2] if len(segments) > _MANY_SEGMENTS else []
        while len(segments) - len(small) >= _MANY_SEGMENTS:
            small = by_size[: len(small) + 1]
        hollow = [segment for segment in segments if len(segment.removed) > len(segment.drops)]
        worn = [segment for segment in segments if segment in small or segment in hollow]
        if not worn:
            return segments
        file = self._write("", f"SELECT * EXCLUDE (platform) FROM {contributions_in(self._base, worn)}")
        drops = sorted(drop for segment in worn for drop in segment.drops)
        kept = [segment for segment in segments if segment not in worn]
        return [*kept, segment_of(file, drops)] if file.rows else kept

    # -- files -----------------------------------------------------------------------------------------------------

    def _write(self, kind: str, query: str) -> PartFile:
        platform, bucket = self._old.platform, self._old.bucket
        name = f"{platform_dir(platform)}/{self._stem}-{bucket}-{len(self._made) + 1}.parquet"
        path = f"{kind}/{name}" if kind else name
        location = self._base / path
        self._made.append(path)
        with storage_of(location).replacing(location) as target, naming_file(location):
            row = self._execute(f"COPY ({query}) TO {literal(target)} ({_FILE_OPTIONS})").fetchone()
            self._place.bytes_written += target.stat().st_size
            checksum = hash_file(target)
        reached("sessions: file written")
        rows = int(row[0]) if row else 0
        self._rows_written += rows
        return PartFile(path, platform, rows, bucket, checksum)

    def _write_any(self, kind: str, query: str) -> list[PartFile]:
        file = self._write(kind, query)
        return [file] if file.rows else []

    def _execute(self, query: str) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(query)

    def _number(self, query: str) -> int:
        row = self._execute(query).fetchone()
        return int(row[0]) if row else 0


def segment_of(file: PartFile, drops: list[str]) -> Segment:
    """Return a file of contributions as a segment."""
    return Segment(**msgspec.structs.asdict(file), drops=drops)


def without(segment: Segment, removed: frozenset[str]) -> Segment:
    """Return a segment in which some drops no longer count."""
    gone = removed.intersection(segment.drops)
    if not gone:
        return segment
    return msgspec.structs.replace(
        segment,
        drops=[drop for drop in segment.drops if drop not in gone],
        removed=sorted({*segment.removed, *gone}),
    )
