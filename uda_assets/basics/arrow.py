"""Convert Arrow columns to NumPy arrays and back without copying more than necessary.

pyarrow's own conversions (``pa.array``, ``numpy.asarray`` of an Arrow array) import pandas wherever it is installed, to
check whether their argument is a pandas object. That import takes longer than reading many a drop.
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
    """Return the values of an int32 column without nulls."""
    return np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column)]


def bytes_of(texts: pa.Array) -> tuple[Bytes, Numbers]:
    """Return the bytes and the offsets of a text column.

    Args:
        texts: A column of type string or large_string.

    Returns:
        The bytes of the column's buffer, and ``len(texts) + 1`` offsets into them: the start of each text, and the end
        of the last one.
    """
    _, offsets, data = texts.buffers()
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    bounds = np.frombuffer(offsets, width)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data or b"", np.uint8), bounds.astype(np.int64)


def column_of(numbers: npt.NDArray[np.int64] | npt.NDArray[np.int32], kind: pa.DataType) -> pa.Array:
    """Return numbers as a column of type ``kind``, whose values must have the same width as the numbers."""
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])


def rows_of(numbers: Numbers) -> pa.Array:
    """Return row numbers as a column with which rows can be taken from a table."""
    return column_of(numbers, pa.int64())


def texts_of(texts: Sequence[str]) -> pa.Array:
    """Return texts as a string column."""
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )
