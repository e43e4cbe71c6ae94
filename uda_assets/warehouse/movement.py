"""Rank movement: who is new on a leaderboard, who rose, fell, stayed or left, as SQL over two leaderboards.

Ranks are compared as far as both leaderboards tell them. A user who is on both has risen, fallen or stayed, however
long the two are. One who is on one of them alone is new, or out, only if the other is long enough to show that: with
N raised from 7 to 50, nobody knows whether today's rank 12 is new, and with N lowered nobody is out for that alone;
such users have no row. Where the window was changed between two publications, ranks are compared all the same: they
are those of the sessions that were asked for then and now.
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
"""The same, as SQL declares them."""


class Against(StrEnum):
    """What a leaderboard is compared with."""

    PUBLICATION = "previous publication"
    PERIOD = "previous period"


class Ranking(NamedTuple):
    """A leaderboard to compare.

    Attributes:
        board: A relation of ``platform, user_id, session_count``.
        n: How many users a platform it has room for.
        counts: The sessions of all users, in the same columns, where they are known.

    """

    board: str
    n: int
    counts: str | None = None


def period_before(window: Window) -> Window | None:
    """The window of the same length that ends where this one starts; None without both ends, or before year 1."""
    if window.since is None or window.until is None:
        return None
    try:
        return Window(window.since - (window.until - window.since), window.since)
    except OverflowError:
        return None


def movement(against: Against, now: Ranking, before: Ranking) -> str:
    """SQL for the movement from one leaderboard to another, in ``MOVEMENT_COLUMNS``.

    ``session_count`` and ``previous_count`` are a user's sessions even where he is not on the leaderboard, as far as
    they are known. Rows are in order of platform and rank, and those who are out come last.
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
               coalesce(compared.session_count, {_known("gone", now)}) AS session_count,
               coalesce(compared.previous_count, {_known("came", before)}) AS previous_count,
               CASE WHEN rank IS NULL THEN 'out' WHEN previous_rank IS NULL THEN 'new'
                    WHEN rank < previous_rank THEN 'up' WHEN rank > previous_rank THEN 'down' ELSE 'same' END
        FROM compared
        LEFT JOIN ({_counts_of("rank", now)}) AS gone USING (platform, user_id)
        LEFT JOIN ({_counts_of("previous_rank", before)}) AS came USING (platform, user_id)
        ORDER BY platform, rank NULLS LAST, previous_rank"""


def _ranked(board: str) -> str:
    order = "PARTITION BY platform ORDER BY session_count DESC, user_id"
    return f"SELECT platform, user_id, session_count, row_number() OVER ({order}) AS rank FROM {board}"


def _counts_of(missing: str, ranking: Ranking) -> str:
    """The counts of those compared who are not on a leaderboard."""
    if ranking.counts is None:
        return "SELECT platform, user_id, NULL::BIGINT AS session_count FROM compared WHERE false"
    asked = f"(SELECT platform, user_id FROM compared WHERE {missing} IS NULL)"
    return f"SELECT platform, user_id, session_count FROM {ranking.counts} SEMI JOIN {asked} USING (platform, user_id)"


def _known(joined: str, ranking: Ranking) -> str:
    """Without counts nothing is known; with them, a user who has none has no session."""
    return "NULL" if ranking.counts is None else f"{joined}.session_count, 0"
