"""The engine does the heavy work, on this machine or on a cluster. The pipeline does not know which it is.

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
"""Called with the number of finished tasks and of all tasks so far, from any thread."""


class Account(NamedTuple):
    """What an engine has done since it was opened.

    Attributes:
        engine: The name of the engine.
        workers: Tasks that it runs at once.
        tasks: Tasks that are done.
        bytes_read, bytes_written: Bytes of files that tasks read and wrote.
        dashboard: A link to a page that shows the engine at work, if there is one.
    """

    engine: str
    workers: int
    tasks: int
    bytes_read: int
    bytes_written: int
    dashboard: str | None = None


class Engine(Protocol):
    """Converts drops, and runs the tasks that merge and rank sessions.

    Attributes:
        workers: Tasks that run at once.
        elsewhere: Whether tasks run in other processes, so that only small results should reach this one.
        bucket_records: Records that a bucket of users, over all platforms, is meant to hold.
        on_progress: Called when a task is done.
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
        """Convert a drop. Several threads may call this at once.

        Only an engine that works in this process calls ``on_advance``.

        Raises:
            DropUnreadable: The drop cannot be read as a whole.
            MalformedRecord: A record is malformed, and the job asks to stop at it.
        """
        ...

    def run(self, task: Callable[[Job, Workplace], Result], jobs: Sequence[Job], staged: Path) -> list[Result]:
        """Run a task for each job, and return the results in the order of the jobs.

        If a task raises an error, it is raised here, and the other tasks are cancelled.

        Args:
            task: A function at the top level of a module, so that another process can import it.
            jobs: The input of each task.
            staged: A directory for temporary files of this process.
        """
        ...

    def account(self) -> Account:
        """Return what the engine has done so far."""
        ...
