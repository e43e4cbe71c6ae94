"""Commands that read or change a data root: its drops, quarantine, files, leaderboard and report."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda_assets.basics.errors import UdaError, UsageError
from uda_assets.cli import completion, options
from uda_assets.cli.files import open_data_root, print_path, refuse_directory

if TYPE_CHECKING:
    from uda_assets.basics.settings import Settings


@options.command(
    "uda drops --format json",
    "uda drops",
)
@options.form
@options.data_root
@click.pass_context
def drops(context: click.Context, form: str | None, data_root: str | None) -> None:
    """List all drops with their status and record counts."""
    settings = options.settings_of(context, data_root=data_root)
    from uda_assets.cli.output import Format, print_table, say, table_of
    from uda_assets.contract.suppliers import rulebook
    from uda_assets.pipeline.checks import suppliers_deliver
    from uda_assets.pipeline.rules import rules_of
    from uda_assets.pipeline.status import drop_ledger, take_inventory
    from uda_assets.pipeline.warehouse_file import drops_frame

    lake = open_data_root(settings)
    rules = rules_of(settings, rulebook(lake.root, settings))
    inventory = take_inventory(lake, check_files=True)
    if inventory.listing.problem:
        say(inventory.listing.problem)
    entries = drop_ledger(inventory, rules)
    for fault in suppliers_deliver(entries, rules.book.suppliers).cases:
        say(f"suppliers.toml: {fault}")
    print_table(table_of(drops_frame(entries)), Format(form or "table"))


@options.command(
    "uda quarantine --drop sample.csv --format csv",
    "uda quarantine",
)
@click.option("--drop", help="Only this drop.", shell_complete=completion.drops)
@options.form
@options.data_root
@click.pass_context
def quarantine(context: click.Context, drop: str | None, form: str | None, data_root: str | None) -> None:
    """List the malformed records, each with drop, line, reason and raw text."""
    settings = options.settings_of(context, data_root=data_root)
    from uda_assets.cli.output import Format, print_table
    from uda_assets.warehouse.lookup import read_quarantine

    lake = open_data_root(settings)
    if drop is not None and drop not in lake.state().drops:
        raise UdaError(f"there is no committed drop {drop!r}; `uda drops` lists them")
    print_table(read_quarantine(lake, settings, drop), Format(form or "table"))


@options.command(
    "uda verify",
    "uda verify --format json",
)
@options.form
@options.data_root
@click.pass_context
def verify(context: click.Context, form: str | None, data_root: str | None) -> None:
    """Read every committed file, count everything again, and print what is damaged and how to repair it.

    Exit code 0: nothing is damaged; 1: something is damaged, and the next run checks it again.
    """
    settings = options.settings_of(context, data_root=data_root)
    from uda_assets.cli.output import Format, print_table, say
    from uda_assets.pipeline.verification import Damage
    from uda_assets.pipeline.verification import verify as verify_lake
    from uda_assets.warehouse.answers import Answer

    found = verify_lake(open_data_root(settings), settings)
    if found.damage or form:
        print_table(Answer(dict.fromkeys(Damage._fields, str), found.damage), Format(form or "table"))
    if found.damage:
        raise UdaError(
            f"{len(found.damage)} of {found.files} files or counts are damaged; the table says how to repair each"
        )
    say(f"all is sound: {found.files} files are as they were written, and {found.records} records were counted again")


@options.command(
    "uda forget supplier-a/2026-01-31.csv",
)
@click.argument("drop", shell_complete=completion.drops)
@options.engine
@options.data_root
@click.pass_context
def forget(context: click.Context, drop: str, engine: str | None, data_root: str | None) -> None:
    """Remove a drop's records from the leaderboards for good.

    DROP is the drop's name, as `uda drops` lists it. Its file may stay, or be delivered again unchanged: it is ignored.
    To have it counted again, deliver different content under that name, or the same content under another name.
    """
    settings = options.settings_of(context, data_root=data_root, engine=engine)
    from uda_assets.cli.output import say
    from uda_assets.pipeline.context import open_run
    from uda_assets.pipeline.forgetting import forget as forget_drop

    with open_run(open_data_root(settings), settings) as run:
        published = forget_drop(run, drop)
    say(f"forgot {drop}; the leaderboard in {published.csv} no longer counts it")


@options.command(
    "uda leaderboard --n 7 --since 2026-01-01 --platform iOS",
    "uda leaderboard --movement --format csv",
    "uda leaderboard --output leaderboard.csv",
)
@options.n
@options.since
@options.until
@options.exclude_users
@click.option("--platform", help="Only this platform, in any of its spellings.", shell_complete=completion.platforms)
@click.option(
    "--movement",
    is_flag=True,
    help="Show who is new, up, down, out or the same on the published leaderboard, compared with the previous one.",
)
@options.output
@options.form
@options.data_root
@click.pass_context
def leaderboard(
    context: click.Context,
    /,
    platform: str | None,
    movement: bool,
    output: Path | None,
    form: str | None,
    **overrides: Any,
) -> None:
    """Print the leaderboard of the committed sessions, with any N and window.

    With --movement, compare the published leaderboard with the previous publication and, if it has a window, with the
    previous period of the same length.
    """
    settings = options.settings_of(context, **overrides)
    if movement and (
        given := [name for name in ("n", "since", "until", "exclude_users") if overrides[name] is not None]
    ):
        raise UsageError(
            f"--movement is about the published leaderboard; --{given[0].replace('_', '-')} cannot go with it"
        )
    from uda_assets.cli.output import Format, output_kind, print_table, write_table
    from uda_assets.warehouse.lookup import BUILD_FIRST, leaderboard_of, published_movement

    if output:
        # An unusable name is refused before any work is done.
        _ = form or output_kind(output)
        refuse_directory(output)
    lake = open_data_root(settings)
    sessions = lake.state().sessions
    if sessions is None:
        raise UdaError(BUILD_FIRST)
    if platform is not None and platform not in sessions.platforms:
        platform = _platform_of(platform, settings)
    if movement:
        answer = published_movement(lake, settings, platform)
    else:
        answer = leaderboard_of(lake, settings, sessions, platform)
    if output:
        write_table(answer, output, Format(form) if form else None)
    else:
        print_table(answer, Format(form or "table"))


def _platform_of(spelling: str, settings: Settings) -> str:
    """Return the platform that a spelling stands for; the platform table takes long to import."""
    from uda_assets.contract.platforms import platform_table
    from uda_assets.storage import root_of

    return platform_table(root_of(settings), settings).resolve(spelling) or spelling


@options.command(
    "uda report --open",
    "uda report --output leaderboards.html",
)
@options.path_option("--output", help="Where to write the report; default: results/report.html at the data root.")
@click.option("--open", "opened", is_flag=True, help="Open the report in the browser.")
@options.data_root
@click.pass_context
def report(context: click.Context, output: Path | None, opened: bool, data_root: str | None) -> None:
    """Write a report on the published leaderboards, a single HTML file that can be mailed, and print its path."""
    settings = options.settings_of(context, data_root=data_root)
    if output:
        refuse_directory(output)
    lake = open_data_root(settings)
    from uda_assets.cli.output import say, write_bytes
    from uda_assets.report import build_report, write_report

    page = build_report(lake, settings)
    if output:
        write_bytes(page.html.encode(), output)
        path = output
    else:
        try:
            with lake.writing(settings.lock_timeout):
                path = write_report(lake, page)
        except (UdaError, OSError) as error:
            # The data root may belong to someone else. To show what is published takes no write access.
            say(f"the report cannot be put at the data root ({error}); it is in a temporary directory instead")
            path = Path(tempfile.mkdtemp(prefix="uda-report-"), "report.html")
            write_bytes(page.html.encode(), path)
    print_path(path)
    if opened:
        import webbrowser

        webbrowser.open(path.absolute().as_uri())
