"""Arrow columns as NumPy arrays and back, over the same memory.

pyarrow's own conversions (``pa.array``, ``numpy.asarray`` of an Arrow array) import pandas wherever it is installed, to
see whether they were given any of it; that takes longer than reading many a drop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Numbers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def numbers_of(column: pa.Array) -> npt.NDArray[np.int32]:
    """An int32 column without nulls."""
    return np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column)]


def bytes_of(texts: pa.Array) -> tuple[Bytes, Numbers]:
    """A column of text (string or large_string): its bytes, and where in them each text starts, and the last ends."""
    _, offsets, data = texts.buffers()
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    bounds = np.frombuffer(offsets, width)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data or b"", np.uint8), bounds.astype(np.int64)


def column_of(numbers: npt.NDArray[np.int64] | npt.NDArray[np.int32], kind: pa.DataType) -> pa.Array:
    """Numbers as a column of a type that is as wide as they are."""
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])


def rows_of(numbers: Numbers) -> pa.Array:
    """Row numbers, for taking rows from a table."""
    return column_of(numbers, pa.int64())


def texts_of(texts: Sequence[str]) -> pa.Array:
    """A column of text."""
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )
