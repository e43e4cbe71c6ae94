"""What a report says of suppliers, of files that nobody reads, and of users who are left out."""

from __future__ import annotations

from typing import Any

import duckdb
import msgspec

from uda_assets.report.text import Shortened, shortened_sql, shown

MOST_SUPPLIERS = 100
MOST_IGNORED = 100
MOST_EXCLUDED = 100
_LONGEST_ADVICE = 400


class SupplierRow(msgspec.Struct, frozen=True):
    """The drops of a supplier that count, with their records. Drops that no entry matches have no name."""

    supplier: str
    drops: int
    records: int
    kept: int
    quarantined: int


class IgnoredFile(msgspec.Struct, frozen=True):
    """A file below ``datasets/`` that is not a drop, and why."""

    file: str
    reason: str


class ExcludedRow(msgspec.Struct, frozen=True):
    """A user who is left out of the leaderboard, by which pattern, with the sessions that count for nothing."""

    pattern: str
    platform: str
    user: str
    sessions: int


class Sources(msgspec.Struct, kw_only=True):
    """Whose records count, and what does not.

    Attributes:
        suppliers: The suppliers by records, up to ``MOST_SUPPLIERS``; empty if suppliers.toml names none.
        ignored: Files that are no drops, up to ``MOST_IGNORED``.
        ignored_files: Number of all of them.
        excluded: Users who are left out, those with the most sessions first, up to ``MOST_EXCLUDED``.
        excluded_users: Number of all of them.
    """

    suppliers: list[SupplierRow]
    ignored: list[IgnoredFile]
    ignored_files: int
    excluded: list[ExcludedRow]
    excluded_users: int


def read_sources(connection: duckdb.DuckDBPyConnection) -> Sources:
    """Return what the published warehouse says of suppliers, ignored files and excluded users."""

    def rows(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query).fetchall()

    suppliers = rows(f"""
        SELECT coalesce(supplier, '') AS supplier, count(*), coalesce(sum(records), 0)::BIGINT AS records,
               coalesce(sum(kept), 0)::BIGINT, coalesce(sum(quarantined), 0)::BIGINT
        FROM drops WHERE status IN ('committed', 'vanished') GROUP BY 1
        ORDER BY records DESC, 1 LIMIT {MOST_SUPPLIERS}""")
    ignored = rows(f"""
        SELECT {shortened_sql("drop")}, {shortened_sql("reason", _LONGEST_ADVICE)} FROM drops
        WHERE status = 'ignored' ORDER BY drop LIMIT {MOST_IGNORED}""")
    excluded = rows(f"""
        SELECT {shortened_sql("pattern")}, {shortened_sql("platform")}, {shortened_sql("user_id")}, session_count
        FROM excluded_users ORDER BY session_count DESC, platform, user_id LIMIT {MOST_EXCLUDED}""")
    (ignored_files,) = rows("SELECT count(*) FROM drops WHERE status = 'ignored'")[0]
    (excluded_users,) = rows("SELECT count(*) FROM excluded_users")[0]
    are_named = any(row[0] for row in suppliers)
    return Sources(
        suppliers=[SupplierRow(shown(row[0]), *row[1:]) for row in suppliers] if are_named else [],
        ignored=[IgnoredFile(_text(row[:3]), _text(row[3:]).removeprefix("ignored: ")) for row in ignored],
        ignored_files=ignored_files,
        excluded=[ExcludedRow(_text(row[:3]), _text(row[3:6]), _text(row[6:9]), row[9]) for row in excluded],
        excluded_users=excluded_users,
    )


def _text(row: tuple[Any, ...]) -> str:
    return Shortened(*row).shown()
