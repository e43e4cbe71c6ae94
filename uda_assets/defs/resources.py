"""The resources: the lake, the warehouse by dagster-duckdb, and the engine. Runs execute in one process."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import PrivateAttr

from uda_assets.basics.errors import UdaError, memory_fault, one_line
from uda_assets.basics.settings import EngineName, Settings, load_settings
from uda_assets.contract.reasons import MalformedRecord
from uda_assets.contract.suppliers import Rulebook, rulebook
from uda_assets.engines import Account, Engine, open_engine
from uda_assets.lake import DayRule, Lake, open_lake
from uda_assets.pipeline.context import Run
from uda_assets.storage import disk_fault, root_of, storage_fault
from uda_assets.warehouse.database import Connect, configure, plain_database


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The data root. The default is ``UDA_DATA_ROOT``, or ``data`` below the working directory."""

    data_root: str | None = None
    _books: dict[str, Rulebook] = PrivateAttr(default_factory=dict)

    def settings(self, **overrides: Any) -> Settings:
        """Return the settings in force. Values from run config override them."""
        with readable_failures():
            return load_settings(**{"data_root": self.data_root, **overrides})

    def open(self) -> Lake:
        """Open the lake at the data root."""
        settings = self.settings()
        with readable_failures():
            return open_lake(settings)

    def book(self, settings: Settings, platforms: object = None, suppliers: object = None) -> Rulebook:
        """Return the platform table and the suppliers in force, with those of run config.

        They are read once for all steps of a run, so that all work by the same rules.
        """
        key = repr((_run_id(), settings.keep_unknown_platforms, platforms or None, suppliers or None))
        if _run_id() and key in self._books:
            return self._books[key]
        with readable_failures():
            book = rulebook(root_of(settings), settings, platforms, suppliers)
        self._books = {name: known for name, known in self._books.items() if repr(_run_id()) in name} | {key: book}
        return book

    @contextmanager
    def writing(self, settings: Settings) -> Iterator[Lake]:
        """Yield the lake while this process holds its lock. Errors that a user can mend become readable failures."""
        with readable_failures():
            lake = open_lake(settings)
            with lake.writing(settings.lock_timeout):
                yield lake

    @contextmanager
    def run(
        self,
        settings: Settings,
        engine: Engine,
        *,
        connect: Connect = plain_database,
        days: DayRule | None = None,
        platforms: object = None,
        suppliers: object = None,
    ) -> Iterator[Run]:
        """Yield a run on the lake while this process holds its lock.

        Args:
            settings: The settings of the run.
            engine: The engine that does the heavy work.
            connect: Opens database files.
            days: How leaderboards of days are made, if not by the N and the excluded users of these settings.
            platforms: Further platforms and spellings from run config.
            suppliers: Entries of suppliers from run config, which come before those of the file.
        """
        with self.writing(settings) as lake:
            yield Run(lake, settings, self.book(settings, platforms, suppliers), engine, connect, days)


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """DuckDB databases, opened by dagster-duckdb."""

    def connect(self, path: Path) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the database at a path. It is made if there is none."""
        connection: AbstractContextManager[duckdb.DuckDBPyConnection] = DuckDBResource(
            database=str(path)
        ).get_connection()
        return connection

    @contextmanager
    def scratch(self, lake: Lake, settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a database in memory for checks that count again. It spills to the data root."""
        with readable_failures(), lake.scratch() as spill, self.connect(Path(":memory:")) as connection:
            configure(connection, settings, spill, lake.root)
            yield connection


class EngineResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The engine. The client of a Dask cluster is kept for all steps of a run."""

    _stack: ExitStack = PrivateAttr(default_factory=ExitStack)
    _cluster: Engine | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["EngineResource"]:
        """Close the engines at the end of the run."""
        del context
        try:
            yield self
        finally:
            self._cluster = None
            self._stack.close()

    def of(self, settings: Settings) -> Engine:
        """Return the engine that the settings choose."""
        with readable_failures():
            if settings.engine is not EngineName.DASK:
                return self._stack.enter_context(open_engine(settings))
            self._cluster = self._cluster or self._stack.enter_context(open_engine(settings))
            return self._cluster


def _run_id() -> str | None:
    """Return the run that is being executed, or None outside of one."""
    try:
        return dg.OpExecutionContext.get().run_id
    except dg.DagsterInvariantViolationError:
        return None


def engine_metadata(before: Account, after: Account) -> dict[str, Any]:
    """Return what an engine did between two accounts of it."""
    link = {"dashboard": dg.MetadataValue.url(after.dashboard)} if after.dashboard else {}
    return {
        "engine": after.engine,
        "workers": after.workers,
        "tasks": after.tasks - before.tasks,
        "task_bytes_read": after.bytes_read - before.bytes_read,
        "task_bytes_written": after.bytes_written - before.bytes_written,
    } | link


@contextmanager
def readable_failures() -> Iterator[None]:
    """Turn an error that a user can mend into a failure with a message of one line, without a retry."""
    try:
        yield
    except MalformedRecord as error:
        metadata: dict[str, str | int] = {
            "drop": error.drop,
            "line": error.line,
            "reason": error.reason,
            "raw": error.raw[:1000],
        }
        raise dg.Failure(str(error), metadata=metadata, allow_retries=False) from None
    except UdaError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    except Exception as error:
        if fault := storage_fault(error):
            # The storage may be back when the run is tried again.
            raise dg.Failure(str(fault)) from error
        if isinstance(error, (dg.Failure, dg.RetryRequested)):
            raise
        known = disk_fault(error) or memory_fault(error)
        unknown = f"{type(error).__name__}: {one_line(error)}; run again, and report it with this log if it fails again"
        raise dg.Failure(known or unknown) from error


@dg.definitions
def resources() -> dg.Definitions:
    """Provide the resources of all assets."""
    return dg.Definitions(
        resources={
            "lake": LakeResource(),
            "warehouse": WarehouseResource(),
            "engine": EngineResource(),
        },
        executor=dg.in_process_executor,
    )
