"""What Dagster sees: one module an asset, with its config and its checks, over the kernel that knows no Dagster."""
