"""`uda verify`: read every committed file in full, and count again what they promise together.

A run reads only the files whose signatures changed. What changes without that, as on a disk that decays, is found here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

import duckdb
import msgspec

from uda_assets.basics.findings import Finding
from uda_assets.basics.settings import Settings
from uda_assets.lake import MANIFEST, DropManifest, Lake, PartFile, PublicationManifest, SessionsManifest
from uda_assets.lake.integrity import (
    ALTERED,
    DropFiles,
    altered_files,
    distrust_drops,
    distrust_sessions,
    read_drop,
)
from uda_assets.pipeline.checks import records_accounted
from uda_assets.warehouse.database import (
    RECORD_COLUMNS,
    empty_relation,
    parquet_files,
    parquet_relation,
    working_database,
)
from uda_assets.warehouse.exclusion import ranked
from uda_assets.warehouse.ranking import Window, rank
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
        self._manifests, self._unreadable = lake.converted.read_all()
        self._damage: list[Damage] = []
        self._drops: set[str] = set()
        self._sessions: set[str] = set()
        self._files = self._records = 0

    def run(self) -> Verified:
        """Verify everything."""
        self._verify_manifests()
        drops = self._verify_drops()
        sessions = self._lake.merged.read()
        if sessions:
            prefix = f"{self._lake.sessions.name}/"
            checksums = {f"{prefix}{file.path}": file.checksum for file in sessions.files()}
            self._sessions = {path.removeprefix(prefix) for path in self._compare(checksums)}
        published = self._lake.published.read()
        self._compare(self._lake.published.files())
        if sessions and not self._damage:
            self._count_again(drops, sessions, published)
        return Verified(self._files, self._records, self._damage)

    def note_damage(self) -> None:
        """Have the next run look at what is damaged, and the sensor start that run."""
        lake = self._lake
        distrust_drops(lake, [self._manifests[drop] for drop in self._drops & self._manifests.keys()])
        distrust_sessions(lake, self._sessions)
        if known := lake.examined.read():
            left = {drop: signature for drop, signature in known.drops.items() if drop not in self._drops}
            lake.examined.write(msgspec.structs.replace(known, serial=known.serial + 1, drops=left, published=False))

    # -- files -----------------------------------------------------------------------------------------------------

    def _verify_manifests(self) -> None:
        lake = self._lake
        self._files += len(self._manifests) + len(self._unreadable)
        self._look_for_lost_manifests()
        for file in lake.state_files():
            is_sound = file.is_sound()
            self._files += is_sound is not None
            if is_sound is False:
                forget_again = "remove it, then `uda forget` again what was forgotten"
                self._report(lake.below(file.path), ALTERED, forget_again if file is lake.ledger else _BY_NEXT_RUN)

    def _look_for_lost_manifests(self) -> None:
        """Report drops with a damaged manifest, and merged drops without one that were not forgotten."""
        lake = self._lake
        merged = lake.merged.read()
        lost = set(merged.drops if merged else ()).difference(self._manifests, lake.ledger.load().forgotten)
        if not self._unreadable and not lost:
            return
        sources = dict.fromkeys(lake.raw.archived(), lake.archive)
        # If a drop is in both places, a run reads the delivered file.
        sources |= dict.fromkeys(lake.raw.listing().drops, lake.datasets)
        drops = {lake.name_of(drop): drop for drop in (*lost, *sources)}
        missing = {lake.name_of(drop) for drop in lost}.difference(self._unreadable)
        for name in (*self._unreadable, *sorted(missing)):
            drop = drops.get(name, name)
            if drop in sources:
                self._drops.add(drop)
                remedy = f"{_BY_NEXT_RUN}, from {_path(sources[drop].name, drop)}"
            elif name in missing:
                remedy = f"deliver {drop} again; the next run goes on without it"
            else:
                remedy = f"deliver the drop again, or remove dataset_parquets/{name} to go on without it"
            self._report(f"dataset_parquets/{name}/{MANIFEST}", "missing" if name in missing else ALTERED, remedy)

    def _verify_drops(self) -> dict[str, DropFiles]:
        lake, manifests = self._lake, self._manifests
        drops = dict(lake.access.side_by_side(lambda drop: read_drop(lake, manifests[drop]), list(manifests)))
        listed = lake.raw.listing().drops if any(files.faults() for files in drops.values()) else {}
        for drop, files in drops.items():
            self._files += len(lake.converted.files_of(manifests[drop]))
            if files.faults():
                self._drops.add(drop)
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
        rejection = self._lake.ledger.load().rejections.get(drop)
        return rejection is not None and rejection.content == self._lake.files.hash(self._lake.source(drop))

    def _compare(self, checksums: dict[str, str]) -> set[str]:
        """Read files by their paths below the data root, and return those that differ from their checksums."""
        self._files += len(checksums)
        faults = altered_files(self._lake, checksums)
        for fault in faults:
            self._report(fault.file, fault.fault, _remedy_of_result(fault.file))
        return {fault.file for fault in faults}

    def _report(self, what: str, damage: str, mended_by: str) -> None:
        self._damage.append(Damage(what, damage, mended_by))

    # -- counts ----------------------------------------------------------------------------------------------------

    def _count_again(
        self, drops: dict[str, DropFiles], sessions: SessionsManifest, published: PublicationManifest | None
    ) -> None:
        """Count the sessions from the converted records, and compare everything that was derived from them."""
        lake = self._lake
        self._require(records_accounted(self._manifests, drops), "deliver these drops again")
        fingerprints = {drop: manifest.fingerprint for drop, manifest in self._manifests.items()}
        if fingerprints != sessions.drops:
            return  # The last conversion is not merged yet, which is no damage.
        kept = sum(files.kept for files in drops.values())
        with lake.scratch() as spill, working_database(self._settings, spill, lake.root) as connection:
            window = Window(published.since, published.until) if published else Window()
            connection.execute(f"CREATE TEMP TABLE counted AS {_counted(lake, self._manifests, window)}")
            events = _numbers(connection, f"SELECT sum(events) FROM {sessions_in(lake.sessions, sessions)}")
            records = _numbers(connection, "SELECT sum(records) FROM counted")
            summary = f"{kept} records kept, {records[0]} in their files, {events[0]} events in sessions"
            self._require(Finding({kept, *records, *events} == {kept}, summary), _REMOVE_SESSIONS)
            self._require_same(
                connection, "session counts", _REMOVE_SESSIONS,
                counted="SELECT platform, user_id, sessions FROM counted",
                derived=f"SELECT platform, user_id, session_count FROM {counts_in(lake.sessions, sessions)}",
            )  # fmt: skip
            # A writer that died while it published may have left a leaderboard with other parameters.
            is_complete = published is not None and lake.below(lake.result_parquet) not in published.incoming
            if published and is_complete and published.generation == sessions.generation:
                in_window = "(SELECT platform, user_id, in_window AS session_count FROM counted WHERE in_window > 0)"
                board = f"SELECT * FROM {parquet_files([lake.result_parquet])}"
                counted = rank(in_window, published.n, ranked(published.exclude_users))
                self._require_same(connection, "the leaderboard", _BY_NEXT_RUN, counted=counted, derived=board)
        self._records = kept

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
    if path.startswith("results/daily/"):
        return "materialize daily_top_n_by_platform for that day"
    if path == "results/report.html":
        return "`uda report`"
    return _BY_NEXT_RUN


def _counted(lake: Lake, manifests: dict[str, DropManifest], window: Window) -> str:
    """Return SQL that counts each user's records and sessions, all time and in a window, from the converted records."""
    files = [
        PartFile(f"{lake.name_of(drop)}/{file.path}", file.platform, file.rows)
        for drop, manifest in manifests.items()
        for file in manifest.files
    ]
    records = parquet_relation(lake.parquets, files, RECORD_COLUMNS) if files else empty_relation(RECORD_COLUMNS)
    return f"""
        SELECT platform, user_id, sum(events)::BIGINT AS records, count(*) AS sessions,
               count(*) FILTER (WHERE {window.condition}) AS in_window
        FROM (SELECT platform, user_id, session_id, min(activity_time) AS started_at, count(*) AS events
              FROM {records} GROUP BY ALL)
        GROUP BY ALL"""


def _numbers(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return tuple(int(value or 0) for value in row)
