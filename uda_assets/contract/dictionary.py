"""The data dictionary: every table that people meet, with the type, the meaning and the origin of each column."""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """A column of another table that a column is made from; ``table`` is the name of the asset that holds it."""

    table: str
    column: str


class Column(NamedTuple):
    """One column.

    Attributes:
        name: As in files and in the warehouse.
        kind: Its type, as Arrow spells it; times are UTC.
        description: What it means, in Markdown.
        origins: What it is made from.
        nullable: Whether it can be empty.

    """

    name: str
    kind: str
    description: str
    origins: tuple[Origin, ...] = ()
    nullable: bool = False


class Table(NamedTuple):
    """A table: the name of the asset that it is (or belongs to), and its columns in order."""

    name: str
    columns: tuple[Column, ...]

    def origins(self) -> dict[str, tuple[Origin, ...]]:
        """What each column is made from."""
        return {column.name: column.origins for column in self.columns}


TEXT, WHOLE, MOMENT = "string", "int64", "timestamp[us, UTC]"

_ROOT = "raw_csv"


def _raw(column: str) -> tuple[Origin, ...]:
    return (Origin(_ROOT, column),)


def _record(*columns: str) -> tuple[Origin, ...]:
    return tuple(Origin("platform_parquet", column) for column in columns)


def _session(*columns: str) -> tuple[Origin, ...]:
    return tuple(Origin("deduped_sessions", column) for column in columns)


RAW = Table(
    _ROOT,
    (
        Column("user_id", TEXT, "Who did it: any text, compared as it is once surrounding white space is trimmed."),
        Column("session_id", TEXT, "Which visit it belongs to; unique together with platform and user."),
        Column("platform", TEXT, "Where: any spelling that the platform table knows, such as `ios` or `IOS`."),
        Column("activity_time", TEXT, "When: ISO 8601, such as `2026-01-31T08:15:00Z`; without an offset it is UTC."),
        Column("activity_type", TEXT, "What was done; any text."),
    ),
)
"""A record as it is delivered: the required columns of a CSV file, in any order; further columns are ignored."""

RECORDS = Table(
    "platform_parquet",
    (
        Column("user_id", TEXT, "The user, trimmed.", _raw("user_id")),
        Column("session_id", TEXT, "The session, trimmed; unique together with platform and user.", _raw("session_id")),
        Column("platform", TEXT, "The platform's canonical name; it stands in the files' paths.", _raw("platform")),
        Column("activity_time", MOMENT, "When it happened, UTC.", _raw("activity_time")),
        Column("activity_type", TEXT, "What was done, trimmed.", _raw("activity_type")),
    ),
)
"""An accepted record."""

QUARANTINE = Table(
    "platform_parquet",
    (
        Column("drop", TEXT, "The drop that the record came in."),
        Column("line", WHOLE, "The physical line on which it starts; the header is line 1."),
        Column("reason", TEXT, "Which rule it breaks; the first one, where it breaks several."),
        Column("raw", TEXT, "The line as it was delivered.", tuple(Origin(_ROOT, one.name) for one in RAW.columns)),
    ),
)
"""A malformed record."""

SESSIONS = Table(
    "deduped_sessions",
    (
        Column("platform", TEXT, "The platform's canonical name.", _record("platform")),
        Column("user_id", TEXT, "The user.", _record("user_id")),
        Column("session_id", TEXT, "The session; one row for each platform, user and session.", _record("session_id")),
        Column(
            "started_at", MOMENT, "Time of its first record, UTC; to this moment it belongs.", _record("activity_time")
        ),
        Column("ended_at", MOMENT, "Time of its last record, UTC.", _record("activity_time")),
        Column("events", WHOLE, "How many records it has.", _record("platform", "user_id", "session_id")),
    ),
)
"""A session."""

_BOARD = (
    Column("platform", TEXT, "The platform's canonical name.", _session("platform")),
    Column("user_id", TEXT, "A user among the first N of the platform.", _session("user_id")),
)

LEADERBOARD = Table(
    "top_n_by_platform",
    (
        *_BOARD,
        Column(
            "session_count", WHOLE, "The user's unique sessions on the platform that started in the window, if any.",
            _session("session_id", "started_at"),
        ),
    ),
)  # fmt: skip
"""A line of the leaderboard, by platform, then most sessions first, then user id."""

DAILY_LEADERBOARD = Table(
    "daily_top_n_by_platform",
    (
        *_BOARD,
        Column(
            "session_count", WHOLE, "The user's unique sessions on the platform that started on the day (UTC).",
            _session("session_id", "started_at"),
        ),
    ),
)  # fmt: skip
"""A line of a day's leaderboard; the day is the partition, and a first column ``day`` in the warehouse."""

DAY = Column("day", "date", "The day (UTC).")
"""The first column of the daily leaderboards' table in the warehouse."""

DROPS = Table(
    _ROOT,
    (
        Column("drop", TEXT, "The file's path below `datasets/`."),
        Column("status", TEXT, "`committed`, `rejected`, `pending`, `forgotten` or `vanished`."),
        Column(
            "records",
            WHOLE,
            "Records that were read from the version of it that counts; none where none does.",
            nullable=True,
        ),
        Column("kept", WHOLE, "Those that were accepted.", nullable=True),
        Column("quarantined", WHOLE, "Those that are malformed.", nullable=True),
        Column("reason", TEXT, "Why it was rejected whole, and what to do.", nullable=True),
        Column("fingerprint", TEXT, "Hash of its content and of the rules that apply to it.", nullable=True),
        Column("converted_at", MOMENT, "When that version was converted, UTC.", nullable=True),
    ),
)
"""A line of the drop ledger."""

TABLES = (RAW, RECORDS, QUARANTINE, SESSIONS, LEADERBOARD, DAILY_LEADERBOARD, DROPS)
