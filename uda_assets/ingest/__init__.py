"""Reading CSV drops with every record accounted for."""

from uda_assets.ingest.bounds import Bounds, bounds_of
from uda_assets.ingest.reader import Batch, read_batches
from uda_assets.ingest.source import Source, open_source

__all__ = ["Batch", "Bounds", "Source", "bounds_of", "open_source", "read_batches"]
