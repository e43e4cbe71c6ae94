"""Reading CSV drops with every record accounted for."""

from uda_assets.basics.bounds import Bounds, bounds_of
from uda_assets.ingest.reader import Batch, PlatformNames, read_batches
from uda_assets.ingest.source import Source, open_source
from uda_assets.kernel import Wanted

__all__ = ["Batch", "Bounds", "PlatformNames", "Source", "Wanted", "bounds_of", "open_source", "read_batches"]
