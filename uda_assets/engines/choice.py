"""Opens the engine that the settings choose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from uda_assets.basics.settings import EngineName, Settings
from uda_assets.engines.base import Engine


def open_engine(settings: Settings) -> AbstractContextManager[Engine]:
    """The engine that the settings choose; only its own libraries are imported.

    Raises:
        ClusterFault: The cluster cannot be reached.

    """
    if settings.engine is EngineName.DASK:
        from uda_assets.engines.dask import open_dask  # noqa: PLC0415

        return open_dask(settings)
    from uda_assets.engines.polars import open_polars  # noqa: PLC0415

    return open_polars(settings)


@contextmanager
def running(engine: Engine | None, settings: Settings) -> Iterator[Engine]:
    """An engine that is open already, or one that is opened for as long as it is needed."""
    if engine is not None:
        yield engine
        return
    with open_engine(settings) as opened:
        yield opened
