"""The program as a whole: its commands, ``--op``, exit codes, and what is said of errors."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click
from click.shell_completion import shell_complete

from uda_assets.basics.errors import UdaError, UsageError
from uda_assets.basics.visible import visibly
from uda_assets.cli import asked, committed, options, records, synthesis
from uda_assets.cli.display import has_colours
from uda_assets.cli.interrupts import interrupts
from uda_assets.storage import disk_fault, storage_fault


class _InOrder(click.Group):
    """Lists its commands as they were added: in the order of use, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Whole sentences, which are wrapped where click would cut them."""
        with formatter.section("Commands"):
            named = [(name, self.commands[name]) for name in self.list_commands(ctx)]
            formatter.write_dl([(name, one.get_short_help_str(1000)) for name, one in named])


@click.group(
    cls=_InOrder,
    epilog="Each command's --help has examples. To have names completed by the shell: "
    'eval "$(_UDA_COMPLETE=bash_source uda)", or zsh_source, or fish_source.',
)
@options.data_root
@click.pass_context
def app(context: click.Context, data_root: str | None) -> None:
    """Exact leaderboards of user activity, from suppliers' CSV drops."""
    context.obj = {"data_root": data_root}


for _command in (
    synthesis.generator, records.converter, records.inspector, synthesis.supplier, committed.drops,
    committed.quarantine, committed.verify, committed.forget, committed.leaderboard, asked.query,
    committed.report, committed.dev,
):  # fmt: skip
    app.add_command(_command)


def _with_subcommand(arguments: list[str]) -> list[str]:
    """``--op NAME`` anywhere is the same as the subcommand NAME in front."""
    for position, argument in enumerate(arguments):
        if argument == "--op":
            if position + 1 == len(arguments):
                raise UsageError("--op needs a name, such as inspector")
            return [arguments[position + 1], *arguments[:position], *arguments[position + 2 :]]
        if argument.startswith("--op="):
            return [argument.removeprefix("--op="), *arguments[:position], *arguments[position + 1 :]]
    return arguments


def run(arguments: list[str]) -> int:
    """Run the program and return its exit code; no error that a user can cause shows a traceback."""
    try:
        return _dispatch(arguments)
    except BrokenPipeError:
        # The reader of our output has seen enough; what is still in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, click.Abort):
        return _stopped(interrupts.received or signal.SIGINT)
    except Exception as error:
        if interrupts.received:
            # Libraries have errors of their own for it.
            return _stopped(interrupts.received)
        explained = explain(error)
        if explained is None:
            raise
        return _fail(*explained)


def _dispatch(arguments: list[str]) -> int:
    if instruction := os.environ.get("_UDA_COMPLETE"):
        # A shell asks, either for a script or for what can stand next.
        return shell_complete(app, {}, "uda", "_UDA_COMPLETE", instruction)
    if not arguments:
        _invoke(["--help"])
        return 2
    return _invoke(_with_subcommand(arguments))


def _invoke(arguments: list[str]) -> int:
    """Run a command; not by click's ``main``, which has exit codes of its own for a closed pipe and an interrupt."""
    try:
        with app.make_context("uda", arguments) as context:
            app.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    return 0


def explain(error: Exception) -> tuple[str, int] | None:
    """What to say of an error, and the exit code; None where it is our own fault and the traceback tells more."""
    error = storage_fault(error) or error
    if isinstance(error, UdaError):
        return str(error), 2 if isinstance(error, UsageError) else 1
    if isinstance(error, click.ClickException):
        return error.format_message() or "see `uda --help`", 2
    if told := disk_fault(error):
        return told, 1
    if isinstance(error, MemoryError):
        return "there is not enough memory; see UDA_MEMORY_LIMIT and UDA_THREADS", 1
    if type(error).__module__.partition(".")[0] in _LIBRARIES:
        # What they say of damaged files; they are not imported here to ask.
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
    # Messages name what is in data.
    click.echo(visibly(" ".join(message.split())), err=True)
    return code


def main() -> None:
    """Entry point of the console script."""
    if sys.stderr is None:
        # print() would put messages among the data.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    interrupts.install()
    code = run(sys.argv[1:])
    interrupts.finish()
    sys.exit(code)
