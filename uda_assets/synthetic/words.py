"""Texts copied into many lines at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from uda_assets.synthetic.draws import I64

Rows = npt.NDArray[np.void]
"""Bytes in items of one width."""


class LaidOut(NamedTuple):
    """Texts one after the other in memory."""

    data: npt.NDArray[np.uint8]
    starts: I64
    lengths: I64

    def part(self, start: int, end: int) -> LaidOut:
        """Some of the texts, and no byte but theirs."""
        starts, lengths = self.starts[start:end], self.lengths[start:end]
        total = int(lengths.sum())
        first = int(starts[0]) if total else 0
        return LaidOut(self.data[first : first + total], starts - first, lengths)


def laid_out(texts: pl.Series) -> LaidOut:
    """The texts as Arrow keeps them."""
    array = texts.cast(pl.Binary).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    content = np.frombuffer(data, dtype=np.uint8) if data else np.empty(0, dtype=np.uint8)
    return LaidOut(content, ends[:-1], np.diff(ends))


def windows(data: npt.NDArray[np.uint8], width: int) -> Rows:
    """A view of the ``width`` bytes from each byte on, to read or write them at many places in one step."""
    return np.ndarray(len(data) - width + 1, dtype=f"V{width}", buffer=data, strides=(1,))


class Words:
    """Texts as rows of one width, because numpy copies such rows much faster than texts of their own lengths.

    Behind its text a row holds whatever comes next in memory, or in front of it if the rows are ``ending``. This lands
    on what is beside the text, which must therefore be written later.
    """

    def __init__(self, texts: pl.Series, width: int | None = None, *, ending: bool = False) -> None:
        laid = laid_out(texts)
        longest = int(laid.lengths.max())
        # Multiples of 16, as numpy is at its fastest with them.
        self.width = -(-longest // 16) * 16 if width is None else width
        assert longest <= self.width
        self.lengths = laid.lengths
        room = np.zeros(self.width, dtype=np.uint8)
        first_bytes = laid.starts + (laid.lengths if ending else self.width)
        self.rows: Rows = windows(np.concatenate([room, laid.data, room]), self.width)[first_bytes]


def put_texts(sheet: npt.NDArray[np.uint8], starts: I64, texts: LaidOut) -> None:
    """Copy texts of any length to where they start in ``sheet``; fit for a few of them."""
    places = np.arange(len(texts.data)) + np.repeat(starts - texts.starts, texts.lengths)
    sheet[places] = texts.data
