"""Options that several commands share, and the settings that follow from them."""

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


class _WithExamples(click.Command):
    """A command whose help ends in examples, a line each, that can be copied."""

    def __init__(self, *args: Any, examples: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lines are not filled, so that a shell takes each as it stands."""
        del ctx
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


def command(*examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with examples for its help."""
    return click.command(cls=_WithExamples, examples=examples)


def path_option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """An option that takes a path; whether a file can be read is not for click to say: that is no wrong use."""
    return click.option(*names, type=click.Path(readable=False, path_type=Path), **attributes)


data_root = click.option("--data-root", help="The data root (UDA_DATA_ROOT; default: data).")
error_mode = click.option(
    "--error-mode", type=click.Choice(("lenient", "fail_fast")),
    help="Quarantine malformed records, or stop at the first.",
)  # fmt: skip
max_reject_ratio = click.option("--max-reject-ratio", type=float, help="Reject a file with more malformed records.")
engine = click.option(
    "--engine", type=click.Choice(("polars", "dask")),
    help="What does the heavy work: this machine, or a Dask cluster (UDA_ENGINE, UDA_DASK_SCHEDULER).",
)  # fmt: skip
filepath = path_option("--filepath", help="The file to work on.")
mode = click.option("--mode", type=click.Choice(MODES), default="csv", show_default=True, help="Kind of file.")
output = path_option("--output", help="Where to write; default: stdout.")
form = click.option("--format", "form", type=click.Choice(FORMATS), help="How to print the table.")
n = click.option("--n", type=int, help="Users a platform (UDA_N; default: 50).")
since = click.option("--since", help="Count sessions that started at this time or later.")
until = click.option("--until", help="Count sessions that started before this time.")


def settings_of(context: click.Context, **overrides: Any) -> Settings:
    """The settings of a command; an option before the command's name gives way to one behind it."""
    from uda_assets.basics.limits import limit_pools
    from uda_assets.basics.settings import load_settings

    common: dict[str, Any] = context.obj or {}
    settings = load_settings(**(common | {name: value for name, value in overrides.items() if value is not None}))
    limit_pools(settings)
    return settings


def required(path: Path | None, option: str) -> Path:
    """The value of an option that must be there.

    Raises:
        UsageError: It is not.
    """
    if path is None:
        raise UsageError(f"{option} is missing")
    return path
