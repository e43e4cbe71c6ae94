"""What Dagster sees: one module an asset, with its config and its checks, over the kernel that knows no Dagster."""

from uda_assets.basics.limits import limit_pools
from uda_assets.basics.settings import load_settings

# Before any of the modules here imports Polars, which takes its number of threads only then.
limit_pools(load_settings())
