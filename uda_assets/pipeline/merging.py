"""Merging the committed drops into the sessions: one row for each platform, user and session.

Each platform is divided into buckets of its users. A platform and a bucket are a *unit*, and the engine changes each
unit on its own (:mod:`uda_assets.pipeline.units`). This module decides which drops must be put in and taken out, and
commits the outcome. A merge costs what it changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from uda_assets.basics.errors import UdaError
from uda_assets.basics.moments import reached
from uda_assets.basics.settings import Settings
from uda_assets.engines import Engine
from uda_assets.lake import MANIFEST, DropManifest, Lake, PartFile, SessionsManifest, State
from uda_assets.lake.garbage import sweep_directories
from uda_assets.lake.integrity import damaged_drops, damaged_sessions, inspect_drops, signatures_of
from uda_assets.lake.sealed import sealed
from uda_assets.pipeline.change import SessionsChange
from uda_assets.pipeline.context import Run
from uda_assets.pipeline.units import UnitChange
from uda_assets.warehouse.relations import LAYOUT

_OUTGROWN = 4
_MOST_BUCKETS = 4096


class Merge(NamedTuple):
    """The sessions that count after a merge, and what the merge did.

    Attributes:
        manifest: The sessions that count.
        added, removed: The drops whose contributions were put in or taken out. A replaced drop is in both.
        rebuilt: Whether everything was built anew.
        rows_read: Records of the added drops.
        rows_compared: Contributions to the sessions that the change touched.
        rows_written: Rows of all files that were written.
    """

    manifest: SessionsManifest
    added: list[str]
    removed: list[str]
    rebuilt: bool
    rows_read: int = 0
    rows_compared: int = 0
    rows_written: int = 0


def merge_sessions(run: Run) -> Merge:
    """Bring the sessions up to the committed drops.

    New files are written beside the old ones, then the manifest names them. Files that it no longer names stay until
    the generation after the published one is published, for readers that still follow the older manifest.

    Raises:
        UdaError: Converted files of a drop are missing or damaged.
    """
    lake, state = run.lake, run.lake.state()
    manifests = state.drops
    drops = {name: manifest.fingerprint for name, manifest in manifests.items()}
    known = state.sessions
    damaged, seen = damaged_sessions(lake, state)
    usable = known if known and known.layout == LAYOUT and not damaged else None
    if usable and drops == usable.drops:
        if not seen.items() <= state.seen.items():
            lake.commit(state.noting(seen=state.seen | seen))
        if not lake.files.remote:
            _write_copy(lake, usable)
        return Merge(usable, [], [], rebuilt=False)
    before = _starting_point(run, known, usable)
    removed = sorted(name for name, fingerprint in before.drops.items() if drops.get(name) != fingerprint)
    added = sorted(name for name, fingerprint in drops.items() if before.drops.get(name) != fingerprint)
    _require_whole(lake, state, added)
    with lake.stage() as staged:
        change = SessionsChange(lake, run.engine, before, {name: manifests[name] for name in added}, frozenset(removed))
        changes = change.carry_out(staged)
    records = sum(manifest.kept for manifest in manifests.values())
    merged = _manifest(before, changes, drops, records)
    _commit(lake, state, merged, _TouchedDays.of(state, changes, is_rebuilt=before is not usable))
    if run.engine.elsewhere:
        # A task that ran twice has written its files twice.
        sweep_directories(lake.access, lake.state(), lake.sessions)
    return Merge(
        merged, added, removed, rebuilt=before is not usable, rows_read=sum(manifests[name].kept for name in added),
        rows_compared=sum(change.rows_compared for change in changes),
        rows_written=sum(change.rows_written for change in changes),
    )  # fmt: skip


class _TouchedDays(NamedTuple):
    """The days to publish after a merge, as the state keeps them."""

    stale_days: list[date]
    uncounted_days: list[date]
    touched: list[PartFile]

    @classmethod
    def of(cls, state: State, changes: list[UnitChange], *, is_rebuilt: bool) -> _TouchedDays:
        days = {day for change in changes for day in change.days}
        if is_rebuilt:
            # What the sessions were is not known any more.
            all_days = sorted({*state.days, *state.stale_days, *days})
            return cls(all_days, all_days, [])
        uncounted = {day for change in changes if not change.touched for day in change.days}
        return cls(
            sorted({*state.stale_days, *days}),
            sorted({*state.uncounted_days, *uncounted}),
            [*state.touched, *(file for change in changes for file in change.touched)],
        )


def _commit(lake: Lake, state: State, merged: SessionsManifest, days: _TouchedDays) -> None:
    """Commit the sessions. Files that no longer count stay for readers of the published warehouse."""
    reached("sessions: files written")
    counting = {lake.session_path(path) for path in merged.paths()}
    before = [lake.session_path(path) for path in state.sessions.paths()] if state.sessions else []
    found = signatures_of(lake, counting, lake.sessions)
    dropped = [lake.session_path(file.path) for file in state.touched if file not in days.touched]
    lake.commit(
        state.changed(
            sessions=merged,
            seen={path: seen for path, seen in state.seen.items() if path not in before} | found,
            **days._asdict(),
            superseded=[*state.superseded, *(path for path in before if path not in counting), *dropped],
        )
    )
    reached("sessions: committed")
    _write_copy(lake, merged)


def _write_copy(lake: Lake, merged: SessionsManifest) -> None:
    """Let the manifest beside the files of the sessions say what the state says, for other tools."""
    path, content = lake.sessions / MANIFEST, sealed(merged)
    try:
        is_there = not lake.files.remote and lake.files.read(path) == content
    except FileNotFoundError:
        is_there = False
    if not is_there:
        lake.files.note(path, content)


def _starting_point(run: Run, known: SessionsManifest | None, usable: SessionsManifest | None) -> SessionsManifest:
    """Return the sessions to change, or empty ones if everything must be built anew."""
    state = run.lake.state()
    manifests = state.drops.values()
    records = sum(manifest.kept for manifest in manifests)
    outgrown = _OUTGROWN * usable.buckets if usable else 0
    if usable and (run.settings.buckets or _buckets_for(records, run.engine) < outgrown):
        return usable
    published = state.publication
    return SessionsManifest(
        generation=known.generation if known else published.generation if published else 0,
        layout=LAYOUT,
        buckets=_buckets(records, manifests, run.settings, run.engine),
    )


def _require_whole(lake: Lake, state: State, added: Iterable[str]) -> None:
    files = inspect_drops(lake, state.noting(drops={name: state.drops[name] for name in added}))
    damaged = sorted(damaged_drops(files).items())
    if not damaged:
        return
    drop, fault = damaged[0]
    others = f", as are those of {len(damaged) - 1} more (`uda verify` names all)" if len(damaged) > 1 else ""
    raise UdaError(
        f"converted files of drop {drop!r} are missing or damaged ({fault}){others}; run again, or where its raw file "
        "is gone deliver it again, or `uda forget` it to go on without it"
    )


def _buckets_for(records: int, engine: Engine) -> int:
    """Return the number of buckets that bounds the size of a unit."""
    return min(_MOST_BUCKETS, _power_of_two(-(-records // engine.bucket_records)))


def _buckets(records: int, manifests: Iterable[DropManifest], settings: Settings, engine: Engine) -> int:
    """Return the number of buckets of sessions that are built anew.

    It is just enough to bound the size of a unit and to keep all workers busy: with one bucket no contributions have to
    be exchanged, which takes about as long as all else.
    """
    if settings.buckets:
        return settings.buckets
    platforms = len({file.platform for manifest in manifests for file in manifest.files}) or 1
    units_wanted = _power_of_two(-(-engine.workers // platforms))
    return min(_MOST_BUCKETS, max(_buckets_for(records, engine), units_wanted))


def _power_of_two(number: int) -> int:
    """Return the smallest power of two that is not smaller than a number."""
    return 1 << max(0, number - 1).bit_length()


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
