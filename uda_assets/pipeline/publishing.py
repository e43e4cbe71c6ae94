"""Publishing: the result files, and the DuckDB warehouse that replaces the one before in one step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl

from uda_assets.basics.moments import passed
from uda_assets.basics.settings import Settings
from uda_assets.contract.schemas import LEADERBOARD_SCHEMA
from uda_assets.engines import Engine, running
from uda_assets.lake import Lake, PublicationManifest, PublishedBoard, SessionsManifest
from uda_assets.pipeline.catalogue import DropEntry
from uda_assets.pipeline.days import fill_days
from uda_assets.pipeline.history import board_file, board_of, boards_but, keep_board, load_board, previous_board
from uda_assets.pipeline.results import RESULT_NAME, write_board
from uda_assets.pipeline.sessions import sessions_relation, units_of
from uda_assets.pipeline.units import RankJob, rank_unit
from uda_assets.storage import Location, naming
from uda_assets.warehouse.database import Connect, configure, plain_database
from uda_assets.warehouse.lookup import counts_within, quarantine_relation
from uda_assets.warehouse.movement import MOVEMENT_TABLE, Against, Ranking, movement, period_before
from uda_assets.warehouse.ranking import Window, rank
from uda_assets.warehouse.relations import SESSIONS

_DROPS_SCHEMA: dict[str, pl.DataType] = {
    "drop": pl.String(),
    "status": pl.String(),
    "records": pl.Int64(),
    "kept": pl.Int64(),
    "quarantined": pl.Int64(),
    "reason": pl.String(),
    "fingerprint": pl.String(),
    "converted_at": pl.Datetime("us", "UTC"),
}


class Publication(NamedTuple):
    """What was published: the leaderboard, in ``LEADERBOARD_SCHEMA``, the files it is in, and the drop ledger."""

    leaderboard: pl.DataFrame
    csv: Location
    parquet: Location
    drops: Sequence[DropEntry]


def publish(
    lake: Lake,
    settings: Settings,
    drops: Sequence[DropEntry],
    connect: Connect | None = None,
    engine: Engine | None = None,
) -> Publication:
    """Publish the leaderboard of the committed sessions; the caller holds the lake's lock.

    All files are complete before the first of them is put in place.

    Args:
        lake: The data root.
        settings: ``n`` and the window of the leaderboard.
        drops: The drop ledger, for the table of that name.
        connect: How to open the warehouse's database; plain DuckDB by default.
        engine: What ranks; by default the one that the settings choose.
    """
    csv, parquet = (lake.results / f"{RESULT_NAME}.{kind}" for kind in ("csv", "parquet"))
    manifest = lake.sessions_manifest() or SessionsManifest()
    now = datetime.now(UTC)
    with lake.publishing() as publishing:
        new_csv, new_parquet, new_warehouse = map(publishing.replacing, (csv, parquet, lake.warehouse))
        with (
            running(engine, settings) as opened,
            lake.stage() as staged,
            naming(lake.warehouse),
            (connect or plain_database)(new_warehouse) as connection,
        ):
            configure(connection, settings, staged.scratch, lake.root)
            filler = _Filler(connection, lake, manifest, settings, opened, staged.scratch)
            filler.fill_sessions()
            leaderboard = filler.fill_leaderboard()
            write_board(leaderboard, new_csv, new_parquet)
            filler.fill_ledger(drops)
            days = fill_days(connection, lake)
            before = lake.publication()
            board = board_of(new_csv, settings, now)
            previous = previous_board(before, board)
            filler.fill_publication(board, previous)
            filler.fill_movement(board, previous)
            # On closing it would be written without a word of what fails.
            connection.execute("CHECKPOINT")
        keep_board(board_file(lake, board), publishing.replacing(board_file(lake, board)), new_parquet)
        passed("publish: files written")
        superfluous, superseded = boards_but(lake, [board, previous]), lake.superseded_quarantines()
        over = superseded.intersection(before.superseded if before else [])
        publishing.manifest = PublicationManifest(
            generation=manifest.generation, n=settings.n, since=settings.since, until=settings.until,
            published_at=now, board=board, previous=previous, superseded=sorted(superseded - over),
            # What was published beside these stays: the leaderboards of days, and the one that is compared with.
            files=lake.results_there(superfluous) | days,
        )  # fmt: skip
    lake.remove_superseded(over)
    lake.files.remove(superfluous)
    lake.finish_removals()
    return Publication(leaderboard, csv, parquet, drops)


class _Filler(NamedTuple):
    """Fills a new warehouse."""

    connection: duckdb.DuckDBPyConnection
    lake: Lake
    manifest: SessionsManifest
    settings: Settings
    engine: Engine
    scratch: Path

    def fill_sessions(self) -> None:
        """The views ``sessions`` and ``session_counts``."""
        sessions = sessions_relation(self.lake, self.manifest)
        self.connection.execute(f"CREATE VIEW sessions AS SELECT {SESSIONS} FROM {sessions}")
        self._fill_counts("session_counts", Window(self.settings.since, self.settings.until))

    def _fill_counts(self, name: str, window: Window, temporary: str = "") -> None:
        # All time is a view over what the lake keeps up to date; a window is counted, and small enough to be a table,
        # but not for one process where there is a cluster.
        kind = "TABLE" if window.bounded and not self.engine.elsewhere else "VIEW"
        counts = counts_within(self.lake, self.manifest, window)
        self.connection.execute(f"CREATE {temporary} {kind} {name} AS SELECT * FROM {counts}")

    def fill_leaderboard(self) -> pl.DataFrame:
        """The table ``top_n_by_platform``, which is also given back."""
        window = Window(self.settings.since, self.settings.until)
        self._rank("top_n_by_platform", "session_counts", window)
        top = self.connection.sql("FROM top_n_by_platform ORDER BY platform, session_count DESC, user_id")
        return pl.DataFrame(top.pl())

    def _rank(self, table: str, counts: str, window: Window, temporary: str = "") -> None:
        candidates = counts
        if self.engine.elsewhere:
            candidates = "candidates"
            self.connection.register(candidates, self._candidates(window).to_arrow())
        self.connection.execute(f"CREATE {temporary} TABLE {table} AS {rank(candidates, self.settings.n)}")
        if self.engine.elsewhere:
            self.connection.unregister(candidates)

    def _candidates(self, window: Window) -> pl.DataFrame:
        """The first users of each unit, among which those of each platform are."""
        units = units_of(self.manifest).values()
        jobs = [RankJob(self.lake.sessions, unit, window, self.settings.n) for unit in units]
        found = self.engine.run(rank_unit, jobs, self.scratch)
        rows = [(job.unit.platform, *row) for job, unit_rows in zip(jobs, found, strict=True) for row in unit_rows]
        return pl.DataFrame(rows, schema=LEADERBOARD_SCHEMA, orient="row")

    def fill_ledger(self, drops: Iterable[DropEntry]) -> None:
        """The table ``drops`` and the view ``quarantine``."""
        ledger = drops_frame(drops).to_arrow()
        self.connection.register("ledger", ledger)
        self.connection.execute("CREATE TABLE drops AS SELECT * FROM ledger ORDER BY drop")
        self.connection.unregister("ledger")
        quarantined = quarantine_relation(self.lake, self.manifest)
        self.connection.execute(f"CREATE VIEW quarantine AS SELECT * FROM {quarantined}")

    def fill_publication(self, board: PublishedBoard, previous: PublishedBoard | None) -> None:
        """The table ``publication``: the parameters of this leaderboard, and of the one it is compared with."""
        self.connection.execute("""
            CREATE TABLE publication (leaderboard VARCHAR, generation BIGINT, n BIGINT, since TIMESTAMPTZ,
                                      until TIMESTAMPTZ, published_at TIMESTAMPTZ)""")
        for name, number, one in (("published", self.manifest.generation, board), ("previous", None, previous)):
            if one:
                row = [name, number, one.n, one.since, one.until, one.published_at]
                self.connection.execute("INSERT INTO publication VALUES (?, ?, ?, ?, ?, ?)", row)

    def fill_movement(self, board: PublishedBoard, previous: PublishedBoard | None) -> None:
        """The table ``rank_movement``; a comparison for which there is nothing to compare with has no rows."""
        connection = self.connection
        connection.execute(f"CREATE TABLE rank_movement ({MOVEMENT_TABLE})")
        now = Ranking("top_n_by_platform", board.n, "session_counts")
        if previous and load_board(connection, self.lake, previous, "previous_board"):
            before = Ranking("previous_board", previous.n)
            connection.execute(f"INSERT INTO rank_movement {movement(Against.PUBLICATION, now, before)}")
        if earlier := period_before(Window(board.since, board.until)):
            self._fill_counts("earlier_counts", earlier, "TEMP")
            self._rank("earlier_board", "earlier_counts", earlier, "TEMP")
            before = Ranking("earlier_board", board.n, "earlier_counts")
            connection.execute(f"INSERT INTO rank_movement {movement(Against.PERIOD, now, before)}")


def drops_frame(drops: Iterable[DropEntry]) -> pl.DataFrame:
    """The drop ledger as a table."""
    rows = [
        [value if (value := getattr(entry, name)) is None or name != "status" else str(value) for name in _DROPS_SCHEMA]
        for entry in drops
    ]
    return pl.DataFrame(rows, schema=_DROPS_SCHEMA, orient="row")
