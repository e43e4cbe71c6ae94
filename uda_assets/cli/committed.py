"""Commands about what a data root holds: its drops, what is committed, and Dagster's UI over it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda_assets.basics.errors import UdaError, UsageError
from uda_assets.cli import completion, options
from uda_assets.cli.files import open_root, print_path, refuse_directory
from uda_assets.cli.interrupts import interrupts, program

if TYPE_CHECKING:
    from uda_assets.basics.settings import Settings

_INSTANCE = """\
telemetry:
  enabled: false
nux:
  enabled: false
run_monitoring:
  enabled: true
  poll_interval_seconds: 10
# Days that ticks are kept; the sensor ticks every five seconds. Runs are kept for UDA_KEEP_RUNS_DAYS.
retention:
  sensor:
    purge_after_days: {skipped: 1, started: 7, success: 30, failure: 30}
  schedule:
    purge_after_days: {skipped: 7, started: 7, success: 30, failure: 30}
"""


@options.command(
    "uda drops --format json",
    "uda drops",
)
@options.form
@options.data_root
@click.pass_context
def drops(context: click.Context, form: str | None, data_root: str | None) -> None:
    """The drop ledger: where each drop stands and what became of its records."""
    settings = options.settings_of(context, data_root=data_root)
    from uda_assets.cli.output import Format, print_table, table_of
    from uda_assets.contract.platforms import platform_table
    from uda_assets.pipeline.rules import rules_of
    from uda_assets.pipeline.status import drop_ledger, take_inventory
    from uda_assets.pipeline.warehouse_file import drops_frame

    lake = open_root(settings)
    rules = rules_of(settings, platform_table(lake.root, settings))
    entries = drop_ledger(take_inventory(lake, check_files=True), rules)
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
    """The malformed records, each with drop, line, reason and raw text."""
    settings = options.settings_of(context, data_root=data_root)
    from uda_assets.cli.output import Format, print_table
    from uda_assets.warehouse.lookup import read_quarantine

    lake = open_root(settings)
    manifest = lake.converted.manifest(drop) if drop is not None else None
    if drop is not None and manifest is None:
        raise UdaError(f"there is no committed drop {drop!r}; `uda drops` lists them")
    print_table(read_quarantine(lake, settings, manifest), Format(form or "table"))


@options.command(
    "uda verify",
    "uda verify --format json",
)
@options.form
@options.data_root
@click.pass_context
def verify(context: click.Context, form: str | None, data_root: str | None) -> None:
    """Read every committed file and count everything again; prints what is damaged, and what mends it.

    Exit code 0: all is sound; 1: something is damaged, and the next run looks at it again.
    """
    settings = options.settings_of(context, data_root=data_root)
    from uda_assets.cli.output import Format, print_table, say
    from uda_assets.pipeline.verification import Damage
    from uda_assets.pipeline.verification import verify as verify_lake
    from uda_assets.warehouse.answers import Table

    found = verify_lake(open_root(settings), settings)
    if found.damage or form:
        print_table(Table(dict.fromkeys(Damage._fields, str), found.damage), Format(form or "table"))
    if found.damage:
        raise UdaError(f"{len(found.damage)} of {found.files} files or counts are damaged; see what mends each")
    say(f"all is sound: {found.files} files are as they were written, {found.records} records were counted again")


@options.command(
    "uda forget supplier-a/2026-01-31.csv",
)
@click.argument("drop", shell_complete=completion.drops)
@options.engine
@options.data_root
@click.pass_context
def forget(context: click.Context, drop: str, engine: str | None, data_root: str | None) -> None:
    """Take a drop's contribution out of the leaderboards for good.

    DROP is the drop's name, as `uda drops` lists it. While its file is there, or comes back, as it is, it is left
    alone; deliver another content under that name, or the same one under another, to have it counted again.
    """
    settings = options.settings_of(context, data_root=data_root, engine=engine)
    from uda_assets.cli.output import say
    from uda_assets.pipeline.context import open_run
    from uda_assets.pipeline.forgetting import forget as forget_drop

    with open_run(open_root(settings), settings) as run:
        published = forget_drop(run, drop)
    say(f"forgot {drop}; the leaderboard in {published.csv} is without it")


@options.command(
    "uda leaderboard --n 7 --since 2026-01-01 --platform iOS",
    "uda leaderboard --movement --format csv",
    "uda leaderboard --output leaderboard.csv",
)
@options.n
@options.since
@options.until
@click.option("--platform", help="Only this platform, by any of its spellings.", shell_complete=completion.platforms)
@click.option(
    "--movement",
    is_flag=True,
    help="Who is new, up, down, out or the same on the published leaderboard, against the one before.",
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
    """The leaderboard of the committed sessions, with any N and window.

    With --movement, how the published one moved: against the publication before it, and against the period before it if
    it has a window.
    """
    settings = options.settings_of(context, **overrides)
    if movement and (fixed := [name for name in ("n", "since", "until") if overrides[name] is not None]):
        raise UsageError(f"--movement is that of the published leaderboard; --{fixed[0]} cannot go with it")
    from uda_assets.cli.output import Format, output_kind, print_table, write_table
    from uda_assets.warehouse.lookup import BUILD_FIRST, leaderboard_of, published_movement

    if output:
        _ = form or output_kind(output)
        refuse_directory(output)
    lake = open_root(settings)
    manifest = lake.merged.read()
    if manifest is None:
        raise UdaError(BUILD_FIRST)
    if platform is not None and platform not in manifest.platforms:
        platform = _canonical(platform, settings)
    if movement:
        table = published_movement(lake, settings, platform)
    else:
        table = leaderboard_of(lake, settings, manifest, platform)
    if output:
        write_table(table, output, Format(form) if form else None)
    else:
        print_table(table, Format(form or "table"))


def _canonical(spelling: str, settings: Settings) -> str:
    """The platform that a spelling means; names themselves need no table, which takes long to import."""
    from uda_assets.contract.platforms import platform_table
    from uda_assets.storage import root_of

    return platform_table(root_of(settings), settings).resolve(spelling) or spelling


@options.command(
    "uda report --open",
    "uda report --output leaderboards.html",
)
@options.path_option("--output", help="Where to write the report; default: results/report.html at the data root.")
@click.option("--open", "opened", is_flag=True, help="Show it in the browser.")
@options.data_root
@click.pass_context
def report(context: click.Context, output: Path | None, opened: bool, data_root: str | None) -> None:
    """What is published as one HTML file that can be mailed; prints its path."""
    settings = options.settings_of(context, data_root=data_root)
    if output:
        refuse_directory(output)
    lake = open_root(settings)
    from uda_assets.cli.output import write_whole
    from uda_assets.report import build_report, write_report

    if output:
        # Nothing of the data root is written, so that it may be someone else's.
        write_whole(build_report(lake, settings).html.encode(), output)
        path = output
    else:
        with lake.writing(settings.lock_timeout):
            path = write_report(lake, settings)
    print_path(path)
    if opened:
        import webbrowser

        webbrowser.open(path.absolute().as_uri())


@options.command(
    "uda dev --port 3001",
    "uda dev",
)
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of the web page.")
@options.data_root
@click.pass_context
def dev(context: click.Context, port: int, data_root: str | None) -> None:
    """Dagster's UI and daemon with a history that survives a restart, kept below the data root or in DAGSTER_HOME."""
    settings = options.settings_of(context, data_root=data_root)
    import sys

    from uda_assets.storage import is_remote, root_of

    given = os.environ.get("DAGSTER_HOME")
    home = _dagster_home(given) if given else _own_dagster_home(settings)
    root = settings.data_root if is_remote(root_of(settings)) else str(root_of(settings).absolute())
    environment = os.environ | {"DAGSTER_HOME": str(home), "UDA_DATA_ROOT": root}
    command = [sys.executable, "-m", "dagster", "dev", "-m", "uda_assets.definitions", "-h", "127.0.0.1"]
    with program([*command, "-p", str(port)], environment) as child:
        context.exit(interrupts.wait_for(child))


def _dagster_home(given: str) -> Path:
    """The user's own instance, left as it is; Dagster itself shows a traceback where it does not take one."""
    home = Path(os.path.expanduser(given))  # noqa: PTH111 - as Dagster does it
    if not home.is_absolute() or not home.is_dir():
        raise UsageError(
            f"DAGSTER_HOME is {given!r}, which is not the absolute path of a directory; make it, or unset it"
        )
    return home


def _own_dagster_home(settings: Settings) -> Path:
    """An instance below the data root, or for one in a bucket in the user's own directory; made where there is none."""
    from urllib.parse import quote

    from uda_assets.storage import is_remote, make_dir, root_of

    root = root_of(settings)
    home = Path(click.get_app_dir("uda_assets"), quote(settings.data_root, safe="")) if is_remote(root) else (
        root.absolute() / ".dagster"
    )  # fmt: skip
    make_dir(home)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(_INSTANCE, encoding="utf-8")
    return home
