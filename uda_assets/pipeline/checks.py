"""What the chain promises, verified on what is on disk, from counts taken independently of the code that wrote it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import date

import duckdb
import polars as pl

from uda_assets.basics.errors import UdaError
from uda_assets.basics.findings import Finding
from uda_assets.basics.settings import Settings
from uda_assets.contract.platforms import Platforms, normalise_platform
from uda_assets.contract.reasons import Reason
from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.ingest import bounds_of, open_source
from uda_assets.ingest.header import read_header
from uda_assets.lake import DropManifest, Lake, SessionsManifest
from uda_assets.lake.footers import Footers, read_footers
from uda_assets.pipeline.catalogue import DropEntry, Status
from uda_assets.pipeline.sessions import contributions_relation, sessions_relation
from uda_assets.pipeline.volume import unusual_drops
from uda_assets.warehouse.ranking import Window

_HEAD = 1 << 20
"""Bytes of blank lines before a header that are looked through, in an archive, beside the header's own."""


def _finding(faults: list[str], sound: str, broken: str) -> Finding:
    return Finding(not faults, broken if faults else sound, faults)


def headers_readable(lake: Lake, drops: list[str], settings: Settings) -> Finding:
    """The headers of these drops name every required column once."""
    faults, bounds = [], bounds_of(settings)
    for drop in drops:
        try:
            with open_source(lake.source(drop), bounds=bounds, most=_HEAD + bounds.record) as source:
                read_header(source)
        except UdaError as error:
            faults.append(f"{drop}: {error}")
    return _finding(faults, f"{len(drops)} pending drops have a usable header", f"{len(faults)} drops cannot be read")


def drops_present(entries: list[DropEntry]) -> Finding:
    """There is something to rank."""
    count = sum(entry.status is not Status.FORGOTTEN for entry in entries)
    return Finding(count > 0, f"{count} drops" if count else "no drops; put CSV files below the data root's datasets/")


def parquet_schema_matches(footers: Mapping[str, Footers]) -> Finding:
    """Every part file has exactly the contract's columns and types."""
    faults = [fault for found in footers.values() for fault in found.faults]
    return _finding(faults, "all part files have the contract's schema", f"{len(faults)} part files differ from it")


def files_as_written(footers: Mapping[str, Footers]) -> Finding:
    """The files of all drops are there and as they were written, as far as their stat tells; `uda verify` reads all."""
    faults = [fault for found in footers.values() for fault in found.damaged]
    sound = f"the files of all {len(footers)} drops are as they were written"
    broken = f"{len(faults)} files are damaged; where there is a raw file the next run makes them anew, see uda verify"
    return _finding(faults, sound, broken)


def records_accounted(manifests: Mapping[str, DropManifest], footers: Mapping[str, Footers]) -> Finding:
    """For each drop: records read = rows in its part files + rows in its quarantine, as their own footers say."""
    faults, total = [], 0
    for drop, told in manifests.items():
        kept, quarantined = footers[drop].kept, footers[drop].quarantined
        total += told.records
        if (told.records, told.kept, told.quarantined) != (kept + quarantined, kept, quarantined):
            faults.append(f"{drop}: {told.records} read, but {kept} kept and {quarantined} quarantined on disk")
    return _finding(faults, f"all {total} records are kept or quarantined", f"{len(faults)} drops do not add up")


def no_rejected_drops(entries: list[DropEntry]) -> Finding:
    """No drop was rejected whole."""
    faults = [f"{entry.drop}: {entry.reason}" for entry in entries if entry.status is Status.REJECTED]
    return _finding(faults, "no drop was rejected", f"{len(faults)} drops were rejected whole")


def reject_ratio_low(manifests: Mapping[str, DropManifest], limit: float) -> Finding:
    """No committed drop comes near ``limit``, the share of malformed records above which a drop is rejected."""
    faults = [
        f"{drop}: {manifest.quarantined} of {manifest.records} records"
        for drop, manifest in manifests.items()
        if manifest.records and manifest.quarantined / manifest.records > limit / 2
    ]
    return _finding(
        faults, f"all drops have under {limit / 2:.0%} malformed", f"{len(faults)} drops have more than that"
    )


