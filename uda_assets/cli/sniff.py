"""The command ``uda sniff``: proposes an entry of suppliers.toml for a file."""

from __future__ import annotations

from pathlib import Path

import click

from uda_assets.basics.errors import UdaError
from uda_assets.cli import options
from uda_assets.cli.files import errors_name, require_readable


@options.command(
    "uda sniff drop.csv",
    "uda sniff drop.csv --check",
)
@click.argument("file", type=click.Path(readable=False, path_type=Path))
@click.option("--check", is_flag=True, help="Say how many records the entry would keep, and why not the others.")
@options.data_root
@click.pass_context
def sniff(context: click.Context, file: Path, check: bool, data_root: str | None) -> None:
    """Propose an entry of suppliers.toml for a file.

    The entry goes to stdout, and what it rests on to stderr. Read both before you append the entry to suppliers.toml at
    the data root.
    """
    settings = options.settings_of(context, data_root=data_root)
    from uda_assets.cli.output import say
    from uda_assets.contract.platforms import platform_table
    from uda_assets.pipeline.sniffing import sniff as propose
    from uda_assets.pipeline.sniffing import try_out
    from uda_assets.storage import root_of

    require_readable(file)
    platforms = platform_table(root_of(settings), settings)
    with errors_name(file):
        proposal = propose(file, settings, platforms)
    click.echo(proposal.text, nl=False)
    for ground in proposal.grounds or ["the file is in the default dialect; it needs no entry"]:
        say(ground)
    for question in proposal.open_questions:
        say(f"to be checked: {question}")
    if not check:
        return
    with errors_name(file):
        trial = try_out(file, settings, platforms, proposal)
    reasons = ", ".join(f"{reason} {count}" for reason, count in trial.reasons.most_common())
    say(f"of {trial.records} records it would keep {trial.kept}" + (f"; {reasons}" if reasons else ""))
    if trial.records and not trial.kept:
        raise UdaError(f"{file}: the entry keeps no record; see what is to be checked")
