"""How much a drop may ask of the machine, and what is said of one that asks for more."""

from __future__ import annotations

from typing import NamedTuple

from uda_assets.basics.errors import DropUnreadable, UsageError
from uda_assets.basics.settings import Settings
from uda_assets.basics.sizes import memory_bytes

_JUDGED_FROM = 64 << 20
"""Bytes beyond which compression is judged: what any machine can take, and more than is read ahead of an archive."""
_LARGEST_RECORD = 1 << 30
"""Arrow's strings count their bytes in 31 bits, and a block is longer than a record."""


class Bounds(NamedTuple):
    """The bounds of a drop; one that passes any of them is rejected whole.

    Attributes:
        decompressed: Bytes that an archive may hold.
        ratio: How many times its compressed size that may be, judged as it is read.
        record: Bytes of a record, and of a physical line, as quarantine would show it: what is not UTF-8 takes four.

    """

    decompressed: int = 64 << 30
    ratio: float = 1000.0
    record: int = 64 << 20

    def require_within(self, plain: int, packed: int) -> None:
        """Stop decompressing where ``plain`` bytes came of ``packed`` ones, and that is too much.

        Raises:
            DropUnreadable: It is.

        """
        if plain > self.decompressed:
            raise DropUnreadable(
                "decompressed_too_large",
                f"it decompresses to more than {_size(self.decompressed)}; deliver it in smaller files, or raise "
                "UDA_MAX_DECOMPRESSED_BYTES",
            )
        if plain > _JUDGED_FROM and plain > packed * self.ratio:
            raise DropUnreadable(
                "compression_too_high",
                f"its first {_size(packed)} decompress to more than {self.ratio:g} times as much, as a decompression "
                "bomb does; deliver it uncompressed, or raise UDA_MAX_COMPRESSION_RATIO",
            )

    def too_long(self, line: int) -> DropUnreadable:
        """What is said of a record, or a line, that is longer than ``record``."""
        return DropUnreadable(
            "record_too_long",
            f"the record on line {line} is longer than {_size(self.record)}; look for a missing line end or quote "
            "there and deliver the file again, or raise UDA_MAX_RECORD_BYTES",
        )

    def of_reason(self, reason: str) -> float | None:
        """The bound that was passed where a drop is rejected for this reason; None where it is none of these."""
        bounds = {"decompressed_too_large": self.decompressed, "compression_too_high": self.ratio}
        return (bounds | {"record_too_long": self.record}).get(reason)


DEFAULT_BOUNDS = Bounds()


def bounds_of(settings: Settings) -> Bounds:
    """The bounds that the settings name.

    Raises:
        UsageError: One of them is no size, or too large.

    """
    record = memory_bytes(settings.max_record_bytes, "max_record_bytes")
    if not 1 <= record <= _LARGEST_RECORD:
        raise UsageError(f"max_record_bytes must be from 1 byte to 1GiB, not {settings.max_record_bytes!r}")
    decompressed = memory_bytes(settings.max_decompressed_bytes, "max_decompressed_bytes")
    return Bounds(decompressed, settings.max_compression_ratio, record)


def _size(count: int) -> str:
    """Bytes in the unit in which they are a short number."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.4g} {unit}"
