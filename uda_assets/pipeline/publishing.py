"""Publishing: the result files, the leaderboards of days and the warehouse, which are replaced together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl
from blake3 import blake3
from msgspec.structs import replace

from uda_assets.basics.settings import CleanSource
from uda_assets.lake import Publication, State
from uda_assets.lake.integrity import damaged_among
from uda_assets.lake.publishing import publishing, remove_obsolete
from uda_assets.pipeline.archive import archive_sources
from uda_assets.pipeline.context import Run
from uda_assets.pipeline.day_ranking import write_kept
from uda_assets.pipeline.days import Days, days_to_publish, write_days
from uda_assets.pipeline.history import board_file, board_of, keep_board, previous_board
from uda_assets.pipeline.merging import merge_sessions
from uda_assets.pipeline.results import write_board
from uda_assets.pipeline.status import DropEntry, drop_ledger_as_judged, take_inventory
from uda_assets.pipeline.warehouse_file import WarehouseFile
from uda_assets.storage import Location, naming_file
from uda_assets.warehouse.database import configure
from uda_assets.warehouse.relations import LAYOUT

RecordDay = Callable[[date, pl.DataFrame], None]
"""Records that the leaderboard of a day was published."""


class Published(NamedTuple):
    """What is published.

    Attributes:
        leaderboard: The leaderboard, in ``LEADERBOARD_SCHEMA``.
        csv, parquet: Its files.
        drops: The drop ledger.
        days: The days whose leaderboards were published with it.
    """

    leaderboard: pl.DataFrame
    csv: Location
    parquet: Location
    drops: Sequence[DropEntry]
    days: list[date]


def publish_committed(run: Run) -> Published:
    """Merge the committed drops, and publish."""
    merge_sessions(run)
    return publish(run)


def publish(run: Run, record_day: RecordDay = lambda _day, _board: None) -> Published:
    """Publish the leaderboards of the committed drops, then archive their raw files if so configured.

    Another writer may have converted more between the steps of a run. Then the sessions are merged first, so that what
    is published is of one state. What is published already, from the same inputs, is left as it is.

    Args:
        run: The run.
        record_day: Called for each published day, when its files are in place. If this run dies before all are
            recorded, the next one publishes them again. So none is missed, and one may be recorded twice.
    """
    lake = run.lake
    if not lake.state().is_merged:
        merge_sessions(run)
    is_archiving = run.settings.clean_source is CleanSource.ARCHIVE
    # No raw file is archived while a file of its converted form is missing.
    drops = drop_ledger_as_judged(take_inventory(lake, check_files=is_archiving), run.rules)
    leaderboard, days = _publish_files(run, drops, record_day)
    if is_archiving:
        archive_sources(lake, drops)
    return Published(leaderboard, lake.result_csv, lake.result_parquet, drops, days)


def _publish_files(run: Run, drops: Sequence[DropEntry], record_day: RecordDay) -> tuple[pl.DataFrame, list[date]]:
    """Publish what is not published yet. Return the leaderboard, and the days that were published."""
    lake, state = run.lake, run.lake.state()
    faults, seen = damaged_among(lake, state.results, state.seen, lake.results)
    damaged = {fault.file for fault in faults} - {lake.below(lake.report)}
    days = days_to_publish(lake, state, run.day_rule, damaged)
    inputs = _inputs(run, state, drops)
    before = state.publication
    if before and before.inputs == inputs and not damaged and not days.new:
        noted = remove_obsolete(lake, state.obsolete)
        noted = noted.noting(seen=state.seen | seen, publication=replace(before, changes=state.changes))
        if noted != state:
            lake.commit(noted)
        return pl.read_parquet(lake.files.read(lake.result_parquet)), []
    state = state.noting(seen=state.seen | seen)
    leaderboard, boards = _publish_anew(run, state, drops, inputs, days, damaged, record_day)
    return leaderboard, list(boards)


def _inputs(run: Run, state: State, drops: Sequence[DropEntry]) -> str:
    """Return a hash of everything from which the result files and the warehouse are made, except the days."""
    settings, generation = run.settings, state.sessions.generation if state.sessions else 0
    # The views of the warehouse name files by their full paths.
    made_by = (LAYOUT, str(run.lake.root), run.engine.elsewhere, generation)
    parameters = (settings.n, settings.since, settings.until, settings.exclude_users)
    return blake3(msgspec.json.encode([made_by, parameters, drops])).hexdigest()


def _publish_anew(
    run: Run,
    state: State,
    drops: Sequence[DropEntry],
    inputs: str,
    days: Days,
    damaged: set[str],
    record_day: RecordDay,
) -> tuple[pl.DataFrame, dict[date, pl.DataFrame]]:
    """Publish all files. They are complete before the first of them is put in place."""
    lake, settings, published_at = run.lake, run.settings, datetime.now(UTC)
    before, generation = state.publication, state.sessions.generation if state.sessions else 0
    with publishing(lake) as publication:
        new_csv, new_parquet = publication.replacing(lake.result_csv), publication.replacing(lake.result_parquet)
        with _new_warehouse(run, publication.replacing(lake.warehouse), state) as warehouse:
            leaderboard = warehouse.fill_leaderboard()
            excluded = warehouse.fill_excluded()
            write_board(leaderboard, new_csv, new_parquet)
            board = board_of(new_csv, settings, published_at)
            previous = previous_board(lake, before, board, damaged)
            warehouse.fill_ledger(drops)
            warehouse.fill_publication(board, previous)
            warehouse.fill_movement(board, previous)
            days_kept, boards = warehouse.fill_days(days)
        keep_board(board_file(lake, board), publication.replacing(board_file(lake, board)), new_parquet)
        write_days(lake, publication, boards)
        kept = {lake.below(board_file(lake, one)) for one in (board, previous) if one}
        history = f"{lake.below(lake.history)}/"
        unneeded = [path for path in state.results if path.startswith(history) and path not in kept]
        publication.state = state.noting(
            publication=Publication(
                inputs=inputs, changes=state.changes, generation=generation, n=settings.n, since=settings.since,
                until=settings.until, published_at=published_at, board=board, previous=previous,
                exclude_users=settings.exclude_users, excluded=excluded,
            ),
            results={path: checksum for path, checksum in state.results.items() if path not in unneeded},
            seen={path: signature for path, signature in state.seen.items() if path not in unneeded},
            days=days.all, stale_days=days.new, kept=write_kept(lake, days_kept), uncounted_days=[], touched=[],
            obsolete=[], superseded=[], outdated=state.superseded,
        )  # fmt: skip
        # If this run dies before all days are in place and recorded, the next one publishes them again.
        publication.record = lambda: _record(boards, record_day)
        publication.then = {"stale_days": []}
        # Whoever still reads the warehouse that was published before this one needs none of these.
        counted = [lake.session_path(file.path) for file in state.day_files()]
        publication.removing = [*unneeded, *counted, *state.obsolete, *state.outdated]
    return leaderboard, boards


def _record(boards: dict[date, pl.DataFrame], record_day: RecordDay) -> None:
    for day, board in boards.items():
        record_day(day, board)


@contextmanager
def _new_warehouse(run: Run, path: Path, state: State) -> Iterator[WarehouseFile]:
    lake = run.lake
    with lake.stage() as staged, naming_file(lake.warehouse), run.connect(path) as connection:
        configure(connection, run.settings, staged.scratch, lake.root)
        yield WarehouseFile(connection, run, state, staged.scratch)
        # DuckDB does not report errors of writing when it closes a database.
        connection.execute("CHECKPOINT")
