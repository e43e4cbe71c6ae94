"""The compiled kernel that reads a block of a drop in one pass, and its binding to Python."""

from uda_assets.kernel.kernel import (
    DEFAULT_DIALECT,
    REASONS,
    Columns,
    Dialect,
    Exported,
    Extent,
    Kernel,
    Status,
    TimeFormat,
    Wanted,
    describe_sessions,
)

__all__ = [
    "DEFAULT_DIALECT", "REASONS", "Columns", "Dialect", "Exported", "Extent", "Kernel", "Status", "TimeFormat",
    "Wanted", "describe_sessions",
]  # fmt: skip
