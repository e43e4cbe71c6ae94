"""What does the heavy work: this machine, or a cluster. The kernel asks an engine and does not know which it is.

An engine runs tasks: functions of a job and a :class:`Workplace`, which write files of their own and return small
results. The caller decides which of these files count, by committing a manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from uda_assets.basics.limits import Workplace
from uda_assets.basics.progress import OnAdvance

if TYPE_CHECKING:
    from uda_assets.ingest.convert import Conversion, DropJob

Job = TypeVar("Job")
Result = TypeVar("Result")

OnProgress = Callable[[int, int], None]
"""Told how many tasks are done, and how many there are so far; from any thread."""


class Account(NamedTuple):
    """What an engine did since it was opened.

    Attributes:
        engine: Its name.
        workers: Tasks that it runs at once.
        tasks: Tasks that were done.
        bytes_read, bytes_written: By tasks, in files.
        dashboard: Link to a page that shows it at work, if there is one.

    """

    engine: str
    workers: int
    tasks: int
    bytes_read: int
    bytes_written: int
    dashboard: str | None = None


class Engine(Protocol):
    """What converts drops and runs the tasks of sessions and ranking.

    Attributes:
        workers: Tasks that run at once.
        elsewhere: Whether tasks run in other processes, so that this one should see small results alone.
        bucket_records: Records that a bucket of users, over all platforms, is meant to hold.
        on_progress: Told of each task that is done.

    """

    on_progress: OnProgress | None

    @property
    def workers(self) -> int:
        """Tasks that run at once."""
        ...

    @property
    def elsewhere(self) -> bool:
        """Whether tasks run in other processes."""
        ...

    @property
    def bucket_records(self) -> int:
        """Records that a bucket is meant to hold."""
        ...

    def drops_at_once(self, drops: int) -> int:
        """How many of some drops should be converted side by side, each from a thread of its own."""
        ...

    def convert(self, job: DropJob, on_advance: OnAdvance | None = None) -> Conversion:
        """Convert a drop; may be called from several threads.

        Where the work is done in this process, ``on_advance`` is told how far it is.

        Raises:
            DropUnreadable: The drop cannot be read as a whole.
            MalformedRecord: A record is malformed, and the job asks to stop at it.

        """
        ...

    def run(self, task: Callable[[Job, Workplace], Result], jobs: Sequence[Job], staged: Path) -> list[Result]:
        """Run a task for each job, and give the results in the order of the jobs.

        What a task raises is raised here, and the other tasks are given up.

        Args:
            task: A function of a module, so that it can be named to another process.
            jobs: What each is to do.
            staged: Directory for temporary files of this process.

        """
        ...

    def account(self) -> Account:
        """What was done so far."""
        ...
