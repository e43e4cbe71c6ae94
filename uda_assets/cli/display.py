"""Progress bars and a summary on stderr.

If stderr is not a terminal, there are no bars and no colours, the summary is one plain line, and rich is not imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from uda_assets.basics.progress import Advance, Pace

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_WITH_BAR, _WIDTH_WITHOUT_BAR = 76, 52
"""Terminal columns needed for all parts of a progress line, and for all parts except the bar."""


class Outcome(NamedTuple):
    """The result of a command that read or wrote records.

    Attributes:
        what: The file, or what the command did.
        records: Records read or written.
        quarantined: How many of them are malformed; None if the command does not judge records.
        reasons: The number of malformed records by reason.
        written: Where the result is; None if it went to stdout.
    """

    what: str
    records: int
    quarantined: int | None = None
    reasons: Mapping[str, int] = {}
    written: str | None = None


def is_terminal() -> bool:
    """Return whether stderr is a terminal that can do more than print lines."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def has_colours() -> bool:
    """Return whether messages on stderr should have colours (https://no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR")


@contextmanager
def progress(activity: str) -> Iterator[CommandProgress]:
    """Show the progress of a command on a terminal while the context lasts; elsewhere only measure it."""
    if not is_terminal():
        yield CommandProgress()
        return
    from rich.progress import Progress as Bars

    console = _console()
    with Bars(*_columns(console.width), console=console, transient=True) as bars:
        yield _ProgressBar(bars, bars.add_task(activity, total=None, records="", rate=""))


class CommandProgress:
    """Progress that is measured and not shown.

    Attributes:
        pace: How far the work is and how long it has taken.
    """

    def __init__(self) -> None:
        self.pace = Pace()

    def begin(self, sizes: Mapping[str, int]) -> None:
        """Begin the work on some files; their sizes are their shares of the whole."""
        self.pace.begin(sizes)

    def advance(self, advance: Advance) -> None:
        """Record how far the work on one file is."""
        self.pace.advance(advance)


class _ProgressBar(CommandProgress):
    """Progress that is shown as a bar on a terminal."""

    def __init__(self, bars: Any, task: Any) -> None:
        super().__init__()
        self._bars, self._task = bars, task

    def begin(self, sizes: Mapping[str, int]) -> None:
        super().begin(sizes)
        self._bars.update(self._task, total=1.0 if sizes else None)

    def advance(self, advance: Advance) -> None:
        super().advance(advance)
        self._bars.update(
            self._task,
            completed=self.pace.share,
            records=f"{self.pace.records:,} records",
            rate=f"{self.pace.records_per_second:,.0f} records/s",
        )


def _columns(width: int) -> list[Any]:
    """Return the parts of a progress line that fit a terminal's width."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    percent, rate = TaskProgressColumn(), TextColumn("{task.fields[rate]}", style="cyan")
    if width < _WIDTH_WITHOUT_BAR:
        return [percent, rate]
    columns: list[Any] = [percent, TextColumn("{task.fields[records]}"), rate, TimeRemainingColumn(compact=True)]
    if width < _WIDTH_WITH_BAR:
        return columns
    return [TextColumn("{task.description}"), BarColumn(bar_width=None), *columns]


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def summarize(outcome: Outcome, seconds: float) -> None:
    """Print an outcome on stderr: as a table on a terminal, otherwise in one line."""
    from uda_assets.cli.output import say

    if is_terminal():
        _print_summary(outcome, seconds)
        return
    quarantined = outcome.quarantined or 0
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(outcome.reasons.items()))
    say(
        f"{outcome.what}: {outcome.records} records, {outcome.records - quarantined} kept, {quarantined} quarantined"
        + (f" ({reasons})" if reasons else "")
    )


def _print_summary(outcome: Outcome, seconds: float) -> None:
    from rich.table import Table
    from rich.text import Text

    from uda_assets.basics.visible import visibly

    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    table.add_column(style="dim")

    def add(name: str, value: str, style: str = "", remark: str = "") -> None:
        table.add_row(Text(name, style="dim" if name.startswith(" ") else ""), Text(value, style=style), remark)

    add("records", f"{outcome.records:,}", "bold")
    if outcome.quarantined is not None:
        share = f"{outcome.quarantined / outcome.records:.1%}" if outcome.quarantined else ""
        add("kept", f"{outcome.records - outcome.quarantined:,}", "green")
        add("quarantined", f"{outcome.quarantined:,}", "yellow" if outcome.quarantined else "", share)
    for reason, count in sorted(outcome.reasons.items(), key=lambda item: (-item[1], item[0])):
        add(f"  {reason}", f"{count:,}", "yellow")
    add("seconds", f"{seconds:,.2f}")
    if seconds > 0:
        add("records/s", f"{outcome.records / seconds:,.0f}", "cyan")
    console = _console()
    console.print(Text(visibly(outcome.what), style="bold"), soft_wrap=True)
    console.print(table)
    if outcome.written:
        console.print(Text.assemble(("written to ", "dim"), visibly(outcome.written)), soft_wrap=True)
