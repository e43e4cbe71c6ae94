"""The resources: the lake, and the warehouse by dagster-duckdb."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource

from uda_assets.build import platform_table
from uda_assets.contract import Platforms
from uda_assets.database import configure
from uda_assets.errors import MalformedRecord, UdaError
from uda_assets.lake import Lake, open_lake
from uda_assets.settings import Settings, load_settings
from uda_assets.storage import storage_fault


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The data root; ``UDA_DATA_ROOT`` or ``data`` below the working directory unless configured."""

    data_root: str | None = None

    def settings(self, **overrides: Any) -> Settings:
        """The settings in force, with what a run config overrides."""
        with readable_failures():
            return load_settings(**{"data_root": self.data_root, **overrides})

    def open(self) -> Lake:
        """The lake at the data root."""
        return open_lake(self.settings())

    def platforms(self, settings: Settings, further: object = None) -> Platforms:
        """The platform table in force."""
        with readable_failures():
            return platform_table(settings, further)

    @contextmanager
    def writing(self, settings: Settings) -> Iterator[Lake]:
        """The lake, with its lock held; what a user can mend fails the run without a traceback to read through."""
        lake = open_lake(settings)
        with readable_failures(), lake.writing(settings.lock_timeout):
            yield lake


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """DuckDB databases, opened by dagster-duckdb."""

    def connect(self, path: Path) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the database at ``path``, making it where there is none."""
        connection: AbstractContextManager[duckdb.DuckDBPyConnection] = DuckDBResource(
            database=str(path)
        ).get_connection()
        return connection

    @contextmanager
    def scratch(self, lake: Lake, settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
        """A database in memory, for checks that count again; beyond the memory limit it spills below the data root."""
        with lake.scratch() as spill, self.connect(Path(":memory:")) as connection:
            configure(connection, settings, spill, lake.root)
            yield connection


@contextmanager
def readable_failures() -> Iterator[None]:
    """Turn errors that a user can mend into a failure that says so in one line; retrying would not help."""
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
            # It may be back when the run is tried again.
            raise dg.Failure(str(fault)) from error
        raise
