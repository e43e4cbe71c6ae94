"""What Dagster sees: one module for each asset, with its config and its checks. The work is done in ``pipeline/``."""

from uda_assets.basics.limits import limit_pools
from uda_assets.basics.settings import load_settings

# Polars takes its number of threads when it is imported, which the modules of this package do.
limit_pools(load_settings())
