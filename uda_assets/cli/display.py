"""What a terminal shows beside the data, on stderr: bars while work goes on, and at its end what became of it.

Where stderr is no terminal there are no bars and no colours, and the end is one plain line; nothing of this is imported
then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from uda_assets.basics.progress import Advance, Pace
from uda_assets.cli.files import account

if TYPE_CHECKING:
    from rich.console import Console

_ROOM_FOR_A_BAR, _ROOM_FOR_ALL = 76, 52


class Outcome(NamedTuple):
    """What became of some records.

    Attributes:
        what: The file, or what the command did.
        records: Records read or written.
        quarantined: Malformed ones of them; None where none is looked for.
        reasons: These by reason.
        written: Where the result is; None where it went to stdout.

    """

    what: str
    records: int
    quarantined: int | None = None
    reasons: Mapping[str, int] = {}
    written: str | None = None


def is_terminal() -> bool:
    """Whether someone looks at stderr, on a terminal that can do more than print lines."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def has_colours() -> bool:
    """Whether colours are wanted there (https://no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR")


@contextmanager
def progress(doing: str) -> Iterator[Shown]:
    """Progress of a command; shown where there is a terminal, and gone when it is over."""
    if not is_terminal():
        yield Shown()
        return
    from rich.progress import Progress as Bars

    console = _console()
    with Bars(*_columns(console.width), console=console, transient=True) as bars:
        yield _Bar(bars, bars.add_task(doing, total=None, records="", rate=""))


class Shown:
    """Progress that nobody looks at; it knows how long the work took."""

    def __init__(self) -> None:
        self.pace = Pace()

    def begin(self, sizes: Mapping[str, int]) -> None:
        """See :class:`uda_assets.basics.progress.Progress`."""
        self.pace.begin(sizes)

    def advance(self, advance: Advance) -> None:
        """See :class:`uda_assets.basics.progress.Progress`."""
        self.pace.advance(advance)


class _Bar(Shown):
    """A bar of a terminal."""

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
    """As much as there is room for."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    percent, rate = TaskProgressColumn(), TextColumn("{task.fields[rate]}", style="cyan")
    if width < _ROOM_FOR_ALL:
        return [percent, rate]
    columns: list[Any] = [percent, TextColumn("{task.fields[records]}"), rate, TimeRemainingColumn(compact=True)]
    if width < _ROOM_FOR_A_BAR:
        return columns
    return [TextColumn("{task.description}"), BarColumn(bar_width=None), *columns]


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def summarize(outcome: Outcome, seconds: float) -> None:
    """Say what became of the records: as a table on a terminal, else in one line."""
    from uda_assets.cli.output import say

    if is_terminal():
        _show(outcome, seconds)
    else:
        say(account(outcome.what, outcome.records, outcome.quarantined or 0, outcome.reasons))


def _show(outcome: Outcome, seconds: float) -> None:
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
