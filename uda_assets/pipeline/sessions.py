"""Sessions: one row a (platform, user_id, session_id), kept up to date at the cost of what changed.

What is stored, a unit (a platform, and one of some buckets of its users) at a time:

- *Segments* hold contributions: what one drop knows of one session (drop, key, first and last time, events). A run
  appends one segment for all drops that are new; small segments are merged now and then, as in a log-structured merge
  tree (O'Neil et al. 1996), so that their number stays bounded.
- *Shared* holds the sessions to which several drops contribute, merged; they take the place of their contributions.
- *Counts* hold sessions by user: a base, and the users that changed since it was written.

Taking out or replacing a drop needs no other drop: its contributions are in a segment, by name. Which known sessions a
change touches is found by the hash of the key alone; equal hashes are then told apart by the key itself.

This module knows which drops have to be put in and taken out, and commits; the engine runs what
:mod:`uda_assets.pipeline.units` does to each unit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from uda_assets.basics.errors import UdaError
from uda_assets.basics.moments import passed
from uda_assets.basics.settings import Settings
from uda_assets.engines import Engine, running
from uda_assets.lake import DropManifest, Lake, Segment, SessionsManifest, Stage
from uda_assets.lake.footers import damaged_drops
from uda_assets.lake.integrity import damaged_sessions
from uda_assets.pipeline.units import Group, Source, SplitJob, Unit, UnitChange, UnitJob, change_unit, split, without
from uda_assets.storage import Location, make_dir_alone
from uda_assets.warehouse.relations import LAYOUT, SESSIONS, contributions_in, counts_in, sessions_in

_LARGE_DROP = 1_000_000
_OUTGROWN = 4
_MOST_BUCKETS = 4096
_LEAST_ROWS_TO_SPLIT = 1_000_000
_MOST_ROWS_TO_SPLIT = 32_000_000


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


def merge_sessions(lake: Lake, settings: Settings, engine: Engine | None = None) -> Merge:
    """Bring the sessions up to the committed drops; the caller holds the lake's lock.

    New files are written beside the old ones, then the manifest names them. What it names no longer stays until the
    generation after the published one is published, for readers that still follow the older manifest.

    Args:
        lake: The data root.
        settings: Limits, and which engine to open where none is given.
        engine: What does the work.
    """
    manifests = lake.manifests()
    drops = {name: manifest.fingerprint for name, manifest in manifests.items()}
    records = sum(manifest.kept for manifest in manifests.values())
    known = lake.sessions_manifest()
    usable = known if known and known.layout == LAYOUT and not damaged_sessions(lake, known) else None
    if usable and drops == usable.drops:
        # A run before this one may have died when it had committed and not yet removed what that made superfluous.
        lake.remove_sessions_but(usable)
        return Merge(usable, [], [], rebuilt=False)
    with running(engine, settings) as opened:
        if usable and settings.buckets == 0 and _by_records(records, opened) >= _OUTGROWN * usable.buckets:
            usable = None
        before = usable or SessionsManifest(
            generation=known.generation if known else lake.published_generation() or 0,
            layout=LAYOUT,
            buckets=_buckets(records, manifests.values(), settings, opened),
        )
        removed = sorted(name for name, mark in before.drops.items() if drops.get(name) != mark)
        added = sorted(name for name, mark in drops.items() if before.drops.get(name) != mark)
        _require_whole(lake, {name: manifests[name] for name in added})
        with lake.stage() as staged:
            change = _Change(lake, opened, before, {name: manifests[name] for name in added}, frozenset(removed))
            changes = change.carry_out(staged)
    merged = _manifest(before, changes, drops, records)
    merged = msgspec.structs.replace(merged, superseded=_superseded(lake, known, merged))
    passed("sessions: files written")
    lake.write_sessions_manifest(merged)
    passed("sessions: committed")
    lake.remove_sessions_but(merged)
    return Merge(
        merged, added, removed, rebuilt=usable is None, rows_read=sum(manifests[name].kept for name in added),
        rows_compared=sum(change.rows_compared for change in changes),
        rows_written=sum(change.rows_written for change in changes),
    )  # fmt: skip


def _require_whole(lake: Lake, manifests: dict[str, DropManifest]) -> None:
    damaged = sorted(damaged_drops(lake, manifests).items())
    if not damaged:
        return
    drop, file = damaged[0]
    others = f", as are those of {len(damaged) - 1} more (`uda verify` names all)" if len(damaged) > 1 else ""
    raise UdaError(
        f"converted files of drop {drop!r} are missing or damaged ({file}){others}; run again, or where its raw file "
        "is gone deliver it again, or `uda forget` it to go on without it"
    )


# -- buckets -------------------------------------------------------------------------------------------------------


def _by_records(records: int, engine: Engine) -> int:
    return min(_MOST_BUCKETS, _power_of_two(-(-records // engine.bucket_records)))


def _buckets(records: int, manifests: Iterable[DropManifest], settings: Settings, engine: Engine) -> int:
    """How many buckets sessions that are built anew have: enough to bound a unit, and to keep all workers busy.

    Not more: with one bucket no contributions have to be exchanged, which takes about as long as all else.
    """
    if settings.buckets:
        return settings.buckets
    platforms = len({file.platform for manifest in manifests for file in manifest.files}) or 1
    busy = _power_of_two(-(-engine.workers // platforms))
    return min(_MOST_BUCKETS, max(_by_records(records, engine), busy))


def _power_of_two(number: int) -> int:
    """The least one that is not smaller."""
    return 1 << max(0, number - 1).bit_length()


# -- reading -------------------------------------------------------------------------------------------------------


def sessions_relation(lake: Lake, manifest: SessionsManifest | None, columns: str = SESSIONS) -> str:
    """The sessions that a manifest names, as an SQL relation in ``SESSION_SCHEMA``, or of other columns."""
    return sessions_in(lake.sessions, manifest or SessionsManifest(), columns)


def contributions_relation(lake: Lake, segments: Sequence[Segment]) -> str:
    """What each drop knows of each session, as an SQL relation: a session of several drops has several rows."""
    return contributions_in(lake.sessions, segments)


def counts_relation(lake: Lake, manifest: SessionsManifest | None) -> str:
    """Sessions by platform and user, all time, as an SQL relation: ``platform, user_id, session_count``."""
    return counts_in(lake.sessions, manifest or SessionsManifest())


def units_of(manifest: SessionsManifest) -> dict[tuple[str, int], Unit]:
    """The units that a manifest names files of, in ascending order."""
    found = {
        key: Unit(*key, [], [], [], []) for key in sorted({(file.platform, file.bucket) for file in manifest.segments})
    }
    for segment in manifest.segments:
        found[segment.platform, segment.bucket].segments.append(segment)
    for kind in ("shared", "counts", "changed"):
        for file in getattr(manifest, kind):
            getattr(found[file.platform, file.bucket], kind).append(file)
    return found


# -- changing ------------------------------------------------------------------------------------------------------


class _Change:
    """One change of the sessions: drops to put in, drops to take out."""

    def __init__(
        self,
        lake: Lake,
        engine: Engine,
        before: SessionsManifest,
        added: dict[str, DropManifest],
        removed: frozenset[str],
    ) -> None:
        self._lake = lake
        self._engine = engine
        self._before = before
        self._added = added
        self._removed = removed

    def carry_out(self, staged: Stage) -> list[UnitChange]:
        """All units after the change; only those that it touches are given to the engine."""
        old, new = units_of(self._before), self._new(staged)
        units = [old.get(key, Unit(*key, [], [], [], [])) for key in sorted({*old, *new})]
        changes = {unit[:2]: UnitChange(unit, 0, 0, 0) for unit in units}
        touched = [unit for unit in units if new.get(unit[:2]) or self._is_touched(unit)]
        jobs = [
            UnitJob(self._lake.sessions, unit, new.get(unit[:2], []), self._removed, self._before.generation + 1)
            for unit in touched
        ]
        for unit, changed in zip(touched, self._engine.run(change_unit, jobs, staged.scratch), strict=True):
            changes[unit[:2]] = changed
        return [changes[unit[:2]] for unit in units]

    def _is_touched(self, unit: Unit) -> bool:
        return any(without(segment, self._removed) is not segment for segment in unit.segments)

    def _new(self, staged: Stage) -> dict[tuple[str, int], list[Group]]:
        """What is put in, by unit."""
        groups = [(platform, group) for platform in self._platforms() for group in self._groups(platform)]
        if self._before.buckets > 1:
            return self._split(groups, staged)
        found: dict[tuple[str, int], list[Group]] = defaultdict(list)
        for platform, group in groups:
            found[platform, 0].append(group)
        return found

    def _platforms(self) -> list[str]:
        return sorted({file.platform for manifest in self._added.values() for file in manifest.files})

    def _groups(self, platform: str) -> list[Group]:
        """New drops of a platform: those that are small together, so that they become one segment."""
        sources = {
            name: [
                Source(self._lake.parquet_dir(name) / file.path, name)
                for file in manifest.files
                if file.platform == platform
            ]
            for name, manifest in self._added.items()
        }
        names = [name for name, found in sources.items() if found]
        small = [name for name in names if self._added[name].kept <= _LARGE_DROP * self._before.buckets]
        grouped = [[name] for name in names if name not in set(small)] + ([small] if small else [])
        return [Group(drops, [source for name in drops for source in sources[name]]) for drops in grouped]

    def _split(self, groups: list[tuple[str, Group]], staged: Stage) -> dict[tuple[str, int], list[Group]]:
        """The contributions of new drops by bucket: written by some tasks, read by those that change the units."""
        exchange = staged.shared / "split"
        make_dir_alone(exchange)
        jobs, meant = [], []
        for number, (_, group) in enumerate(groups):
            for sources in self._shares(group.sources):
                jobs.append(SplitJob(sources, self._before.buckets, exchange))
                meant.append(number)
        files: dict[tuple[int, int], list[Location]] = defaultdict(list)
        for number, found in zip(meant, self._engine.run(split, jobs, staged.scratch), strict=True):
            for bucket, paths in found.items():
                files[number, bucket] += paths
        new: dict[tuple[str, int], list[Group]] = defaultdict(list)
        for (number, bucket), paths in sorted(files.items()):
            platform, group = groups[number]
            divided = meant.count(number) > 1
            new[platform, bucket].append(Group(group.drops, split=paths, divided=divided))
        return new

    def _shares(self, sources: list[Source]) -> list[list[Source]]:
        """Part files that a task is to read, about as many rows for each."""
        rows = {
            self._lake.parquet_dir(name) / file.path: file.rows
            for name in {source.drop for source in sources}
            for file in self._added[name].files
        }
        total = sum(rows[source.path] for source in sources)
        share = min(_MOST_ROWS_TO_SPLIT, max(_LEAST_ROWS_TO_SPLIT, total // (2 * self._engine.workers)))
        shares: list[list[Source]] = [[]]
        filled = 0
        for source in sources:
            if shares[-1] and filled + rows[source.path] > share:
                shares.append([])
                filled = 0
            shares[-1].append(source)
            filled += rows[source.path]
        return shares


def _manifest(
    before: SessionsManifest, changes: list[UnitChange], drops: dict[str, str], records: int
) -> SessionsManifest:
    units = [change.after for change in changes if change.after.segments]
    segments = [segment for unit in units for segment in unit.segments]
    known = {segment.path for segment in before.segments}
    sessions = {unit.platform: before.platforms.get(unit.platform, 0) for unit in units}
    for change in changes:
        if change.after.platform in sessions:
            sessions[change.after.platform] += change.sessions
    return SessionsManifest(
        layout=LAYOUT,
        buckets=before.buckets,
        generation=before.generation + 1,
        drops=drops,
        segments=segments,
        shared=[file for unit in units for file in unit.shared],
        counts=[file for unit in units for file in unit.counts],
        changed=[file for unit in units for file in unit.changed],
        platforms=sessions,
        records=records,
        sessions=sum(sessions.values()),
        fresh=[segment.path for segment in segments if segment.path not in known],
    )


def _superseded(lake: Lake, known: SessionsManifest | None, merged: SessionsManifest) -> list[str]:
    """Files that a reader may still need: those of the generation before, and of all back to the published one."""
    if known is None:
        # An older version of this program built them, or the manifest is damaged; what is published is read from them.
        below = {path for path in lake.files.files_below(lake.sessions) if path.endswith(".parquet")}
        return sorted(below.difference(merged.paths()))
    published = lake.published_generation()
    return sorted({*known.paths(), *(known.superseded if published != known.generation else [])})
