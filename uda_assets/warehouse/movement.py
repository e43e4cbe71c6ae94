"""Rank movement as SQL over two leaderboards: users are new, up, down, the same, or out.

A user on both leaderboards moved up or down or stayed the same, however long the two leaderboards are. A user on only
one of them is new or out only if the other one is long enough to show it: after N is raised from 7 to 50, nobody knows
whether today's rank 12 is new, and after N is lowered nobody is out for that reason alone. Such users get no row.
Leaderboards with different windows are compared too: their ranks are those that were asked for at the time.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from uda_assets.warehouse.ranking import Window

MOVEMENT_COLUMNS: dict[str, type] = {
    "against": str,
    "platform": str,
    "user_id": str,
    "rank": int,
    "previous_rank": int,
    "session_count": int,
    "previous_count": int,
    "movement": str,
}
_SQL = {str: "VARCHAR", int: "BIGINT"}
MOVEMENT_TABLE = ", ".join(f"{name} {_SQL[kind]}" for name, kind in MOVEMENT_COLUMNS.items())
"""``MOVEMENT_COLUMNS`` as the columns of an SQL table."""


class Against(StrEnum):
    """The leaderboard that the published one is compared with."""

    PUBLICATION = "previous publication"
    PERIOD = "previous period"


class Ranking(NamedTuple):
    """A leaderboard to compare.

    Attributes:
        board: An SQL relation ``platform, user_id, session_count``.
        n: The largest number of users per platform on the leaderboard.
        counts: An SQL relation with the same columns for all users, or None if their counts are unknown.
    """

    board: str
    n: int
    counts: str | None = None


def period_before(window: Window) -> Window | None:
    """Return the window of the same length that ends where this one starts.

    None if the window lacks an end, or if the result would start before year 1.
    """
    if window.since is None or window.until is None:
        return None
    try:
        return Window(window.since - (window.until - window.since), window.since)
    except OverflowError:
        return None


def movement(against: Against, now: Ranking, before: Ranking) -> str:
    """Return SQL for the movement from one leaderboard to another, in ``MOVEMENT_COLUMNS``.

    ``session_count`` and ``previous_count`` are also set for a user who is not on the respective leaderboard, if the
    counts are known. Rows are sorted by platform and rank; users who are out come last.
    """
    return f"""
        WITH later AS ({_ranked(now.board)}), earlier AS ({_ranked(before.board)}),
        later_full AS (SELECT platform FROM later GROUP BY platform HAVING count(*) >= {int(now.n)}),
        earlier_full AS (SELECT platform FROM earlier GROUP BY platform HAVING count(*) >= {int(before.n)}),
        compared AS (
            SELECT platform, user_id, later.rank AS rank, earlier.rank AS previous_rank, later.session_count,
                   earlier.session_count AS previous_count
            FROM later FULL JOIN earlier USING (platform, user_id)
            WHERE CASE
                WHEN later.rank IS NULL
                THEN earlier.rank <= {int(now.n)} OR platform NOT IN (SELECT platform FROM later_full)
                WHEN earlier.rank IS NULL
                THEN later.rank <= {int(before.n)} OR platform NOT IN (SELECT platform FROM earlier_full)
                ELSE true END)
        SELECT '{against.value}', platform, user_id, rank, previous_rank,
               coalesce(compared.session_count, {_fallback_counts("gone", now)}) AS session_count,
               coalesce(compared.previous_count, {_fallback_counts("came", before)}) AS previous_count,
               CASE WHEN rank IS NULL THEN 'out' WHEN previous_rank IS NULL THEN 'new'
                    WHEN rank < previous_rank THEN 'up' WHEN rank > previous_rank THEN 'down' ELSE 'same' END
        FROM compared
        LEFT JOIN ({_counts_off_board("rank", now)}) AS gone USING (platform, user_id)
        LEFT JOIN ({_counts_off_board("previous_rank", before)}) AS came USING (platform, user_id)
        ORDER BY platform, rank NULLS LAST, previous_rank"""


def _ranked(board: str) -> str:
    order = "PARTITION BY platform ORDER BY session_count DESC, user_id"
    return f"SELECT platform, user_id, session_count, row_number() OVER ({order}) AS rank FROM {board}"


def _counts_off_board(rank_column: str, ranking: Ranking) -> str:
    """Return SQL for the counts of the compared users who have no rank on a leaderboard."""
    if ranking.counts is None:
        return "SELECT platform, user_id, NULL::BIGINT AS session_count FROM compared WHERE false"
    users = f"(SELECT platform, user_id FROM compared WHERE {rank_column} IS NULL)"
    return f"SELECT platform, user_id, session_count FROM {ranking.counts} SEMI JOIN {users} USING (platform, user_id)"


def _fallback_counts(relation: str, ranking: Ranking) -> str:
    """Return SQL for what replaces a missing count: NULL if counts are unknown, 0 for a user without sessions."""
    return "NULL" if ranking.counts is None else f"{relation}.session_count, 0"
