"""Options that several commands share, and the settings that result from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from uda_assets.basics.errors import UsageError

if TYPE_CHECKING:
    from uda_assets.basics.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

MODES = ("csv", "parquet")
FORMATS = ("table", "csv", "json")


class _CommandWithExamples(click.Command):
    """A command whose help ends with examples to copy, one per line."""

    def __init__(self, *args: Any, examples: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples without wrapping them, so that each can be pasted into a shell."""
        del ctx
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


def command(*examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a command whose help shows examples."""
    return click.command(cls=_CommandWithExamples, examples=examples)


def path_option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """Declare an option that takes a path.

    Click does not check that the file is readable: it would call an unreadable file wrong usage (exit code 2).
    """
    return click.option(*names, type=click.Path(readable=False, path_type=Path), **attributes)


data_root = click.option("--data-root", help="The data root (UDA_DATA_ROOT; default: data).")
error_mode = click.option(
    "--error-mode", type=click.Choice(("lenient", "fail_fast")),
    help="Quarantine malformed records, or stop at the first one.",
)  # fmt: skip
max_reject_ratio = click.option(
    "--max-reject-ratio", type=float, help="Reject a file with a larger share of malformed records, 0 to 1."
)
engine = click.option(
    "--engine", type=click.Choice(("polars", "dask")),
    help="Where to do the heavy work: on this machine, or on a Dask cluster (UDA_ENGINE, UDA_DASK_SCHEDULER).",
)  # fmt: skip
filepath = path_option("--filepath", help="The file to work on.")
mode = click.option("--mode", type=click.Choice(MODES), default="csv", show_default=True, help="Kind of file.")
output = path_option("--output", help="Where to write; default: stdout.")
form = click.option("--format", "form", type=click.Choice(FORMATS), help="How to print the table.")
supplier = click.option("--supplier", help="Read the file as this supplier's (suppliers.toml); default: by its name.")
n = click.option("--n", type=int, help="Users per platform (UDA_N; default: 50).")
since = click.option("--since", help="Count sessions that started at this time or later.")
exclude_users = click.option("--exclude-users", help="Patterns of users to leave out (UDA_EXCLUDE_USERS).")
until = click.option("--until", help="Count sessions that started before this time.")


def settings_of(context: click.Context, **overrides: Any) -> Settings:
    """Return the settings of a command; its own options override those before the command's name."""
    from uda_assets.basics.limits import limit_pools
    from uda_assets.basics.settings import load_settings

    common: dict[str, Any] = context.obj or {}
    settings = load_settings(**(common | {name: value for name, value in overrides.items() if value is not None}))
    limit_pools(settings)
    return settings


def required(path: Path | None, option: str) -> Path:
    """Return the value of an option that must be given.

    Raises:
        UsageError: It was not given.
    """
    if path is None:
        raise UsageError(f"{option} is missing")
    return path
