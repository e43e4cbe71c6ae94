"""The checks: what the chain promises, verified on disk, from counts that the code that wrote it did not make."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import date
from fnmatch import fnmatchcase

import duckdb
import polars as pl

from uda_assets.basics.errors import UdaError
from uda_assets.basics.findings import Finding
from uda_assets.basics.settings import Settings
from uda_assets.contract.platforms import Platforms, normalise_platform
from uda_assets.contract.reasons import Reason
from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.contract.suppliers import Suppliers
from uda_assets.ingest import bounds_of, open_source
from uda_assets.ingest.header import read_header
from uda_assets.lake import DropFiles, DropManifest, Lake, SessionsManifest
from uda_assets.pipeline.status import DropEntry, Status
from uda_assets.pipeline.volume import unusual_drops
from uda_assets.warehouse.ranking import Window
from uda_assets.warehouse.relations import contributions_in, sessions_in

_HEAD = 1 << 20
"""How many bytes of blank lines before a header are looked through in an archive."""


def _finding(faults: list[str], sound: str, broken: str) -> Finding:
    return Finding(not faults, broken if faults else sound, faults)


def headers_readable(lake: Lake, drops: list[str], settings: Settings, suppliers: Suppliers) -> Finding:
    """Check that the header of each drop names every required column once."""
    faults, bounds = [], bounds_of(settings)
    for drop in drops:
        try:
            dialect = suppliers.dialect_of(drop)
            source_of = open_source(lake.source(drop), bounds=bounds, dialect=dialect, most=_HEAD + bounds.record)
            with source_of as source:
                read_header(source, dialect)
        except UdaError as error:
            faults.append(f"{drop}: {error}")
    return _finding(faults, f"{len(drops)} pending drops have a usable header", f"{len(faults)} drops cannot be read")


def drops_present(entries: list[DropEntry], problem: str) -> Finding:
    """Check that there is something to rank, and that drops can be listed.

    Args:
        entries: The drop ledger.
        problem: Why no drops can be listed, if that is so.
    """
    if problem:
        return Finding(False, problem)
    count = sum(entry.status not in (Status.FORGOTTEN, Status.IGNORED) for entry in entries)
    return Finding(count > 0, f"{count} drops" if count else "no drops; put CSV files below the data root's datasets/")


def all_files_are_drops(entries: list[DropEntry]) -> Finding:
    """Check that no file waits below ``datasets/`` that will never be read."""
    ignored = [entry.drop for entry in entries if entry.status is Status.IGNORED]
    broken = f"{len(ignored)} files are ignored, as their names are not those of drops; `uda drops` says why"
    return _finding(ignored[:50], "every file below datasets/ is a drop", broken)


def suppliers_deliver(entries: list[DropEntry], suppliers: Suppliers) -> Finding:
    """Check that each pattern of the suppliers' file matches a drop, and that no drop is claimed by two entries."""
    names = [entry.drop for entry in entries if entry.status is not Status.IGNORED]
    faults = [
        f"{supplier.name}: {pattern!r} matches no drop"
        for supplier in suppliers
        for pattern in supplier.drops
        if not any(fnmatchcase(name, pattern) for name in names)
    ]
    for name in names:
        claimed = [supplier.name for supplier in suppliers if supplier.delivers(name)]
        if len(claimed) > 1:
            faults.append(f"{name}: entries {', '.join(claimed)} match; the first one counts")
    broken = f"{len(faults)} patterns of suppliers.toml match no drop, or drops of several suppliers"
    return _finding(faults[:50], f"{len(suppliers)} suppliers, each with drops of its own", broken)


_LIKE_NULL = re.compile(
    r"null|none|nan|nil|n/?a|undefined|unknown|anonymous|\(not set\)|\(none\)|\\n|-1|[0-]+|test", re.IGNORECASE
)
_FAR_MORE, _FROM = 20, 1_000


def listed_users_plausible(board: pl.DataFrame) -> Finding:
    """Check that no listed id looks like a null marker, and that nobody has far more sessions than all others."""
    faults = []
    for (platform,), rows in board.group_by("platform", maintain_order=True):
        users, counts = rows["user_id"].to_list(), rows["session_count"].to_list()
        faults += [f"{platform}: {user!r} looks like a null marker" for user in users if _LIKE_NULL.fullmatch(user)]
        if len(counts) > 1 and counts[0] >= max(_FROM, _FAR_MORE * counts[1]):
            faults.append(f"{platform}: {users[0]!r} has {counts[0]} sessions, the next one {counts[1]}")
    broken = f"{len(faults)} listed users may be none; see null in suppliers.toml, and UDA_EXCLUDE_USERS"
    return _finding(faults[:50], "all listed users look like users", broken)


