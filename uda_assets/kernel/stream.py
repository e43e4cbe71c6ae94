"""A stream of the kernel's columns that DuckDB reads by Arrow's PyCapsule interface, without pyarrow.

Importing pyarrow takes longer than reading many a drop.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_void_p

from uda_assets.kernel.kernel import ArrowArray, ArrowSchema, Exported, capsule


class _ArrowStream(Structure):
    """A stream in Arrow's C stream interface."""


_GetSchema = CFUNCTYPE(c_int, POINTER(_ArrowStream), POINTER(ArrowSchema))
_GetNext = CFUNCTYPE(c_int, POINTER(_ArrowStream), POINTER(ArrowArray))
_GetLastError = CFUNCTYPE(c_char_p, POINTER(_ArrowStream))
_Release = CFUNCTYPE(None, POINTER(_ArrowStream))
_ArrowStream._fields_ = [
    ("get_schema", _GetSchema), ("get_next", _GetNext), ("get_last_error", _GetLastError), ("release", _Release),
    ("private_data", c_void_p),
]  # fmt: skip


class ColumnStream:
    """Columns that come a block at a time and can be read once.

    Attributes:
        error: The error that ended the stream early. Who reads it sees only that it ends.

    Args:
        blocks: The blocks, all of the same columns.
        describe: Writes the schema of these columns.
    """

    def __init__(self, blocks: Iterator[Exported], describe: Callable[[ArrowSchema], None]) -> None:
        self.error: BaseException | None = None
        self._blocks, self._describe = blocks, describe
        # ctypes keeps no reference to callbacks that a structure holds.
        self._callbacks = (
            _GetSchema(self._get_schema), _GetNext(self._get_next), _GetLastError(lambda _: b""),
            _Release(self._release),
        )  # fmt: skip
        self._streams: list[_ArrowStream] = []

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the capsule of a stream. It refers to this object, which must outlive it."""
        del requested_schema
        stream = _ArrowStream(*self._callbacks)
        self._streams.append(stream)
        return capsule(stream, b"arrow_array_stream")

    def _get_schema(self, _stream: object, schema: ctypes._Pointer[ArrowSchema]) -> int:
        self._describe(schema.contents)
        return 0

    def _get_next(self, _stream: object, array: ctypes._Pointer[ArrowArray]) -> int:
        block = None
        try:
            if self.error is None:
                block = next(self._blocks, None)
        except BaseException as error:
            self.error = error
        moved = block.array if block else ArrowArray()  # without a release callback, which means the end
        ctypes.memmove(array, ctypes.byref(moved), ctypes.sizeof(ArrowArray))
        if block:
            block.release_schema()
        return 0

    def _release(self, stream: ctypes._Pointer[_ArrowStream]) -> None:
        stream.contents.release = _Release(0)
