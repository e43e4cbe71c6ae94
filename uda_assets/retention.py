"""How long the history of runs is kept: which of them may go, whatever keeps them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from itertools import islice


def kept_since(now: datetime, days: float) -> datetime | None:
    """The moment from which on finished runs are kept; None for 0 days, or more than the calendar has: all are."""
    try:
        return now - timedelta(days=days) if days else None
    except OverflowError:
        return None


def removable(ended: Iterable[str], needed: Collection[str], is_ours: Callable[[str], bool], limit: int) -> list[str]:
    """The runs to remove now: of those that are past their time, at most ``limit`` to which nothing refers.

    Args:
        ended: Ids of finished runs that are past their time, in the order in which they should go.
        needed: Ids of runs that the state of an asset, a check or a job is told by.
        is_ours: Whether a run is one of this project's; asked only of those that would go.
        limit: So many are enough for once.

    """
    return list(islice((run for run in ended if run not in needed and is_ours(run)), limit))
