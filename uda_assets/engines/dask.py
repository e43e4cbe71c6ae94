"""The engine of a Dask cluster: an existing one at its scheduler's address, or one that is started on this machine.

Dask schedules the tasks, and runs those of a dead worker again. A task writes files of its own and returns a small
result. Only this process commits, so that a task may run twice. Errors that a user can mend come back as values,
because Dask would log them as failures of a worker.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Generic, NamedTuple, cast

import pyarrow as pa
from distributed import Client, Future, KilledWorker, LocalCluster, Security, get_worker
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError
from distributed.system import MEMORY_LIMIT

from uda_assets.basics.errors import ClusterFault, UdaError, UsageError, one_line
from uda_assets.basics.limits import Workplace
from uda_assets.basics.moments import Killed
from uda_assets.basics.progress import OnAdvance
from uda_assets.basics.settings import Settings
from uda_assets.basics.sizes import memory_bytes
from uda_assets.engines.base import Account, Job, OnProgress, Result
from uda_assets.ingest.convert import CONVERTER_VERSION, Conversion, DropJob
from uda_assets.ingest.parts import ATTEMPTS, Attempt, adopt, convert_alone, convert_in_parts, convert_part
from uda_assets.ingest.reader import Part
from uda_assets.ingest.source import reads_directly
from uda_assets.storage import make_dir_alone
from uda_assets.warehouse.relations import LAYOUT

LEAST_RANGE = 8 << 20
"""The smallest part into which a drop is divided to keep all workers busy."""

_DROPS_AT_ONCE = 64
_LOOK_EVERY = 2.0
# The memory of a worker before it does anything, for Python and the libraries.
_BASE_MEMORY = 240 << 20
_SHARE_OF_THE_REST = 0.5
_LEAST_MEMORY = 64 << 20
# Parameters of GNU's mallopt, and the value at which both thresholds start.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_USUAL_THRESHOLD = 128 << 10


class _Outcome(NamedTuple, Generic[Result]):
    """The outcome of a task: a result, or an error that a user can mend, and the bytes that it read and wrote."""

    result: Result | None
    error: BaseException | None
    bytes_read: int
    bytes_written: int


class Versions(NamedTuple):
    """What must be the same in all processes, so that their files fit together."""

    layout: str
    converter: str


def _versions() -> Versions:
    return Versions(LAYOUT, CONVERTER_VERSION)


def _serves_page(dask_scheduler: Any) -> bool:
    return bool(dask_scheduler.http_application.applications)


@contextmanager
def open_dask(settings: Settings) -> Iterator[DaskEngine]:
    """Open the engine of the cluster that the settings name. Without one, a local cluster is started for the time.

    Raises:
        ClusterFault: The cluster cannot be reached.
        UsageError: A setting is wrong.
    """
    range_bytes = max(LEAST_RANGE, memory_bytes(settings.dask_range_bytes, "dask_range_bytes"))
    with _connected(settings) as client:
        yield DaskEngine(client, settings, range_bytes)


@contextmanager
def _connected(settings: Settings) -> Iterator[Client]:
    if settings.dask_scheduler:
        with _client(settings.dask_scheduler, settings, _security(settings)) as client:
            yield client
        return
    with _local_cluster(settings) as cluster, _client(cluster, settings) as client:
        yield client


def _local_cluster(settings: Settings) -> LocalCluster:
    memory = memory_bytes(settings.dask_memory_limit, "dask_memory_limit")
    try:
        return LocalCluster(
            n_workers=settings.dask_workers or settings.threads,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            memory_limit=memory,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
            env={"POLARS_MAX_THREADS": "1"},
        )
    except (RuntimeError, OSError) as error:
        raise ClusterFault(f"no Dask cluster can be started on this machine ({one_line(error)})") from None


def _security(settings: Settings) -> Security | None:
    if not settings.dask_scheduler.startswith("tls://"):
        return None
    return Security(
        require_encryption=True,
        tls_ca_file=settings.dask_tls_ca_file or None,
        tls_client_cert=settings.dask_tls_cert or None,
        tls_client_key=settings.dask_tls_key or None,
    )


@contextmanager
def _client(where: str | LocalCluster, settings: Settings, security: Security | None = None) -> Iterator[Client]:
    advice = "start it, or name another one by UDA_DASK_SCHEDULER, or take UDA_ENGINE=polars"
    try:
        client = Client(where, timeout=settings.dask_timeout, set_as_default=False, security=security)
    except (ValueError, TypeError) as error:
        raise UsageError(f"dask_scheduler cannot be {where!r}: {one_line(error)}") from None
    except OSError as error:
        reason = one_line(error) if "imed out" not in str(error) else f"no answer in {settings.dask_timeout:g} s"
        raise ClusterFault(f"the Dask scheduler at {where} cannot be reached ({reason}); {advice}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=settings.dask_timeout)
        except TimeoutError:
            raise ClusterFault(
                f"the Dask scheduler at {where} has had no worker for {settings.dask_timeout:g} s; start "
                f"`dask worker {where}`"
            ) from None
        _require_same_versions(client)
        yield client


def _require_same_versions(client: Client) -> None:
    try:
        found: dict[str, Versions] = client.run(_versions)
    except Exception as error:
        raise ClusterFault(
            f"a Dask worker cannot run uda_assets ({one_line(error)}); install the same version on all workers"
        ) from None
    for worker, versions in found.items():
        if versions != _versions():
            raise ClusterFault(
                f"the Dask worker {worker} has {tuple(versions)}, this process {tuple(_versions())}; install the same "
                "versions everywhere"
            )


class DaskEngine:
    """Runs tasks on the workers of a cluster.

    Args:
        client: A client that is connected to the cluster. The caller closes it.
        settings: The settings, for the timeout.
        range_bytes: About how many bytes of a large drop one task reads.
    """

    elsewhere = True
    bucket_records = 32_000_000

    def __init__(self, client: Client, settings: Settings, range_bytes: int) -> None:
        self.on_progress: OnProgress | None = None
        self._client = client
        self._timeout = settings.dask_timeout
        self._range_bytes = range_bytes
        self._counting = Lock()
        self._started = self._done = self._bytes_read = self._bytes_written = 0

    @property
    def workers(self) -> int:
        """The number of threads of all workers."""
        threads: dict[str, int] = self._ask(self._client.nthreads)
        return max(1, sum(threads.values()))

    def drops_at_once(self, drops: int) -> int:
        """Return how many drops to convert at once: more than workers, so that none waits for this process."""
        return max(1, min(drops, max(_DROPS_AT_ONCE, 2 * self.workers)))

    def convert(self, job: DropJob, on_advance: OnAdvance | None = None) -> Conversion:
        """Convert a drop as one task, or in parts if it is large."""
        del on_advance
        make_dir_alone(job.staged / ATTEMPTS)
        pieces = self._pieces(job)
        if pieces > 1:
            size = job.source.stat().st_size
            return convert_in_parts(job, math.ceil(size / pieces), self._submit_part)
        return adopt(job, self._submit(convert_alone, job).result())

    def run(self, task: Callable[[Job, Workplace], Result], jobs: Sequence[Job], staged: Path) -> list[Result]:
        """Run all tasks on the cluster. They spill to the directories of their workers."""
        del staged
        pending = [self._submit(task, job) for job in jobs]
        try:
            return [one.result() for one in pending]
        finally:
            for one in pending:
                one.cancel()

    def account(self) -> Account:
        """Return what the engine has done so far."""
        return Account("dask", self.workers, self._done, self._bytes_read, self._bytes_written, self._dashboard())

    def _dashboard(self) -> str | None:
        """Return a link to the scheduler's page, if it serves one. Without bokeh the client names one all the same."""
        try:
            served = self._client.run_on_scheduler(_serves_page)
        except Exception:
            return None  # The scheduler's machine need not have this package.
        return str(self._client.dashboard_link) if served else None

    def _pieces(self, job: DropJob) -> int:
        """Return the number of parts of a drop. If there are fewer drops than workers, it keeps all workers busy."""
        try:
            size = job.source.stat().st_size if reads_directly(job.source, job.dialect) else 0
        except OSError:
            return 1  # The conversion reports what is wrong with the file.
        pieces = math.ceil(size / self._range_bytes)
        workers = self.workers
        if job.beside < workers:
            evenly = math.ceil(max(pieces, 2) / workers) * workers
            pieces = max(pieces, min(evenly, size // LEAST_RANGE))
        return pieces

    def _submit_part(self, job: DropJob, part: Part) -> _Pending[Attempt]:
        return self._submit(_convert_part, (job, part))

    def _submit(self, task: Callable[[Job, Workplace], Result], job: Job) -> _Pending[Result]:
        with self._counting:
            self._started += 1
        key = f"{getattr(task, '__name__', 'task').strip('_')}-{uuid.uuid4().hex}"
        future = self._ask(lambda: self._client.submit(_run, task, job, key=key, pure=False))
        return _Pending(self, future)

    def result_of(self, future: Future[Any]) -> _Outcome[Any]:
        """Wait for the outcome of a task as long as there are workers.

        Raises:
            ClusterFault: The cluster gave up on the task, or was lost.
        """
        deserted = 0.0
        while True:
            try:
                outcome: _Outcome[Any] = future.result(timeout=_LOOK_EVERY)
            except TimeoutError:
                deserted = 0.0 if self._ask(self._client.nthreads) else deserted + _LOOK_EVERY
                if deserted > self._timeout:
                    raise ClusterFault("all Dask workers are gone; start some and run again") from None
            except KilledWorker as error:
                raise ClusterFault(
                    f"{error.allowed_failures + 1} Dask workers died at the same task, most likely for want of memory; "
                    "give them more, or set a smaller UDA_DASK_RANGE_BYTES or more UDA_BUCKETS"
                ) from None
            except (FutureCancelledError, CommClosedError) as error:
                raise self._lost(error) from None
            else:
                self._count(outcome)
                return outcome

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except (OSError, FutureCancelledError, CommClosedError, RuntimeError) as error:
            raise self._lost(error) from None

    def _lost(self, error: BaseException) -> ClusterFault:
        where = self._client.scheduler.address if self._client.scheduler else "its address"
        return ClusterFault(
            f"the Dask scheduler at {where} was lost ({one_line(error)}); nothing is half-committed: start it and run "
            "again"
        )

    def _count(self, outcome: _Outcome[Any]) -> None:
        with self._counting:
            self._done += 1
            self._bytes_read += outcome.bytes_read
            self._bytes_written += outcome.bytes_written
            done, started = self._done, self._started
        if self.on_progress:
            self.on_progress(done, started)


class _Pending(Generic[Result]):
    """A task that was submitted to the cluster."""

    def __init__(self, engine: DaskEngine, future: Future[Any]) -> None:
        self._engine = engine
        self._future: Future[Any] | None = future

    def result(self) -> Result:
        """Return the result of the task, or raise its error."""
        assert self._future is not None, "the result is asked for once, and not after cancelling"
        outcome = self._engine.result_of(self._future)
        self._future = None
        if outcome.error is not None:
            raise outcome.error
        return cast(Result, outcome.result)

    def cancel(self) -> None:
        """Cancel the task if it is not done."""
        if self._future is not None:
            # The cluster drops tasks without a future. Unlike cancelling, this also works when the cluster is lost.
            self._future.release()
            self._future = None


# -- on the workers --------------------------------------------------------------------------------------------------


def _convert_part(job: tuple[DropJob, Part], place: Workplace) -> Attempt:
    return convert_part(*job, place)


def _run(task: Callable[[Job, Workplace], Result], job: Job) -> _Outcome[Result]:
    """Run a task within the limits of this worker."""
    worker = get_worker()
    with _freed_memory.kept(), tempfile.TemporaryDirectory(prefix="uda-", dir=worker.local_directory) as spill:
        place = Workplace(1, f"{_memory_of_a_task(worker)}B", Path(spill))
        try:
            return _Outcome(task(job, place), None, place.bytes_read, place.bytes_written)
        except (UdaError, Killed) as error:
            return _Outcome(None, error, place.bytes_read, place.bytes_written)


def _memory_of_a_task(worker: Any) -> int:
    """Return the bytes that a task may use: its share of the worker's memory, without that of the bare process."""
    limit = worker.memory_manager.memory_limit or MEMORY_LIMIT
    share = (limit - _BASE_MEMORY) * _SHARE_OF_THE_REST / max(1, worker.state.nthreads)
    return max(_LEAST_MEMORY, int(share))


@cache
def _c_library() -> Any:
    """Return GNU's C library, or None on other systems."""
    if sys.platform != "linux":
        return None
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


class _FreedMemory:
    """Keeps freed memory in the process while tasks run.

    Dask's nanny sets MALLOC_TRIM_THRESHOLD_, so that each freed block of a drop is returned to the system and requested
    again. That doubled the time of a conversion. Other tasks on the same worker run as before.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._tasks = 0

    @contextmanager
    def kept(self) -> Iterator[None]:
        with self._lock:
            self._tasks += 1
            self._set(64 << 20, 32 << 20)
        try:
            yield
        finally:
            with self._lock:
                self._tasks -= 1
                if not self._tasks:
                    self._set(_environment("MALLOC_TRIM_THRESHOLD_"), _environment("MALLOC_MMAP_THRESHOLD_"))
            _give_memory_back()

    def _set(self, trim: int, mmap: int) -> None:
        # Without the variable GNU's library adapts the values by itself, which setting one would stop.
        if "MALLOC_TRIM_THRESHOLD_" in os.environ and (library := _c_library()):
            library.mallopt(_TRIM_THRESHOLD, trim)
            library.mallopt(_MMAP_THRESHOLD, mmap)


def _environment(name: str) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else _USUAL_THRESHOLD


_freed_memory = _FreedMemory()


def _give_memory_back() -> None:
    """Return freed memory to the system, because Dask gives no tasks to a worker that seems full."""
    pa.default_memory_pool().release_unused()
    if library := _c_library():
        library.malloc_trim(0)
