"""The command ``uda inspector``: the leaderboard of a single file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uda_assets.cli import options
from uda_assets.cli.display import Outcome, progress, summarize
from uda_assets.cli.files import drop_name, errors_name, refuse_directory, require_readable


@options.command(
    "uda inspector --filepath drop.csv --n 10 --output top.csv",
    "uda inspector --filepath drop.csv --since 2026-01-10 --until 2026-01-20",
    "uda inspector --filepath drop.csv --supplier acme",
    "uda inspector --mode parquet --filepath drop.parquet --format json",
)
@options.filepath
@options.mode
@options.supplier
@options.n
@options.since
@options.until
@options.exclude_users
@options.output
@options.form
@options.error_mode
@options.max_reject_ratio
@options.data_root
@click.pass_context
def inspector(
    context: click.Context,
    /,
    filepath: Path | None,
    mode: str,
    supplier: str | None,
    output: Path | None,
    form: str | None,
    **overrides: Any,
) -> None:
    """Print the leaderboard of a single file; needs no data root and no build."""
    settings = options.settings_of(context, **overrides)
    from uda_assets.cli.output import Format, output_kind, print_table, write_table

    path = options.required(filepath, "--filepath")
    if output:
        # An unusable name is refused before any work is done.
        _ = form or output_kind(output)
        refuse_directory(output)
    from uda_assets.contract.suppliers import rulebook
    from uda_assets.pipeline.inspection import inspect_csv, inspect_parquet
    from uda_assets.storage import root_of

    with progress("inspecting") as shown:
        if mode == "csv":
            require_readable(path)
            shown.begin({path.name: 1})
            with errors_name(path):
                dialect, platforms = rulebook(root_of(settings), settings).reading_of(
                    drop_name(path, settings), supplier
                )
                found = inspect_csv(path, settings, platforms, dialect, shown.advance)
        else:
            if not path.is_dir():
                require_readable(path)
            found = inspect_parquet(path, settings)
        seconds = shown.pace.seconds
    if output:
        write_table(found.leaderboard, output, Format(form) if form else None)
    else:
        print_table(found.leaderboard, Format(form or "table"))
    summarize(
        Outcome(str(path), found.records, found.quarantined, found.reasons, str(output) if output else None), seconds
    )
