"""Fast copying of many texts into lines at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from uda_assets.synthetic.draws import I64, U64

Rows = npt.NDArray[np.void]
"""An array whose items are byte strings of equal width."""

ID_LENGTH = 16
# The two hexadecimal digits of each byte.
_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), dtype=np.uint16)


class PackedTexts(NamedTuple):
    """Texts that lie one after the other in memory."""

    data: npt.NDArray[np.uint8]
    starts: I64
    lengths: I64

    def part(self, start: int, end: int) -> PackedTexts:
        """Return the texts from ``start`` up to but not including ``end``, with their bytes alone."""
        starts, lengths = self.starts[start:end], self.lengths[start:end]
        total = int(lengths.sum())
        first = int(starts[0]) if total else 0
        return PackedTexts(self.data[first : first + total], starts - first, lengths)


def pack(texts: pl.Series) -> PackedTexts:
    """Return the texts in the memory layout of Arrow, without copying them."""
    array = texts.cast(pl.Binary).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    content = np.frombuffer(data, dtype=np.uint8) if data else np.empty(0, dtype=np.uint8)
    return PackedTexts(content, ends[:-1], np.diff(ends))


def windows(data: npt.NDArray[np.uint8], width: int) -> Rows:
    """Return a view in which item n is the ``width`` bytes from byte n on, to read or write many places in one step."""
    return np.ndarray(len(data) - width + 1, dtype=f"V{width}", buffer=data, strides=(1,))


class TextRows:
    """Texts in rows of equal width, because numpy copies such rows much faster than texts of different lengths.

    After its text, a row contains whatever follows in memory; with ``align_right``, it comes before the text. Copying a
    row therefore also overwrites the bytes beside the text, so those must be written later.
    """

    def __init__(self, texts: pl.Series, width: int | None = None, *, align_right: bool = False) -> None:
        packed = pack(texts)
        longest = int(packed.lengths.max())
        # numpy is fastest with multiples of 16.
        self.width = -(-longest // 16) * 16 if width is None else width
        assert longest <= self.width
        self.lengths = packed.lengths
        padding = np.zeros(self.width, dtype=np.uint8)
        first_bytes = packed.starts + (packed.lengths if align_right else self.width)
        self.rows: Rows = windows(np.concatenate([padding, packed.data, padding]), self.width)[first_bytes]


def put_texts(buffer: npt.NDArray[np.uint8], starts: I64, texts: PackedTexts) -> None:
    """Copy texts of any length to their places in ``buffer``; this is efficient for a few texts only."""
    places = np.arange(len(texts.data)) + np.repeat(starts - texts.starts, texts.lengths)
    buffer[places] = texts.data


def quoted(texts: pl.Series) -> pl.Series:
    """Return the texts as CSV fields: in quotes if they contain a comma or a quote."""
    text = pl.lit(texts)
    in_quotes = pl.concat_str([pl.lit('"'), text.str.replace_all('"', '""', literal=True), pl.lit('"')])
    return pl.select(pl.when(text.str.contains('[,"]')).then(in_quotes).otherwise(text)).to_series()


def hexadecimal(numbers: U64) -> Rows:
    """Return each number as ``ID_LENGTH`` hexadecimal digits."""
    return _HEX.take(numbers.astype(">u8").view(np.uint8)).view(f"V{ID_LENGTH}")
