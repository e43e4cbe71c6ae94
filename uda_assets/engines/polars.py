"""The engine of this machine. Polars and Arrow read drops, and DuckDB merges and ranks.

Each task uses all threads, so that tasks run one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from uda_assets.basics.limits import Workplace, block_bytes
from uda_assets.basics.progress import OnAdvance
from uda_assets.basics.settings import Settings
from uda_assets.engines.base import Account, Job, OnProgress, Result
from uda_assets.ingest.convert import Conversion, DropJob, Reading, convert


@contextmanager
def open_polars(settings: Settings) -> Iterator[PolarsEngine]:
    """Open the engine of this machine."""
    yield PolarsEngine(settings)


class PolarsEngine:
    """Runs everything in this process."""

    workers = 1
    elsewhere = False
    # DuckDB spills by itself, so that more buckets only cost an exchange of contributions.
    bucket_records = 256_000_000

    def __init__(self, settings: Settings) -> None:
        self.on_progress: OnProgress | None = None
        self._settings = settings
        self._started = self._done = 0
        self._bytes_read = self._bytes_written = 0
        self._counting = Lock()

    def drops_at_once(self, drops: int) -> int:
        """Return how many drops to convert at once. Several threads read one drop, or one thread reads each of many."""
        return min(self._settings.threads, drops) or 1

    def convert(self, job: DropJob, on_advance: OnAdvance | None = None) -> Conversion:
        """Convert a drop by its share of the threads."""
        self._start(1)
        threads = max(1, self._settings.threads // job.beside)
        done = convert(job, Reading(threads, block_bytes(self._settings), job.scratch), on_advance)
        self._finish(done.bytes_read, done.bytes_written)
        return done

    def run(self, task: Callable[[Job, Workplace], Result], jobs: Sequence[Job], staged: Path) -> list[Result]:
        """Run tasks one after another. Each uses all threads."""
        self._start(len(jobs))
        results = []
        for job in jobs:
            place = Workplace(self._settings.threads, self._settings.memory_limit, staged / "spill")
            results.append(task(job, place))
            self._finish(place.bytes_read, place.bytes_written)
        return results

    def account(self) -> Account:
        """Return what the engine has done so far."""
        return Account("polars", self.workers, self._done, self._bytes_read, self._bytes_written)

    def _start(self, tasks: int) -> None:
        with self._counting:
            self._started += tasks

    def _finish(self, bytes_read: int, bytes_written: int) -> None:
        with self._counting:
            self._done += 1
            self._bytes_read += bytes_read
            self._bytes_written += bytes_written
            done, started = self._done, self._started
        if self.on_progress:
            self.on_progress(done, started)
