"""The data dictionary: each public table, with the type, meaning and origin of its columns."""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """A column from which another column is derived.

    Attributes:
        table: Name of the asset that holds the column.
        column: Name of the column.
    """

    table: str
    column: str


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: Name of the column, in files and in the warehouse.
        kind: Type of the column, as Arrow spells it. Times are UTC.
        description: Meaning of the column, in Markdown.
        origins: The columns from which it is derived.
        nullable: Whether it can be null.
    """

    name: str
    kind: str
    description: str
    origins: tuple[Origin, ...] = ()
    nullable: bool = False


class Table(NamedTuple):
    """A table.

    Attributes:
        name: Name of the asset that the table is or belongs to.
        columns: Its columns, in order.
    """

    name: str
    columns: tuple[Column, ...]

    def origins(self) -> dict[str, tuple[Origin, ...]]:
        """Return the origins of each column by the name of the column."""
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
        Column("user_id", TEXT, "The user: any text. Surrounding white space is ignored."),
        Column("session_id", TEXT, "The session: any text, unique only together with platform and user."),
        Column("platform", TEXT, "The platform: any spelling in the platform table, such as `ios` or `IOS`."),
        Column(
            "activity_time",
            TEXT,
            "Time of the activity: ISO 8601, such as `2026-01-31T08:15:00Z`; UTC without an offset.",
        ),
        Column("activity_type", TEXT, "The kind of activity: any text."),
    ),
)
"""A record as delivered: the required columns of a CSV file, in any order. Further columns are ignored."""

RECORDS = Table(
    "platform_parquet",
    (
        Column("user_id", TEXT, "The user, trimmed.", _raw("user_id")),
        Column(
            "session_id", TEXT, "The session, trimmed; unique only together with platform and user.", _raw("session_id")
        ),
        Column("platform", TEXT, "The platform's canonical name, which is part of the file's path.", _raw("platform")),
        Column("activity_time", MOMENT, "Time of the activity, UTC.", _raw("activity_time")),
        Column("activity_type", TEXT, "The kind of activity, trimmed.", _raw("activity_type")),
    ),
)
"""An accepted record."""

QUARANTINE = Table(
    "platform_parquet",
    (
        Column("drop", TEXT, "The drop that contains the record."),
        Column("line", WHOLE, "The physical line on which the record starts; the header is line 1."),
        Column("reason", TEXT, "The rule that the record breaks; the first one if it breaks several."),
        Column(
            "raw", TEXT, "The line as it was delivered.", tuple(Origin(_ROOT, column.name) for column in RAW.columns)
        ),
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
            "started_at",
            MOMENT,
            "Time of its first record, UTC; windows and days select sessions by it.",
            _record("activity_time"),
        ),
        Column("ended_at", MOMENT, "Time of its last record, UTC.", _record("activity_time")),
        Column("events", WHOLE, "Number of records in the session.", _record("platform", "user_id", "session_id")),
    ),
)
"""A session."""

_BOARD = (
    Column("platform", TEXT, "The platform's canonical name.", _session("platform")),
    Column("user_id", TEXT, "One of the top N users of the platform.", _session("user_id")),
)

LEADERBOARD = Table(
    "top_n_by_platform",
    (
        *_BOARD,
        Column(
            "session_count", WHOLE, "Number of the user's sessions on the platform that started in the window, if any.",
            _session("session_id", "started_at"),
        ),
    ),
)  # fmt: skip
"""A row of the leaderboard, which is sorted by platform, descending session count and user ID."""

DAILY_LEADERBOARD = Table(
    "daily_top_n_by_platform",
    (
        *_BOARD,
        Column(
            "session_count", WHOLE, "Number of the user's sessions on the platform that started on the day (UTC).",
            _session("session_id", "started_at"),
        ),
    ),
)  # fmt: skip
"""A row of a daily leaderboard. The day is its partition, and a further first column ``day`` in the warehouse."""

DAY = Column("day", "date", "The day (UTC).")
"""The first column of the table of daily leaderboards in the warehouse."""

DROPS = Table(
    _ROOT,
    (
        Column("drop", TEXT, "The file's path below `datasets/`."),
        Column("status", TEXT, "`committed`, `rejected`, `pending`, `forgotten`, `vanished` or `ignored`."),
        Column(
            "records",
            WHOLE,
            "Number of records in the version of the drop that is in use; null if none is.",
            nullable=True,
        ),
        Column("kept", WHOLE, "Number of accepted records.", nullable=True),
        Column("quarantined", WHOLE, "Number of malformed records.", nullable=True),
        Column("reason", TEXT, "Why the drop was rejected as a whole, or is ignored, and what to do.", nullable=True),
        Column("fingerprint", TEXT, "Hash of the drop's content and of the rules that apply to it.", nullable=True),
        Column("converted_at", MOMENT, "Time at which that version was converted, UTC.", nullable=True),
        Column("supplier", TEXT, "The entry of `suppliers.toml` that matches its name, if any.", nullable=True),
    ),
)
"""A row of the drop ledger."""

TABLES = (RAW, RECORDS, QUARANTINE, SESSIONS, LEADERBOARD, DAILY_LEADERBOARD, DROPS)
