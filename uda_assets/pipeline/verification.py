"""`uda verify`: read every committed file in full, and count again what they promise together.

A run reads only the files whose signatures changed. What changes without that, as on a disk that decays, is found here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import duckdb

from uda_assets.basics.findings import Finding
from uda_assets.basics.settings import Settings
from uda_assets.lake import DropFiles, DropManifest, Lake, PartFile, SessionsManifest, State
from uda_assets.lake.integrity import ALTERED, altered_files, read_drop
from uda_assets.pipeline.checks import records_accounted
from uda_assets.warehouse.database import (
    RECORD_COLUMNS,
    empty_relation,
    literal,
    parquet_files,
    parquet_relation,
    working_database,
)
from uda_assets.warehouse.exclusion import ranked
from uda_assets.warehouse.ranking import Window, count_sessions, leaderboard, rank_days
from uda_assets.warehouse.relations import counts_in, sessions_in

_BY_NEXT_RUN = "the next run"
_REMOVE_SESSIONS = "remove sessions/, and the next run builds it anew"


class Damage(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        what: A file by its path below the data root, or what does not add up.
        damage: What is wrong.
        mended_by: What makes it anew, or what a person has to do.
    """

    what: str
    damage: str
    mended_by: str


class Verified(NamedTuple):
    """The outcome of a verification.

    Attributes:
        files: Files that were read in full.
        records: Records that were counted again, or 0 if damaged files did not allow it.
        damage: What is wrong.
    """

    files: int
    records: int
    damage: list[Damage]


def verify(lake: Lake, settings: Settings) -> Verified:
    """Read everything that is committed. The next run looks again at what is damaged, whatever its signature.

    Readers and writers go on meanwhile. Only if something is wrong is the lock taken, to verify once more while nothing
    changes, and to note the damage.

    Raises:
        UdaError: Another writer holds the lock, or nothing can be noted.
        OtherFormat: Another version of this program wrote some of it.
    """
    verified = _Verification(lake, settings).run()
    if not verified.damage:
        return verified
    with lake.writing(settings.lock_timeout):
        second = _Verification(lake, settings)
        verified = second.run()
        if verified.damage:
            second.note_damage()
    return verified


