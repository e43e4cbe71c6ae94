"""The contents of the published warehouse."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import duckdb
import polars as pl

from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.lake import ExcludedUser, PublishedBoard, SessionsManifest, State
from uda_assets.pipeline.change import units_of
from uda_assets.pipeline.context import Run
from uda_assets.pipeline.day_ranking import DayRanking, boards_of
from uda_assets.pipeline.days import Days, by_day, fill_days
from uda_assets.pipeline.history import load_board
from uda_assets.pipeline.status import DropEntry
from uda_assets.pipeline.units import RankJob, rank_unit
from uda_assets.warehouse.exclusion import excluded_by, patterns_of, ranked
from uda_assets.warehouse.lookup import counts_within, quarantine_relation
from uda_assets.warehouse.movement import MOVEMENT_TABLE, Against, Ranking, movement, period_before
from uda_assets.warehouse.ranking import Window, rank
from uda_assets.warehouse.relations import SESSIONS, sessions_in

_DROPS_SCHEMA: dict[str, pl.DataType] = {
    "drop": pl.String(),
    "status": pl.String(),
    "records": pl.Int64(),
    "kept": pl.Int64(),
    "quarantined": pl.Int64(),
    "reason": pl.String(),
    "fingerprint": pl.String(),
    "converted_at": pl.Datetime("us", "UTC"),
    "supplier": pl.String(),
}


_EXCLUDED = "pattern VARCHAR, platform VARCHAR, user_id VARCHAR, session_count BIGINT"
_MOST_EXCLUDED = 1_000
"""Excluded users that the publication names; the warehouse has all of them."""


class WarehouseFile:
    """Fills the file of a new warehouse.

    Args:
        connection: The new database.
        run: The run that publishes it.
        state: The state that is published.
        scratch: A directory on this machine for temporary files.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, run: Run, state: State, scratch: Path) -> None:
        self._connection, self._run, self._state, self._scratch = connection, run, state, scratch
        self._manifest = state.sessions or SessionsManifest()
        self._lake = run.lake

    def _fill_sessions(self) -> None:
        """Make the views ``sessions`` and ``session_counts``."""
        sessions = sessions_in(self._lake.sessions, self._manifest)
        self._connection.execute(f"CREATE VIEW sessions AS SELECT {SESSIONS} FROM {sessions}")
        self._fill_counts("session_counts", Window(self._run.settings.since, self._run.settings.until))

    def _fill_counts(self, name: str, window: Window, temporary: str = "") -> None:
        # Counts of all time are a view over the files that the lake keeps up to date. Counts within a window are a
        # table, unless there is a cluster: then they are too many for one process.
        kind = "TABLE" if window.bounded and not self._run.engine.elsewhere else "VIEW"
        counts = counts_within(self._lake, self._manifest, window)
        self._connection.execute(f"CREATE {temporary} {kind} {name} AS SELECT * FROM {counts}")

    def fill_leaderboard(self) -> pl.DataFrame:
        """Make the sessions and the table ``top_n_by_platform``, and return the leaderboard."""
        self._fill_sessions()
        window = Window(self._run.settings.since, self._run.settings.until)
        self._rank("top_n_by_platform", "session_counts", window)
        top = self._connection.sql("FROM top_n_by_platform ORDER BY platform, session_count DESC, user_id")
        return pl.DataFrame(top.pl())

    def _rank(self, table: str, counts: str, window: Window, temporary: str = "") -> None:
        candidates = counts
        if self._run.engine.elsewhere:
            candidates = "candidates"
            self._connection.register(candidates, self._candidates(window).to_arrow())
        query = rank(candidates, self._run.settings.n, ranked(self._run.settings.exclude_users))
        self._connection.execute(f"CREATE {temporary} TABLE {table} AS {query}")
        if self._run.engine.elsewhere:
            self._connection.unregister(candidates)

    def _candidates(self, window: Window) -> pl.DataFrame:
        """Return the first users of each unit. The first users of each platform are among them."""
        units = units_of(self._manifest).values()
        n, listed = self._run.settings.n, ranked(self._run.settings.exclude_users)
        jobs = [RankJob(self._lake.sessions, unit, window, n, listed) for unit in units]
        found = self._run.engine.run(rank_unit, jobs, self._scratch)
        rows = [(job.unit.platform, *row) for job, unit_rows in zip(jobs, found, strict=True) for row in unit_rows]
        return pl.DataFrame(rows, schema=LEADERBOARD_SCHEMA, orient="row")

    def fill_excluded(self) -> list[ExcludedUser]:
        """Make the table ``excluded_users``: who is left out of the leaderboard, by which pattern.

        Returns:
            The ones with the most sessions.
        """
        self._connection.execute(f"CREATE TABLE excluded_users ({_EXCLUDED})")
        for pattern in patterns_of(self._run.settings.exclude_users):
            self._connection.execute(
                f"INSERT INTO excluded_users SELECT $pattern, platform, user_id, session_count FROM session_counts "
                f"WHERE {excluded_by(pattern)} AND (platform, user_id) NOT IN (SELECT (platform, user_id) FROM "
                "excluded_users)",
                {"pattern": pattern},
            )
        order = "ORDER BY session_count DESC, platform, user_id"
        rows = self._connection.execute(f"FROM excluded_users {order} LIMIT {_MOST_EXCLUDED}").fetchall()
        return [ExcludedUser(*row) for row in rows]

    def fill_ledger(self, drops: Iterable[DropEntry]) -> None:
        """Make the table ``drops`` and the view ``quarantine``."""
        ledger = drops_frame(drops).to_arrow()
        self._connection.register("ledger", ledger)
        self._connection.execute("CREATE TABLE drops AS SELECT * FROM ledger ORDER BY drop")
        self._connection.unregister("ledger")
        quarantined = quarantine_relation(self._lake, self._state)
        self._connection.execute(f"CREATE VIEW quarantine AS SELECT * FROM {quarantined}")

    def fill_days(self, days: Days) -> tuple[pl.DataFrame, dict[date, pl.DataFrame]]:
        """Make the table of daily leaderboards.

        Returns:
            The users who lead on each day, more than are published, and the leaderboards that are new, by day.
        """
        kept = DayRanking(self._run.engine, self._lake, self._state, self._scratch).kept(
            days.all, days.new, days.uncounted
        )
        table = boards_of(kept, days.all)
        fill_days(self._connection, table)
        return kept, by_day(table, days.new)

    def fill_publication(self, board: PublishedBoard, previous: PublishedBoard | None) -> None:
        """Make the table ``publication``: the parameters of this leaderboard, and of the one it is compared with."""
        self._connection.execute("""
            CREATE TABLE publication (leaderboard VARCHAR, generation BIGINT, n BIGINT, since TIMESTAMPTZ,
                                      until TIMESTAMPTZ, published_at TIMESTAMPTZ)""")
        for name, generation, shown in (("published", self._manifest.generation, board), ("previous", None, previous)):
            if shown:
                row = [name, generation, shown.n, shown.since, shown.until, shown.published_at]
                self._connection.execute("INSERT INTO publication VALUES (?, ?, ?, ?, ?, ?)", row)

    def fill_movement(self, board: PublishedBoard, previous: PublishedBoard | None) -> None:
        """Make the table ``rank_movement``. A comparison without an earlier leaderboard has no rows."""
        connection = self._connection
        connection.execute(f"CREATE TABLE rank_movement ({MOVEMENT_TABLE})")
        listed = ranked(self._run.settings.exclude_users)
        now = Ranking("top_n_by_platform", board.n, f"(SELECT * FROM session_counts WHERE {listed})")
        if previous and load_board(connection, self._lake, previous, "previous_board"):
            before = Ranking("previous_board", previous.n)
            connection.execute(f"INSERT INTO rank_movement {movement(Against.PUBLICATION, now, before)}")
        if earlier := period_before(Window(board.since, board.until)):
            self._fill_counts("earlier_counts", earlier, "TEMP")
            self._rank("earlier_board", "earlier_counts", earlier, "TEMP")
            before = Ranking("earlier_board", board.n, f"(SELECT * FROM earlier_counts WHERE {listed})")
            connection.execute(f"INSERT INTO rank_movement {movement(Against.PERIOD, now, before)}")


def drops_frame(drops: Iterable[DropEntry]) -> pl.DataFrame:
    """Return the drop ledger as a data frame."""
    rows = [
        [value if (value := getattr(entry, name)) is None or name != "status" else str(value) for name in _DROPS_SCHEMA]
        for entry in drops
    ]
    return pl.DataFrame(rows, schema=_DROPS_SCHEMA, orient="row")
