"""Commands that write synthetic data: the generator and the supplier."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any, Literal

import click

from uda_assets.basics.errors import UdaError, UsageError
from uda_assets.basics.progress import Advance
from uda_assets.cli import options
from uda_assets.cli.display import Outcome, is_terminal, progress, summarize
from uda_assets.cli.files import refuse_directory

_malformed_ratio = click.option(
    "--malformed-ratio", type=float, default=0.005, show_default=True, help="Share of malformed records, 0 to 1."
)

_output = options.path_option("--output", help="Where to write; the same as --filepath.")


def _target(filepath: Path | None, output: Path | None) -> Path | None:
    """Return where to write, which either option can name."""
    if filepath and output and filepath != output:
        raise UsageError("--filepath and --output name different places to write to; give one of them")
    return filepath or output


@options.command(
    "uda generator --filepath activity.csv --n 100000 --truth truth/",
    "uda generator --filepath activity.csv.gz --n 100000 --seed 7 --malformed-ratio 0.02",
)
@options.filepath
@options.mode
@click.option("--n", "--records", "n", type=int, default=100_000, show_default=True, help="Records to write.")
@click.option("--users", type=int, help="Number of users to draw from.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same bytes.")
@click.option("--shuffled", is_flag=True, help="Write records in random order, not by time.")
@click.option(
    "--duplicate-ratio", type=float, default=0.1, show_default=True, help="Share of repeated records, 0 to 1."
)
@_malformed_ratio
@options.path_option("--truth", help="Directory for the correct answer: totals and session counts.")
@_output
def generator(
    filepath: Path | None, mode: str, n: int, truth: Path | None, output: Path | None, **characteristics: Any
) -> None:
    """Write realistic activity whose correct leaderboard is known."""
    from uda_assets.cli.output import say
    from uda_assets.synthetic import GeneratorConfig, generate

    if mode != "csv":
        raise UsageError("the generator writes csv; convert the file with `uda converter`")
    target = options.required(_target(filepath, output), "--filepath")
    refuse_directory(target)
    try:
        config = GeneratorConfig(records=n, **characteristics)
    except ValueError as error:
        raise UsageError(str(error)) from None
    with progress("generating") as shown:
        shown.begin({target.name: n})
        generate(
            target,
            config,
            truth_dir=truth,
            on_progress=lambda written: shown.advance(Advance(target.name, written, n, written)),
        )
        seconds = shown.pace.seconds
    if is_terminal():
        summarize(Outcome("generated", n, written=str(target)), seconds)
    else:
        say(f"wrote {n} records to {target}" + (f", the correct answer to {truth}" if truth else ""))


@options.command(
    "uda supplier --drops 3 --interval 1",
    "uda supplier --filepath incoming --drops 2 --interval 0 --corrections 0.2",
)
@options.path_option("--filepath", help="Directory to supply; default: the data root's datasets.")
@options.mode
@click.option("--n", "--records", "n", type=int, default=1000, show_default=True, help="Records per drop.")
@click.option("--drops", type=int, help="Stop after this many drops; default: never.")
@click.option("--interval", type=float, default=5.0, show_default=True, help="Seconds between drops.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same drops.")
@_malformed_ratio
@click.option(
    "--compression", type=click.Choice(("none", "gz", "zst")), default="none", show_default=True,
    help="How drops are compressed.",
)  # fmt: skip
@click.option(
    "--corrections", type=float, default=0.0, show_default=True,
    help="Chance that an earlier drop is delivered again with changes, 0 to 1.",
)  # fmt: skip
@click.option(
    "--duplicates",
    type=float,
    default=0.0,
    show_default=True,
    help="Chance that a drop is delivered again under another name, 0 to 1.",
)
@click.option(
    "--late", type=float, default=0.0, show_default=True, help="Chance that a drop's activity is some days old, 0 to 1."
)
@click.option(
    "--half-written", type=float, default=0.0, show_default=True,
    help="Chance that a drop is half-written for a while, 0 to 1.",
)  # fmt: skip
@_output
@options.data_root
@click.pass_context
def supplier(
    context: click.Context,
    /,
    filepath: Path | None,
    mode: str,
    n: int,
    compression: Literal["none", "gz", "zst"],
    output: Path | None,
    data_root: str | None,
    **characteristics: Any,
) -> None:
    """Deliver a drop every few seconds, as a supplier would."""
    settings = options.settings_of(context, data_root=data_root)
    from uda_assets.cli.output import say
    from uda_assets.storage import is_remote, root_of
    from uda_assets.synthetic import SupplierConfig, supply

    if mode != "csv":
        raise UsageError("the supplier delivers csv only; leave out --mode")
    target = _target(filepath, output) or root_of(settings) / "datasets"
    if is_remote(target):
        raise UsageError(f"the supplier delivers to a directory, not to {target}; name one by --output")
    if target.exists() and not target.is_dir():
        raise UdaError(f"{target} is not a directory; name one by --output")
    try:
        config = SupplierConfig(records=n, compression=compression, **characteristics)
    except ValueError as error:
        raise UsageError(str(error)) from None
    began = monotonic()
    delivered = supply(target, config, on_drop=lambda path: say(f"delivered {path}"))
    if is_terminal():
        summarize(Outcome(f"{delivered} drops delivered", delivered * n, written=str(target)), monotonic() - began)
    else:
        say(f"{delivered} drops delivered to {target}")