class _Verification:
    def __init__(self, lake: Lake, settings: Settings) -> None:
        self._lake, self._settings = lake, settings
        self._state = lake.state()
        self._damage: list[Damage] = []
        self._drops: dict[str, DropFiles] = {}
        self._altered: set[str] = set()
        self._files = self._records = 0

    def run(self) -> Verified:
        """Verify everything."""
        lake, state = self._lake, self._state
        self._files += 1
        if lake.states.is_restored:
            self._report(lake.below(lake.states.path), ALTERED, _BY_NEXT_RUN)
        drops = self._verify_drops()
        files = state.sessions.files() if state.sessions else []
        self._compare({lake.session_path(file.path): file.checksum for file in files})
        # A published file that is still to be put in place may be an older one.
        self._compare({path: checksum for path, checksum in state.results.items() if path in state.seen})
        if state.sessions and not self._damage:
            self._count_again(drops, state, state.sessions)
        return Verified(self._files, self._records, self._damage)

    def note_damage(self) -> None:
        """Have the next run look at what is damaged, and the sensor start that run."""
        state = self._lake.state()
        seen = {path: signature for path, signature in state.seen.items() if path not in self._altered}
        self._lake.commit(state.changed(files=state.files | self._drops, seen=seen))

    # -- files -----------------------------------------------------------------------------------------------------

    def _verify_drops(self) -> dict[str, DropFiles]:
        lake, manifests = self._lake, self._state.drops
        drops = dict(lake.access.side_by_side(lambda drop: read_drop(lake, manifests[drop]), list(manifests)))
        listed = lake.raw.listing().drops if any(files.faults() for files in drops.values()) else {}
        for drop, files in drops.items():
            self._files += len(lake.paths_of(manifests[drop]))
            if files.faults():
                self._drops[drop] = files
            for fault in files.damaged or files.misfits:
                self._report(fault.file, fault.fault, self._remedy(manifests[drop], listed))
        return drops

    def _remedy(self, manifest: DropManifest, listed: Mapping[str, object]) -> str:
        drop, lake = manifest.drop, self._lake
        if drop in listed and not self._is_rejected(drop):
            return f"{_BY_NEXT_RUN}, from {_path('datasets', drop)}"
        if not lake.raw.is_archived(drop, manifest.content):
            return f"deliver {drop} again, or `uda forget` it"
        from_archive = f"{_BY_NEXT_RUN}, from {_path('archive', drop)}"
        return f"mend or remove {_path('datasets', drop)}, then {from_archive}" if drop in listed else from_archive

    def _is_rejected(self, drop: str) -> bool:
        rejection = self._state.rejections.get(drop)
        return rejection is not None and rejection.content == self._lake.files.hash(self._lake.source(drop))

    def _compare(self, checksums: dict[str, str]) -> None:
        """Read files by their paths below the data root, and report those that differ from their checksums."""
        self._files += len(checksums)
        for fault in altered_files(self._lake, checksums):
            self._altered.add(fault.file)
            self._report(fault.file, fault.fault, _remedy_of_result(fault.file))

    def _report(self, what: str, damage: str, mended_by: str) -> None:
        self._damage.append(Damage(what, damage, mended_by))

    # -- counts ----------------------------------------------------------------------------------------------------

    def _count_again(self, drops: dict[str, DropFiles], state: State, sessions: SessionsManifest) -> None:
        """Count the sessions from the converted records, and compare everything that was derived from them."""
        lake = self._lake
        self._require(records_accounted(state.drops, drops), "deliver these drops again")
        if not state.is_merged:
            return  # The last conversion is not merged yet, which is no damage.
        kept = sum(files.kept for files in drops.values())
        with lake.scratch() as spill, working_database(self._settings, spill, lake.root) as connection:
            connection.execute(f"CREATE TEMP TABLE recounted AS {_recounted(lake, state.drops)}")
            events = _numbers(connection, f"SELECT sum(events) FROM {sessions_in(lake.sessions, sessions)}")
            records = _numbers(connection, "SELECT sum(events) FROM recounted")
            summary = f"{kept} records kept, {records[0]} in their files, {events[0]} events in sessions"
            self._require(Finding({kept, *records, *events} == {kept}, summary), _REMOVE_SESSIONS)
            self._require_same(
                connection, "session counts", _REMOVE_SESSIONS,
                counted=count_sessions("recounted", Window()),
                derived=f"SELECT platform, user_id, session_count FROM {counts_in(lake.sessions, sessions)}",
            )  # fmt: skip
            if state.is_published:
                self._rank_again(connection, state, spill)
        self._records = kept

    def _rank_again(self, connection: duckdb.DuckDBPyConnection, state: State, spill: Path) -> None:
        """Compare the published leaderboards, those of days too, with the sessions that were counted again."""
        lake, published = self._lake, state.publication
        if published is None:
            return
        window, listed = Window(published.since, published.until), ranked(published.exclude_users)
        self._require_same(
            connection, "the leaderboard", _BY_NEXT_RUN,
            counted=leaderboard("recounted", published.n, window, listed),
            derived=f"SELECT * FROM {parquet_files([lake.result_parquet])}",
        )  # fmt: skip
        lake.files.fetch(lake.warehouse, spill / "published.duckdb")
        connection.execute(f"ATTACH {literal(spill / 'published.duckdb')} AS published (READ_ONLY)")
        for rule in {published.rule for published in state.days.values()}:
            days = [day for day, published in state.days.items() if published.rule == rule]
            listing = ", ".join(f"DATE '{day.isoformat()}'" for day in days)
            self._require_same(
                connection, "the leaderboards of days", _BY_NEXT_RUN,
                counted=rank_days("recounted", rule.n, days, ranked(rule.exclude_users)),
                derived=f"SELECT * FROM published.daily_top_n_by_platform WHERE day IN ({listing})",
            )  # fmt: skip

    def _require_same(
        self, connection: duckdb.DuckDBPyConnection, what: str, remedy: str, *, counted: str, derived: str
    ) -> None:
        differing = f"""
            SELECT * FROM (({counted}) EXCEPT ALL ({derived}))
            UNION ALL SELECT * FROM (({derived}) EXCEPT ALL ({counted}))"""
        (count,) = _numbers(connection, f"SELECT count(*) FROM ({differing})")
        self._require(Finding(count == 0, f"{what}: {count} rows differ from a recount of the records"), remedy)

    def _require(self, finding: Finding, remedy: str) -> None:
        if not finding.passed:
            self._report("counts", "; ".join([finding.summary, *finding.cases[:3]]), remedy)


def _path(directory: str, drop: str) -> str:
    return str(PurePosixPath(directory, drop))


def _remedy_of_result(path: str) -> str:
    if path == "results/report.html":
        return "`uda report`"
    return _BY_NEXT_RUN


def _recounted(lake: Lake, manifests: Mapping[str, DropManifest]) -> str:
    """Return SQL for the sessions in the converted records, each with its start and its number of records."""
    files = [
        PartFile(f"{lake.name_of(drop)}/{file.path}", file.platform, file.rows)
        for drop, manifest in manifests.items()
        for file in manifest.files
    ]
    records = parquet_relation(lake.parquets, files, RECORD_COLUMNS) if files else empty_relation(RECORD_COLUMNS)
    return f"""
        SELECT platform, user_id, session_id, min(activity_time) AS started_at, count(*) AS events
        FROM {records} GROUP BY ALL"""


def _numbers(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return tuple(int(value or 0) for value in row)
