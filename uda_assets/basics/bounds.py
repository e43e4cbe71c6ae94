"""Bounds on the size of drops and records, and the errors for drops that exceed them."""

from __future__ import annotations

from typing import NamedTuple

from uda_assets.basics.errors import DropUnreadable, UsageError
from uda_assets.basics.settings import Settings
from uda_assets.basics.sizes import memory_bytes

_RATIO_CHECKED_FROM = 64 << 20
"""The compression ratio is checked after this many bytes: any machine can hold them, and no reader buffers more."""
_LARGEST_RECORD = 1 << 30
"""Arrow's strings can hold less than 2 GiB, and a block is longer than a record."""


class Bounds(NamedTuple):
    """The bounds of a drop, which is rejected whole if it exceeds any of them.

    Attributes:
        decompressed: The largest decompressed size of a drop in bytes.
        ratio: The largest ratio of decompressed to compressed size, checked while the drop is decompressed.
        record: The largest size of a record, and of a physical line, in bytes as the quarantine would show it: each
            byte that is not UTF-8 counts as four.
    """

    decompressed: int = 64 << 30
    ratio: float = 1000.0
    record: int = 64 << 20

    def require_within(self, plain: int, packed: int) -> None:
        """Check a drop of which ``packed`` bytes have been decompressed to ``plain`` bytes.

        Raises:
            DropUnreadable: The decompressed size or the compression ratio is too large.
        """
        if plain > self.decompressed:
            raise DropUnreadable(
                "decompressed_too_large",
                f"it decompresses to more than {_size(self.decompressed)}; deliver it in smaller files, or raise "
                "UDA_MAX_DECOMPRESSED_BYTES",
            )
        if plain > _RATIO_CHECKED_FROM and plain > packed * self.ratio:
            raise DropUnreadable(
                "compression_too_high",
                f"its first {_size(packed)} decompress to more than {self.ratio:g} times as much, as a decompression "
                "bomb does; deliver it uncompressed, or raise UDA_MAX_COMPRESSION_RATIO",
            )

    def too_long(self, line: int) -> DropUnreadable:
        """Return the error for a record or line that is too long."""
        return DropUnreadable(
            "record_too_long",
            f"the record on line {line} is longer than {_size(self.record)}; look for a missing line end or quote "
            "there and deliver the file again, or raise UDA_MAX_RECORD_BYTES",
        )

    def exceeded_by(self, reason: str) -> float | None:
        """Return the bound that a drop rejected for this reason exceeded; None if the reason is not about a bound."""
        bounds = {"decompressed_too_large": self.decompressed, "compression_too_high": self.ratio}
        return (bounds | {"record_too_long": self.record}).get(reason)


DEFAULT_BOUNDS = Bounds()


def bounds_of(settings: Settings) -> Bounds:
    """Return the bounds that the settings name.

    Raises:
        UsageError: One of them is not a size, or too large.
    """
    record = memory_bytes(settings.max_record_bytes, "max_record_bytes")
    if not 1 <= record <= _LARGEST_RECORD:
        raise UsageError(f"max_record_bytes must be from 1 byte to 1GiB, not {settings.max_record_bytes!r}")
    decompressed = memory_bytes(settings.max_decompressed_bytes, "max_decompressed_bytes")
    return Bounds(decompressed, settings.max_compression_ratio, record)


def _size(count: int) -> str:
    """Return a number of bytes as a short text, such as ``64 MiB``."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.4g} {unit}"
