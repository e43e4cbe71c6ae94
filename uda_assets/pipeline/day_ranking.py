"""Who leads on each day.

For each day and platform, more users are kept than are published. The leaderboard of a day that a change touched then
follows from what is kept, and from the new counts of the users whose sessions have changed (a materialized top-k view,
Yi et al. 2003). All sessions of the day are counted again only when so many of the kept users have fallen back that
somebody else may belong on the leaderboard.
"""

from __future__ import annotations

import io
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl
from blake3 import blake3

from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.engines import Engine
from uda_assets.lake import DayRule, Lake, PartFile, PublishedDay, State
from uda_assets.lake.integrity import altered_files
from uda_assets.pipeline.change import units_of
from uda_assets.pipeline.units import DaysJob, TouchedDaysJob, Unit, rank_unit_days, rank_unit_touched_days
from uda_assets.warehouse.exclusion import ranked

BOARDS = pl.Schema({"day": pl.Date()} | dict(LEADERBOARD_SCHEMA))
"""The leaderboards of days as one table."""
KEPT = pl.Schema(dict(BOARDS) | {"is_all": pl.Boolean()})
"""The users that are kept. ``is_all`` says whether these are all users of their day and platform."""

_BOARD = ["day", "platform"]
_ORDER, _DESCENDING = [*_BOARD, "session_count", "user_id"], [False, False, True, False]
_PLACE = pl.int_range(pl.len()).over(_BOARD)
_MOST_SPARE = 1_000


class DayRanking:
    """Finds the users to keep.

    Args:
        engine: The engine that counts.
        lake: The data root.
        state: Its state.
        scratch: A directory on this machine for temporary files.
    """

    def __init__(self, engine: Engine, lake: Lake, state: State, scratch: Path) -> None:
        self._engine, self._lake, self._state, self._scratch = engine, lake, state, scratch
        self._units = units_of(state.sessions) if state.sessions else {}

    def kept(
        self, days: Mapping[date, PublishedDay], new: Collection[date], uncounted: Collection[date]
    ) -> pl.DataFrame:
        """Return the users to keep of all days, in their order.

        Args:
            days: The days.
            new: Those of them whose sessions may have changed.
            uncounted: Those of these of which all sessions must be counted.
        """
        before = self._read()
        to_count = set(uncounted) | (set(new) - set(before["day"]) if before is not None else days.keys())
        if self._is_a_touched_file_damaged():
            to_count |= set(new)
        updated = set(new) - to_count if self._state.touched else set()
        before = KEPT.to_frame() if before is None else before
        changed = [KEPT.to_frame()]
        for rule, chosen in _by_rule(days, updated):
            kept, doubtful = updated_boards(_only(before, chosen), self._count_touched(before, rule, chosen), rule.n)
            changed.append(_without(kept, doubtful))
            to_count |= doubtful
        changed += [self._count(rule, chosen) for rule, chosen in _by_rule(days, to_count)]
        return pl.concat([_without(before, updated | to_count), *changed]).sort(_ORDER, descending=_DESCENDING)

    def _read(self) -> pl.DataFrame | None:
        """Return the users that are kept so far, or None if their file is not as it was written."""
        file = self._state.kept
        if file is None:
            return None
        try:
            content = self._lake.files.read(self._lake.sessions / file.path)
        except OSError:
            return None
        is_sound = blake3(content).hexdigest() == file.checksum
        return pl.read_parquet(io.BytesIO(content)) if is_sound else None

    def _is_a_touched_file_damaged(self) -> bool:
        files = {self._lake.session_path(file.path): file.checksum for file in self._state.touched}
        return bool(altered_files(self._lake, files))

    def _count(self, rule: DayRule, days: list[date]) -> pl.DataFrame:
        """Count all sessions of days, and return the users to keep."""
        limit = _kept_users(rule.n)
        listed = ranked(rule.exclude_users)
        jobs = [DaysJob(self._lake.sessions, unit, days, limit + 1, listed) for unit in self._units.values()]
        found = _ranking(jobs, self._engine.run(rank_unit_days, jobs, self._scratch))
        return _first(found.with_columns(pl.lit(value=True).alias("was_all")), limit)

    def _count_touched(self, before: pl.DataFrame, rule: DayRule, days: list[date]) -> pl.DataFrame:
        """Return the new counts of users whose sessions on days have changed, so far as they matter."""
        touched: dict[tuple[str, int], list[PartFile]] = defaultdict(list)
        for file in self._state.touched:
            touched[file.platform, file.bucket].append(file)
        known: dict[str, list[tuple[date, str]]] = defaultdict(list)
        for day, platform, user in _only(before, days).select(*_BOARD, "user_id").iter_rows():
            known[platform].append((day, user))
        # A unit that has lost all its sessions is no longer among the others.
        jobs = [
            TouchedDaysJob(
                self._lake.sessions, self._units.get(key, Unit(*key, [], [], [], [])), files, days,
                _kept_users(rule.n) + 1, ranked(rule.exclude_users), known[key[0]],
            )
            for key, files in touched.items()
        ]  # fmt: skip
        return _ranking(jobs, self._engine.run(rank_unit_touched_days, jobs, self._scratch))