def parquet_schema_matches(files: Mapping[str, DropFiles]) -> Finding:
    """Check that every part file has exactly the contract's columns and types."""
    faults = [str(fault) for held in files.values() for fault in held.misfits]
    return _finding(faults, "all part files have the contract's schema", f"{len(faults)} part files differ from it")


def files_as_written(files: Mapping[str, DropFiles]) -> Finding:
    """Check that the files of all drops are as they were written. Only files with a new signature are read again."""
    faults = [str(fault) for held in files.values() for fault in held.damaged]
    sound = f"the files of all {len(files)} drops are as they were written"
    broken = f"{len(faults)} files are damaged; where there is a raw file the next run makes them anew, see uda verify"
    return _finding(faults, sound, broken)


def records_accounted(manifests: Mapping[str, DropManifest], files: Mapping[str, DropFiles]) -> Finding:
    """Check for each drop that records read = rows in part files + rows in quarantine, by the files' own footers."""
    faults, total = [], 0
    for drop, manifest in manifests.items():
        kept, quarantined = files[drop].kept, files[drop].quarantined
        total += manifest.records
        if (manifest.records, manifest.kept, manifest.quarantined) != (kept + quarantined, kept, quarantined):
            faults.append(f"{drop}: {manifest.records} read, but {kept} kept and {quarantined} quarantined on disk")
    return _finding(faults, f"all {total} records are kept or quarantined", f"{len(faults)} drops do not add up")


def no_rejected_drops(entries: list[DropEntry]) -> Finding:
    """Check that no drop was rejected whole."""
    faults = [f"{entry.drop}: {entry.reason}" for entry in entries if entry.status is Status.REJECTED]
    return _finding(faults, "no drop was rejected", f"{len(faults)} drops were rejected whole")


def reject_ratio_low(manifests: Mapping[str, DropManifest], limit: float) -> Finding:
    """Check that no committed drop comes near the limit, the share of malformed records that rejects a drop."""
    faults = [
        f"{drop}: {manifest.quarantined} of {manifest.records} records"
        for drop, manifest in manifests.items()
        if manifest.records and manifest.quarantined / manifest.records > limit / 2
    ]
    return _finding(
        faults, f"all drops have under {limit / 2:.0%} malformed", f"{len(faults)} drops have more than that"
    )


def drop_volume_usual(manifests: Mapping[str, DropManifest]) -> Finding:
    """Check that none of the latest drops is unusually small or large; see :mod:`uda_assets.pipeline.volume`."""
    faults = [str(fault) for fault in reversed(unusual_drops(manifests))]
    return _finding(
        faults,
        "the latest drops are as large as such drops usually are, as far as enough came before to tell",
        f"unusually small or large: {len(faults)} of the latest drops; were they delivered whole, and once?",
    )


def platforms_known(manifests: Mapping[str, DropManifest], platforms: Platforms) -> Finding:
    """Check that no record was quarantined for its platform. A likely alias is suggested for each unknown one."""
    unknown: dict[str, int] = {}
    unlisted = 0
    for manifest in manifests.values():
        if manifest.spellings is None:
            unlisted += manifest.reasons.get(Reason.UNKNOWN_PLATFORM, 0)
        for spelling, records in (manifest.spellings or {}).items():
            if manifest.meanings.get(spelling) is None:
                unknown[spelling] = unknown.get(spelling, 0) + records
    faults = [f"{spelling!r} ({records} records){_suggestion(spelling, platforms)}"
              for spelling, records in sorted(unknown.items(), key=lambda item: -item[1])]  # fmt: skip
    if unlisted:
        faults.append(f"{unlisted} records in drops with too many spellings to list")
    return _finding(faults[:50], "all platforms are known", f"{len(faults)} unknown platforms; see platforms.toml")


def _suggestion(spelling: str, platforms: Platforms) -> str:
    near = difflib.get_close_matches(normalise_platform(spelling), platforms.spellings, n=1)
    return f": an alias of {platforms.spellings[near[0]]}?" if near else ""