def drop_volume_usual(manifests: Mapping[str, DropManifest]) -> Finding:
    """None of the latest drops is unusually small or large; see :mod:`uda_assets.pipeline.volume`."""
    faults = [str(fault) for fault in reversed(unusual_drops(manifests))]
    return _finding(
        faults,
        "the latest drops are as large as such drops usually are, as far as enough came before to tell",
        f"unusually small or large: {len(faults)} of the latest drops; were they delivered whole, and once?",
    )


def platforms_known(manifests: Mapping[str, DropManifest], platforms: Platforms) -> Finding:
    """No record was quarantined for its platform; where one was, a likely alias is suggested."""
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
    """No (platform, user_id, session_id) has two rows, among the sessions that the last change of them touched.

    The first build touches all; the others were verified when they were touched.
    """
    manifest = lake.sessions_manifest() or SessionsManifest()
    fresh = [segment for segment in manifest.segments if segment.path in manifest.fresh]
    touched = "" if len(fresh) == len(manifest.segments) else (
        f"SEMI JOIN (SELECT platform, key_hash FROM {contributions_relation(lake, fresh)}) USING (platform, key_hash)"
    )  # fmt: skip
    hashes = sessions_relation(lake, manifest, "platform, key_hash")
    # Equal keys have equal hashes, which are far cheaper to compare; the few suspects are then compared by key.
    suspects = f"SELECT key_hash FROM {hashes} {touched} GROUP BY platform, key_hash HAVING count(*) > 1"
    keys = sessions_relation(lake, manifest, "platform, user_id, session_id, key_hash")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE suspects AS {suspects}")
    (found,) = connection.execute("SELECT count(*) FROM suspects").fetchall()
    if not found[0]:
        return Finding(True, "every session has one row")
    query = f"""SELECT platform, user_id, session_id, count(*) FROM {keys} SEMI JOIN suspects USING (key_hash)
                GROUP BY platform, user_id, session_id HAVING count(*) > 1 LIMIT 20"""
    faults = [f"{row[:3]}: {row[3]} rows" for row in connection.execute(query).fetchall()]
    return _finding(faults, "every session has one row", "sessions with several rows")


def events_accounted(lake: Lake, connection: duckdb.DuckDBPyConnection) -> Finding:
    """Records kept over all drops = sum of ``events`` over sessions, both counted on disk."""
    manifest = lake.sessions_manifest()
    sessions = sessions_relation(lake, manifest)
    events = int((connection.execute(f"SELECT coalesce(sum(events), 0) FROM {sessions}").fetchone() or (0,))[0])
    merged = manifest.drops if manifest else {}
    kept = sum(found.kept for drop, found in read_footers(lake, lake.manifests()).items() if drop in merged)
    return Finding(events == kept, f"{kept} records kept, {events} events in sessions")


def leaderboard_well_formed(board: pl.DataFrame, n: int) -> Finding:
    """Columns and types, at most ``n`` rows a platform, by session_count descending then user_id ascending."""
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
    """Each day's leaderboard is well-formed."""
    findings = {day: leaderboard_well_formed(board, n) for day, board in boards.items()}
    faults = [f"{day}: {finding.summary}" for day, finding in findings.items() if not finding.passed]
    return _finding(faults, f"{len(boards)} days, each in order, at most {n} a platform", "days that are not in order")


def leaderboard_recounted(
    lake: Lake, connection: duckdb.DuckDBPyConnection, board: pl.DataFrame, window: Window
) -> Finding:
    """The listed users' sessions, counted again from what each drop knows of them, and not from the counts."""
    connection.register("board", board.to_arrow())
    query = f"""
        WITH started AS (
            SELECT platform, user_id, session_id, min(started_at) AS started_at
            FROM {contributions_relation(lake, (lake.sessions_manifest() or SessionsManifest()).segments)}
            SEMI JOIN board USING (platform, user_id) GROUP BY ALL),
        counted AS (SELECT platform, user_id, count(*) AS sessions FROM started WHERE {window.condition} GROUP BY ALL)
        SELECT platform, user_id, session_count, coalesce(sessions, 0)
        FROM board LEFT JOIN counted USING (platform, user_id)
        WHERE session_count IS DISTINCT FROM sessions LIMIT 20"""
    rows = connection.execute(query).fetchall()
    faults = [f"{platform} {user!r}: {listed} listed, {found} found" for platform, user, listed, found in rows]
    return _finding(faults, f"all {board.height} counts are confirmed", "counts that do not hold")
