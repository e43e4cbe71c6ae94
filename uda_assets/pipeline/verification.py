"""What `uda verify` does: reads every committed file in full, and counts again what they promise together.

A run looks at the stat of files, and reads those of which it changed. That leaves what changes without its stat
changing, which is what disks that go bad do; so that it is worth while to read everything now and then.
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
from uda_assets.lake.footers import Footers, distrust, read_drop
from uda_assets.lake.integrity import altered, distrust_sessions
from uda_assets.pipeline.checks import records_accounted
from uda_assets.pipeline.results import RESULT_NAME
from uda_assets.pipeline.sessions import counts_relation, sessions_relation
from uda_assets.warehouse.database import (
    RECORD_COLUMNS,
    empty_relation,
    parquet_files,
    parquet_relation,
    working_database,
)
from uda_assets.warehouse.ranking import Window, rank

_BY_NEXT_RUN = "the next run"


class Damage(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        what: A file by its path below the data root, or what does not add up.
        damage: What is wrong.
        mended_by: Who makes it anew, or what a person has to do.

    """

    what: str
    damage: str
    mended_by: str


class Verified(NamedTuple):
    """What was looked at, and what is wrong.

    Attributes:
        files: Files that were read in full.
        records: Records that were counted again; 0 where damaged files did not allow it.
        damage: What is wrong; nothing where all is sound.

    """

    files: int
    records: int
    damage: list[Damage]


def verify(lake: Lake, settings: Settings) -> Verified:
    """Read everything that is committed; what is damaged is looked at again by the next run, whatever its stat says.

    Readers and writers go on meanwhile. Only where something is found is the lock taken, to look once more while
    nothing changes, and to note it.

    Raises:
        UdaError: Another writer holds the lock, or nothing can be noted.
        OtherFormat: Another version of this program wrote some of it.

    """
    found = _Verification(lake, settings).everything()
    if not found.damage:
        return found
    with lake.writing(settings.lock_timeout):
        again = _Verification(lake, settings)
        found = again.everything()
        if found.damage:
            again.note()
    return found


