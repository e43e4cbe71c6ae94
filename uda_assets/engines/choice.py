"""Opens the engine that the settings choose."""

from __future__ import annotations

from contextlib import AbstractContextManager

from uda_assets.basics.settings import EngineName, Settings
from uda_assets.engines.base import Engine


def open_engine(settings: Settings) -> AbstractContextManager[Engine]:
    """Open the engine that the settings choose. Only its own libraries are imported.

    Raises:
        ClusterFault: The cluster cannot be reached.
    """
    if settings.engine is EngineName.DASK:
        from uda_assets.engines.dask import open_dask  # noqa: PLC0415

        return open_dask(settings)
    from uda_assets.engines.polars import open_polars  # noqa: PLC0415

    return open_polars(settings)
