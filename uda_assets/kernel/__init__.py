"""The compiled kernel that reads a block of a drop in one pass, and its binding to Python."""

from uda_assets.kernel.kernel import (
    REASONS,
    Columns,
    Exported,
    Extent,
    Kernel,
    Status,
    Wanted,
    describe_sessions,
)

__all__ = [
    "REASONS", "Columns", "Exported", "Extent", "Kernel", "Status", "Wanted",
    "describe_sessions",
]  # fmt: skip