class _Verification:
    def __init__(self, lake: Lake, settings: Settings) -> None:
        self._lake, self._settings = lake, settings
        self._manifests, self._unsealed = lake.read_manifests()
        self._damage: list[Damage] = []
        self._drops: set[str] = set()
        self._sessions: set[str] = set()
        self._files = self._records = 0

    def everything(self) -> Verified:
        """Look at all there is."""
        self._look_at_manifests()
        footers = self._look_at_drops()
        sessions = self._lake.sessions_manifest()
        if sessions:
            files = {f"sessions/{file.path}": file.checksum for file in sessions.files()}
            self._sessions = {path.removeprefix("sessions/") for path in self._compare(files)}
        published = self._lake.publication()
        self._compare(self._lake.published_files())
        if sessions and not self._damage:
            self._count_again(footers, sessions, published)
        return Verified(self._files, self._records, self._damage)

    def note(self) -> None:
        """Let the next run look at what is damaged, and let the sensor start it."""
        lake = self._lake
        distrust(lake, [self._manifests[drop] for drop in self._drops & self._manifests.keys()])
        distrust_sessions(lake, self._sessions)
        if known := lake.examined():
            left = {drop: mark for drop, mark in known.drops.items() if drop not in self._drops}
            again = msgspec.structs.replace(known, serial=known.serial + 1, drops=left, published=False)
            lake.write_examined(again)

    # -- files -----------------------------------------------------------------------------------------------------

    def _look_at_manifests(self) -> None:
        lake = self._lake
        self._files += len(self._manifests) + len(self._unsealed)
        self._look_for_lost_manifests()
        for path, sound in lake.other_manifests().items():
            self._files += 1
            if not sound:
                forgotten = "remove it, then `uda forget` again what was forgotten"
                self._found(path, "not as it was written", forgotten if "ledger" in path else _BY_NEXT_RUN)

    def _look_for_lost_manifests(self) -> None:
        """Drops that are damaged in their manifest, or merged and without one, though they were not forgotten."""
        lake = self._lake
        merged = lake.sessions_manifest()
        lost = set(merged.drops if merged else ()).difference(self._manifests, lake.ledger().forgotten)
        if not self._unsealed and not lost:
            return
        # Where both have a file of the name, the delivered one is read.
        sources = dict.fromkeys(lake.archived(), lake.archive) | dict.fromkeys(lake.drops(), lake.datasets)
        drops = {lake.name_of(drop): drop for drop in (*lost, *sources)}
        missing = {lake.name_of(drop) for drop in lost}.difference(self._unsealed)
        for name in (*self._unsealed, *sorted(missing)):
            drop = drops.get(name, name)
            if drop in sources:
                self._drops.add(drop)
                mend = f"{_BY_NEXT_RUN}, from {self._below(sources[drop].name, drop)}"
            elif name in missing:
                mend = f"deliver {drop} again; the next run goes on without it"
            else:
                mend = f"deliver the drop again, or remove dataset_parquets/{name} to go on without it"
            damage = "missing" if name in missing else "not as it was written"
            self._found(f"dataset_parquets/{name}/{MANIFEST}", damage, mend)

    def _look_at_drops(self) -> dict[str, Footers]:
        lake, manifests = self._lake, self._manifests
        footers = dict(lake.side_by_side(lambda drop: read_drop(lake, manifests[drop]), list(manifests)))
        listed = lake.drops() if any(not found.sound for found in footers.values()) else {}
        for drop, found in footers.items():
            manifest = manifests[drop]
            self._files += len(lake.files_of(manifest))
            if not found.sound:
                self._drops.add(drop)
                for case in found.damaged or found.faults:
                    self._found(*case.rpartition(": ")[::2], self._mend(manifest, listed))
        return footers

    def _mend(self, manifest: DropManifest, listed: Mapping[str, object]) -> str:
        drop, lake = manifest.drop, self._lake
        if drop in listed and not self._is_rejected(drop):
            return f"{_BY_NEXT_RUN}, from {self._below('datasets', drop)}"
        if not lake.is_archived(drop, manifest.content):
            return f"deliver {drop} again, or `uda forget` it"
        archived = f"{_BY_NEXT_RUN}, from {self._below('archive', drop)}"
        return f"mend or remove {self._below('datasets', drop)}, then {archived}" if drop in listed else archived

    def _is_rejected(self, drop: str) -> bool:
        rejection = self._lake.ledger().rejections.get(drop)
        return rejection is not None and rejection.content == self._lake.files.hash(self._lake.source(drop))

    @staticmethod
    def _below(directory: str, drop: str) -> str:
        return str(PurePosixPath(directory, drop))

    def _compare(self, checksums: dict[str, str]) -> set[str]:
        self._files += len(checksums)
        wrong = altered(self._lake, checksums)
        for path, damage in wrong.items():
            self._found(path, damage, _mend_of(path))
        return set(wrong)

    def _found(self, what: str, damage: str, mended_by: str) -> None:
        self._damage.append(Damage(what, damage, mended_by))

    # -- counts ----------------------------------------------------------------------------------------------------

    def _count_again(
        self, footers: dict[str, Footers], sessions: SessionsManifest, published: PublicationManifest | None
    ) -> None:
        """Count the sessions from the converted records, and compare all that was derived from them."""
        lake = self._lake
        self._held(records_accounted(self._manifests, footers), "deliver these drops again")
        drops = {drop: manifest.fingerprint for drop, manifest in self._manifests.items()}
        if drops != sessions.drops:
            return  # what was converted last is not merged yet, which is no damage
        kept = sum(found.kept for found in footers.values())
        with lake.scratch() as spill, working_database(self._settings, spill, lake.root) as connection:
            window = Window(published.since, published.until) if published else Window()
            connection.execute(f"CREATE TEMP TABLE counted AS {_counted(lake, self._manifests, window)}")
            events = _numbers(connection, f"SELECT sum(events) FROM {sessions_relation(lake, sessions)}")
            records = _numbers(connection, "SELECT sum(records) FROM counted")
            told = f"{kept} records kept, {records[0]} in their files, {events[0]} events in sessions"
            self._held(Finding({kept, *records, *events} == {kept}, told), _REMOVE)
            counts = f"SELECT platform, user_id, session_count FROM {counts_relation(lake, sessions)}"
            self._same(connection, "SELECT platform, user_id, sessions FROM counted", counts, "session counts", _REMOVE)
            result = lake.results / f"{RESULT_NAME}.parquet"
            # Who died while he published may have left a leaderboard of other parameters.
            is_known = published is not None and lake.below(result) not in published.incoming
            if published and is_known and published.generation == sessions.generation:
                board = parquet_files([result])
                true = rank("(SELECT platform, user_id, in_window AS session_count FROM counted WHERE in_window > 0)",
                            published.n)  # fmt: skip
                self._same(connection, true, f"SELECT * FROM {board}", "the leaderboard", _BY_NEXT_RUN)
        self._records = kept

    def _same(self, connection: duckdb.DuckDBPyConnection, true: str, found: str, what: str, mend: str) -> None:
        differing = (
            f"SELECT * FROM (({true}) EXCEPT ALL ({found})) UNION ALL SELECT * FROM (({found}) EXCEPT ALL ({true}))"
        )
        (count,) = _numbers(connection, f"SELECT count(*) FROM ({differing})")
        self._held(Finding(count == 0, f"{what}: {count} rows differ from a recount of the records"), mend)

    def _held(self, finding: Finding, mend: str) -> None:
        if not finding.passed:
            self._found("counts", "; ".join([finding.summary, *finding.cases[:3]]), mend)


_REMOVE = "remove sessions/, and the next run builds it anew"


def _mend_of(path: str) -> str:
    if path.startswith("results/daily/"):
        return "materialize daily_top_n_by_platform for that day"
    if path == "results/report.html":
        return "`uda report`"
    return _BY_NEXT_RUN


def _counted(lake: Lake, manifests: dict[str, DropManifest], window: Window) -> str:
    """SQL for each user's records and sessions, all time and within a window, from the converted records alone."""
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