def updated_boards(before: pl.DataFrame, changed: pl.DataFrame, n: int) -> tuple[pl.DataFrame, set[date]]:
    """Bring the kept users of days up to date.

    Args:
        before: The users that were kept, in their order.
        changed: The new counts of users, in ``BOARDS``: the first of those that have changed, one more for each day and
            platform than are kept, and all that were kept, with 0 for one who has no sessions any more.
        n: The number of users on a leaderboard.

    Returns:
        The users to keep, and the days of which fewer than ``n`` are left although there may be more.
    """
    last = before.group_by(_BOARD, maintain_order=True).agg(
        pl.col("is_all").first().alias("was_all"),
        pl.col("session_count").last().alias("last_count"),
        pl.col("user_id").last().alias("last_user"),
    )
    unchanged = before.select(*BOARDS).join(changed, on=[*_BOARD, "user_id"], how="anti")
    present = pl.concat([unchanged, changed.filter(pl.col("session_count") > 0)])
    # Whoever was not kept comes after the last one that was. So nothing is known of who is there now.
    is_ahead = (pl.col("session_count") > pl.col("last_count")) | (
        (pl.col("session_count") == pl.col("last_count")) & (pl.col("user_id") <= pl.col("last_user"))
    )
    # Of a day and platform that had no users, all are among the changed ones.
    found = present.join(last, on=_BOARD, how="left").with_columns(pl.col("was_all").fill_null(value=True))
    found = found.filter(pl.col("was_all") | is_ahead)
    kept = _first(found.select(*BOARDS, "was_all"), _kept_users(n))
    size = kept.group_by(_BOARD).agg(pl.len().alias("size"))
    short = last.filter(~pl.col("was_all")).join(size, on=_BOARD, how="left").filter(pl.col("size").fill_null(0) < n)
    return kept, set(short["day"])


def write_kept(lake: Lake, kept: pl.DataFrame) -> PartFile:
    """Write the users to keep into a new file of the sessions."""
    buffer = io.BytesIO()
    kept.write_parquet(buffer)
    content = buffer.getvalue()
    path = f"days/{uuid.uuid4().hex}.parquet"
    lake.files.note(lake.sessions / path, content)
    return PartFile(path, platform="", rows=kept.height, checksum=blake3(content).hexdigest())


def boards_of(kept: pl.DataFrame, days: Mapping[date, PublishedDay]) -> pl.DataFrame:
    """Return the leaderboards of days, in ``BOARDS``: the first of the users that are kept."""
    sizes = pl.DataFrame(
        {"day": list(days), "n": [day.rule.n for day in days.values()]}, {"day": pl.Date(), "n": pl.Int64()}
    )
    return kept.join(sizes, on="day", maintain_order="left").filter(pl.col("n") > _PLACE).select(*BOARDS)


def _kept_users(n: int) -> int:
    return n + min(n, _MOST_SPARE)


def _first(ranking: pl.DataFrame, limit: int) -> pl.DataFrame:
    """Return the first users of each day and platform, in ``KEPT``.

    Args:
        ranking: Users in ``BOARDS``, and in a column ``was_all`` whether all of their day and platform were looked at.
        limit: The number of users to keep of each day and platform.
    """
    is_all = pl.col("was_all") & (pl.len().over(_BOARD) <= limit)
    ordered = ranking.sort(_ORDER, descending=_DESCENDING).with_columns(is_all.alias("is_all"))
    return ordered.select(*KEPT).filter(limit > _PLACE)


def _ranking(jobs: Sequence[DaysJob | TouchedDaysJob], found: Iterable[list[tuple[date, str, int]]]) -> pl.DataFrame:
    answers = zip(jobs, found, strict=True)
    rows = [(day, job.unit.platform, user, count) for job, answer in answers for day, user, count in answer]
    return pl.DataFrame(rows, schema=BOARDS, orient="row")


def _by_rule(days: Mapping[date, PublishedDay], chosen: Iterable[date]) -> Iterable[tuple[DayRule, list[date]]]:
    found: dict[DayRule, list[date]] = defaultdict(list)
    for day in sorted(chosen):
        found[days[day].rule].append(day)
    return found.items()


def _only(kept: pl.DataFrame, days: Iterable[date]) -> pl.DataFrame:
    return kept.join(_frame(days), on="day", how="semi", maintain_order="left")


def _without(kept: pl.DataFrame, days: Iterable[date]) -> pl.DataFrame:
    return kept.join(_frame(days), on="day", how="anti", maintain_order="left")


def _frame(days: Iterable[date]) -> pl.DataFrame:
    return pl.DataFrame({"day": list(days)}, schema={"day": pl.Date()})
