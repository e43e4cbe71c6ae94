"""The whole program: its commands, ``--op``, exit codes and error messages."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click
from click.shell_completion import shell_complete

from uda_assets.basics.errors import UdaError, UsageError, memory_fault
from uda_assets.basics.visible import visibly
from uda_assets.cli import options
from uda_assets.cli.converter import converter
from uda_assets.cli.data_root import drops, forget, leaderboard, quarantine, report, verify
from uda_assets.cli.dev import dev
from uda_assets.cli.display import has_colours
from uda_assets.cli.inspector import inspector
from uda_assets.cli.interrupts import interrupts
from uda_assets.cli.query import query
from uda_assets.cli.sniff import sniff
from uda_assets.cli.synthetic import generator, supplier
from uda_assets.storage import disk_fault, storage_fault


class _OrderedGroup(click.Group):
    """A group that lists its commands in the order in which they were added, which is the order of use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with whole, wrapped sentences, which click would cut."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self.commands[name].get_short_help_str(1000)) for name in self.list_commands(ctx)]
            )


@click.group(
    cls=_OrderedGroup,
    epilog="Each command's --help has examples. To let the shell complete names: "
    'eval "$(_UDA_COMPLETE=bash_source uda)", or zsh_source, or fish_source.',
)
@options.data_root
@click.pass_context
def app(context: click.Context, data_root: str | None) -> None:
    """Exact leaderboards of user activity, from suppliers' CSV drops."""
    context.obj = {"data_root": data_root}


for _command in (
    generator, converter, inspector, supplier, sniff, drops, quarantine, verify, forget, leaderboard, query, report,
    dev,
):  # fmt: skip
    app.add_command(_command)


def _with_subcommand(arguments: list[str]) -> list[str]:
    """Replace ``--op NAME``, wherever it is, by the subcommand NAME at the front."""
    for position, argument in enumerate(arguments):
        if argument == "--op":
            if position + 1 == len(arguments):
                raise UsageError("--op needs the name of a command, such as inspector")
            return [arguments[position + 1], *arguments[:position], *arguments[position + 2 :]]
        if argument.startswith("--op="):
            return [argument.removeprefix("--op="), *arguments[:position], *arguments[position + 1 :]]
    return arguments


def run(arguments: list[str]) -> int:
    """Run the program and return its exit code; an error that a user can cause never shows a traceback."""
    try:
        return _dispatch(arguments)
    except BrokenPipeError:
        # The reader of our output has closed it, so whatever is still buffered is dropped.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, click.Abort):
        return _stopped(interrupts.received or signal.SIGINT)
    except Exception as error:
        if interrupts.received:
            # Some libraries turn the interruption into an error of their own.
            return _stopped(interrupts.received)
        explanation = explain(error)
        if explanation is None:
            raise
        return _fail(*explanation)


def _dispatch(arguments: list[str]) -> int:
    if instruction := os.environ.get("_UDA_COMPLETE"):
        # A shell asks for its completion script, or for the words that can come next.
        return shell_complete(app, {}, "uda", "_UDA_COMPLETE", instruction)
    if not arguments:
        _invoke(["--help"])
        return 2
    return _invoke(_with_subcommand(arguments))


def _invoke(arguments: list[str]) -> int:
    """Run a command without click's ``main``, whose exit codes for a closed pipe and an interrupt differ from ours."""
    try:
        with app.make_context("uda", arguments) as context:
            app.invoke(context)
    except click.exceptions.Exit as finished:
        return finished.exit_code
    return 0


def explain(error: Exception) -> tuple[str, int] | None:
    """Return the message and the exit code for an error; None for a bug of ours, which needs the traceback."""
    error = storage_fault(error) or error
    if isinstance(error, UdaError):
        return str(error), 2 if isinstance(error, UsageError) else 1
    if isinstance(error, click.ClickException):
        return error.format_message() or "see `uda --help`", 2
    if message := disk_fault(error):
        return message, 1
    if message := memory_fault(error):
        return message, 1
    if type(error).__module__.partition(".")[0] in _LIBRARIES:
        # These libraries complain of damaged files. Their names are compared because importing them takes long.
        return str(error).strip().partition("\n")[0], 1
    return None


_LIBRARIES = frozenset({"duckdb", "_duckdb", "polars", "pyarrow"})


def _stopped(number: int) -> int:
    return _fail("stopped; nothing is left half-written", 128 + number)


def _fail(message: str, code: int) -> int:
    if has_colours():
        click.secho("uda: ", fg="red", bold=True, nl=False, err=True)
    else:
        click.echo("uda: ", nl=False, err=True)
    # A message may quote data, which may contain control codes.
    click.echo(visibly(" ".join(message.split())), err=True)
    return code


def main() -> None:
    """Entry point of the console script."""
    if sys.stderr is None:
        # Without a stderr, print() would write messages to stdout, among the data.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    interrupts.install()
    code = run(sys.argv[1:])
    interrupts.finish()
    sys.exit(code)