def session_key_unique(lake: Lake, connection: duckdb.DuckDBPyConnection) -> Finding:
    """Check that no (platform, user_id, session_id) has two rows, among the sessions that the last change touched.

    The first build touches all sessions. The others were checked when they were last touched.
    """
    manifest = lake.state().sessions or SessionsManifest()
    fresh = [segment for segment in manifest.segments if segment.path in manifest.fresh]
    touched = ""
    if len(fresh) < len(manifest.segments):
        added = contributions_in(lake.sessions, fresh)
        touched = f"SEMI JOIN (SELECT platform, key_hash FROM {added}) USING (platform, key_hash)"
    hashes = sessions_in(lake.sessions, manifest, "platform, key_hash")
    # Hashes are far cheaper to compare. The few sessions with equal hashes are then compared by key.
    suspects = f"SELECT key_hash FROM {hashes} {touched} GROUP BY platform, key_hash HAVING count(*) > 1"
    keys = sessions_in(lake.sessions, manifest, "platform, user_id, session_id, key_hash")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE suspects AS {suspects}")
    (found,) = connection.execute("SELECT count(*) FROM suspects").fetchall()
    if not found[0]:
        return Finding(True, "every session has one row")
    query = f"""SELECT platform, user_id, session_id, count(*) FROM {keys} SEMI JOIN suspects USING (key_hash)
                GROUP BY platform, user_id, session_id HAVING count(*) > 1 LIMIT 20"""
    faults = [f"{row[:3]}: {row[3]} rows" for row in connection.execute(query).fetchall()]
    return _finding(faults, "every session has one row", "sessions with several rows")


def events_accounted(lake: Lake, connection: duckdb.DuckDBPyConnection) -> Finding:
    """Check that records kept over all drops = sum of ``events`` over sessions.

    The first are counted by the footers of the drops' files, the second by reading the files of the sessions.
    """
    state = lake.state()
    manifest = state.sessions or SessionsManifest()
    sessions = sessions_in(lake.sessions, manifest)
    events = int((connection.execute(f"SELECT coalesce(sum(events), 0) FROM {sessions}").fetchone() or (0,))[0])
    kept = sum(files.kept for drop, files in state.files.items() if drop in manifest.drops)
    return Finding(events == kept, f"{kept} records kept, {events} events in sessions")


def leaderboard_well_formed(board: pl.DataFrame, n: int) -> Finding:
    """Check a leaderboard's columns, types and order, and that it has at most ``n`` rows for each platform."""
    faults = []
    if board.schema != LEADERBOARD_SCHEMA:
        return Finding(False, f"the columns are {dict(board.schema)}")
    if not board.equals(board.sort(["platform", "session_count", "user_id"], descending=[False, True, False])):
        faults.append("rows are not in order")
    faults += [f"{name} has {rows} rows" for name, rows in board["platform"].value_counts().iter_rows() if rows > n]
    if board.select("platform", "user_id").is_duplicated().any():
        faults.append("a user is listed twice")
    return _finding(faults, f"{board.height} rows, in order, at most {n} a platform", "; ".join(faults))


def days_well_formed(boards: dict[date, pl.DataFrame], n: int) -> Finding:
    """Check that each day's leaderboard is well-formed."""
    findings = {day: leaderboard_well_formed(board, n) for day, board in boards.items()}
    faults = [f"{day}: {finding.summary}" for day, finding in findings.items() if not finding.passed]
    return _finding(faults, f"{len(boards)} days, each in order, at most {n} a platform", "days that are not in order")


def leaderboard_recounted(
    lake: Lake, connection: duckdb.DuckDBPyConnection, board: pl.DataFrame, window: Window
) -> Finding:
    """Check the listed users' sessions, counted again from the contributions of the drops and not from the counts."""
    connection.register("board", board.to_arrow())
    query = f"""
        WITH started AS (
            SELECT platform, user_id, session_id, min(started_at) AS started_at
            FROM {contributions_in(lake.sessions, (lake.state().sessions or SessionsManifest()).segments)}
            SEMI JOIN board USING (platform, user_id) GROUP BY ALL),
        counted AS (SELECT platform, user_id, count(*) AS sessions FROM started WHERE {window.condition} GROUP BY ALL)
        SELECT platform, user_id, session_count, coalesce(sessions, 0)
        FROM board LEFT JOIN counted USING (platform, user_id)
        WHERE session_count IS DISTINCT FROM sessions LIMIT 20"""
    rows = connection.execute(query).fetchall()
    faults = [f"{platform} {user!r}: {listed} listed, {found} found" for platform, user, listed, found in rows]
    return _finding(faults, f"all {board.height} counts are confirmed", "counts that do not hold")
