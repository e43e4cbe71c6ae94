"""What does the heavy work: this machine, or a Dask cluster."""

from uda_assets.engines.base import Account, Engine, Job, OnProgress, Result
from uda_assets.engines.choice import open_engine

__all__ = ["Account", "Engine", "Job", "OnProgress", "Result", "open_engine"]
