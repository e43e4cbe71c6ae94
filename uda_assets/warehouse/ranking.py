"""Windows, session counts and leaderboards as SQL over a relation of sessions."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from uda_assets.warehouse.exclusion import EVERYONE

DAY_OF_START = "make_timestamp(epoch_us(started_at))::DATE"
"""The day (UTC) on which a session started, as SQL that needs no time zone."""
_LARGEST_HEAP = 10_000
"""For a larger N, sorting all users costs no more than finding the largest counts first."""


class Window(NamedTuple):
    """The sessions that started in ``[since, until)``; None means unbounded."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def bounded(self) -> bool:
        """Whether the window has an end that can exclude sessions."""
        return self.since is not None or self.until is not None

    @property
    def condition(self) -> str:
        """The window as an SQL condition on ``started_at``."""
        parts = []
        if self.since:
            parts.append(f"started_at >= TIMESTAMPTZ '{self.since.isoformat()}'")
        if self.until:
            parts.append(f"started_at < TIMESTAMPTZ '{self.until.isoformat()}'")
        return " AND ".join(parts) or "true"


def count_sessions(sessions: str, window: Window) -> str:
    """Return SQL that counts a window's sessions by platform and user, from a relation in ``SESSION_SCHEMA``."""
    return (
        f"SELECT platform, user_id, count(*) AS session_count FROM {sessions} WHERE {window.condition} "
        "GROUP BY platform, user_id"
    )


def rank(counts: str, n: int, ranked: str = EVERYONE) -> str:
    """Return SQL for the leaderboard: the top ``n`` users of each platform by session count, ties by user_id.

    Only the few users who reach their platform's n-th largest count are sorted. ``ranked`` is the condition of users
    who may be listed.
    """
    return _top(f"SELECT platform, user_id, session_count FROM {counts} WHERE {ranked}", "platform", n)


def _top(counted: str, group: str, n: int) -> str:
    """Return SQL for the top ``n`` users of each group, from a query ``<group>, user_id, session_count``."""
    n = int(n)
    largest = f"unnest(max(session_count, {min(n, _LARGEST_HEAP)})) AS session_count"
    return f"""
        WITH counted AS MATERIALIZED ({counted}),
        largest AS (SELECT {group}, {largest} FROM counted GROUP BY {group}),
        least AS (SELECT {group}, min(session_count) AS needed FROM largest GROUP BY {group} HAVING count(*) = {n})
        SELECT {group}, user_id, session_count
        FROM counted LEFT JOIN least USING ({group}) WHERE session_count >= coalesce(needed, 0)
        QUALIFY row_number() OVER (PARTITION BY {group} ORDER BY session_count DESC, user_id) <= {n}
        ORDER BY {group}, session_count DESC, user_id"""


def leaderboard(sessions: str, n: int, window: Window, ranked: str = EVERYONE) -> str:
    """Return SQL for the leaderboard of a relation of sessions."""
    return rank(f"({count_sessions(sessions, window)})", n, ranked)


def rank_alone(counts: str, n: int, ranked: str = EVERYONE) -> str:
    """Return SQL for the top ``n`` users (``user_id, session_count``) from the counts of a single platform.

    For a single platform DuckDB can skip rows that cannot be among the first ``n``: nearly all of a file that is sorted
    by count.
    """
    return (
        f"SELECT user_id, session_count FROM {counts} WHERE {ranked} "
        f"ORDER BY session_count DESC, user_id LIMIT {int(n)}"
    )


def rank_days(sessions: str, n: int, days: Collection[date], ranked: str = EVERYONE) -> str:
    """Return SQL for the leaderboards of some days (UTC), of which there is at least one.

    Its columns are ``day`` and those of a leaderboard, sorted by day, platform and rank. The sessions are read once.
    """
    return _top(_count_days(sessions, "platform, ", days, ranked), "day, platform", n)


def rank_days_alone(sessions: str, n: int, days: Collection[date], ranked: str = EVERYONE) -> str:
    """Return SQL for the top ``n`` users of some days (``day, user_id, session_count``) on a single platform."""
    return _top(_count_days(sessions, "", days, ranked), "day", n)


def rank_touched_days(sessions: str, n: int, days: Collection[date]) -> str:
    """Return SQL for those users of a single platform whose sessions on some days have changed.

    It takes them from a table ``touched`` of days and users, and those that were listed before from a table ``listed``.

    Returns:
        A query ``day, user_id, session_count`` for the top ``n`` touched users of each day, and for all listed ones.
    """
    counted = f"""
        SELECT day, user_id, count(*) AS session_count FROM (
            SELECT {DAY_OF_START} AS day, user_id FROM {sessions} SEMI JOIN touched USING (user_id)
            WHERE {_around(days)})
        SEMI JOIN touched USING (day, user_id) GROUP BY ALL"""
    return f"""
        WITH counts AS MATERIALIZED ({counted})
        SELECT * FROM ({_top("FROM counts", "day", n)})
        UNION SELECT day, user_id, coalesce(session_count, 0)
        FROM listed SEMI JOIN touched USING (day, user_id) LEFT JOIN counts USING (day, user_id)"""


def among_days(column: str, days: Collection[date]) -> str:
    """Return the SQL condition that a column is one of some days, of which there is at least one."""
    listed = ", ".join(f"DATE '{day.isoformat()}'" for day in sorted(days))
    return f"{column} IN ({listed})"


def _around(days: Collection[date]) -> str:
    """Return the SQL condition that a session started between the first and the last of some days.

    It lets DuckDB skip what lies outside.
    """
    until = _midnight(max(days) + timedelta(days=1)) if max(days) < date.max else None
    return Window(_midnight(min(days)), until).condition


def _count_days(sessions: str, platform: str, days: Collection[date], ranked: str) -> str:
    has_gaps = len(days) <= (max(days) - min(days)).days
    chosen = f"AND {among_days(DAY_OF_START, days)}" if has_gaps else ""
    # Otherwise DuckDB would count the sessions twice.
    return f"""
        SELECT * FROM (
            SELECT {DAY_OF_START} AS day, {platform}user_id, count(*) AS session_count
            FROM {sessions} WHERE {_around(days)} AND {ranked} {chosen} GROUP BY ALL)"""


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
