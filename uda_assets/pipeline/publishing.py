"""Publishing: the result files and the warehouse, which replace those before them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from uda_assets.basics.moments import reached
from uda_assets.basics.settings import CleanSource
from uda_assets.lake import PublicationManifest, SessionsManifest
from uda_assets.pipeline.archive import archive_sources
from uda_assets.pipeline.arrivals import note_published
from uda_assets.pipeline.context import Run
from uda_assets.pipeline.history import board_file, board_of, keep_board, previous_board, superfluous_boards
from uda_assets.pipeline.merging import is_merged, merge_sessions
from uda_assets.pipeline.results import write_board
from uda_assets.pipeline.status import DropEntry, drop_ledger_as_judged, take_inventory
from uda_assets.pipeline.warehouse_file import WarehouseFile
from uda_assets.storage import Location, naming_file
from uda_assets.warehouse.database import configure


class Publication(NamedTuple):
    """What was published: the leaderboard, in ``LEADERBOARD_SCHEMA``, its files, and the drop ledger."""

    leaderboard: pl.DataFrame
    csv: Location
    parquet: Location
    drops: Sequence[DropEntry]


def publish_committed(run: Run) -> Publication:
    """Merge the committed drops, and publish."""
    merge_sessions(run)
    return publish(run)


def publish(run: Run) -> Publication:
    """Publish the leaderboard of the committed drops, then archive their raw files if so configured.

    Another writer may have converted more between the steps of a run. Then the sessions are merged first, so that what
    is published is of one state.
    """
    lake = run.lake
    if not is_merged(lake):
        merge_sessions(run)
    is_archiving = run.settings.clean_source is CleanSource.ARCHIVE
    # No raw file is archived while a file of its converted form is missing.
    drops = drop_ledger_as_judged(take_inventory(lake, check_files=is_archiving), run.rules)
    leaderboard = _publish_files(run, drops)
    if is_archiving:
        archive_sources(lake, drops)
    note_published(lake, published=True)
    return Publication(leaderboard, lake.result_csv, lake.result_parquet, drops)


def _publish_files(run: Run, drops: Sequence[DropEntry]) -> pl.DataFrame:
    """Publish the files, and return the leaderboard. All are complete before the first of them is put in place."""
    lake, settings, published_at = run.lake, run.settings, datetime.now(UTC)
    manifest = lake.merged.read() or SessionsManifest()
    before = lake.published.read()
    with lake.published.publishing() as publishing:
        new_csv, new_parquet = publishing.replacing(lake.result_csv), publishing.replacing(lake.result_parquet)
        with _new_warehouse(run, publishing.replacing(lake.warehouse), manifest) as warehouse:
            leaderboard = warehouse.fill_leaderboard()
            excluded = warehouse.fill_excluded()
            write_board(leaderboard, new_csv, new_parquet)
            board = board_of(new_csv, settings, published_at)
            previous = previous_board(before, board)
            warehouse.fill_ledger(drops)
            warehouse.fill_publication(board, previous)
            warehouse.fill_movement(board, previous)
            unrecorded_days = warehouse.fill_days()
        keep_board(board_file(lake, board), publishing.replacing(board_file(lake, board)), new_parquet)
        reached("publish: files written")
        superfluous, superseded = superfluous_boards(lake, [board, previous]), lake.converted.superseded_quarantines()
        outdated = superseded.intersection(before.superseded if before else [])
        publishing.manifest = PublicationManifest(
            generation=manifest.generation, n=settings.n, since=settings.since, until=settings.until,
            published_at=published_at, board=board, previous=previous, superseded=sorted(superseded - outdated),
            exclude_users=settings.exclude_users, excluded=excluded,
            # The leaderboards of days, and the one that this one is compared with, stay published.
            files=lake.published.files_there(superfluous) | unrecorded_days,
        )  # fmt: skip
    lake.converted.remove_superseded(outdated)
    lake.files.remove(superfluous)
    lake.finish_removals()
    return leaderboard


@contextmanager
def _new_warehouse(run: Run, path: Path, manifest: SessionsManifest) -> Iterator[WarehouseFile]:
    lake = run.lake
    with lake.converted.stage() as staged, naming_file(lake.warehouse), run.connect(path) as connection:
        configure(connection, run.settings, staged.scratch, lake.root)
        yield WarehouseFile(connection, run, manifest, staged.scratch)
        # DuckDB does not report errors of writing when it closes a database.
        connection.execute("CHECKPOINT")
