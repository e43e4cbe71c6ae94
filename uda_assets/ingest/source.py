"""The bytes of a drop, plain or compressed, with random access and without holding them in memory."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from uda_assets.errors import DropUnreadable, UdaError
from uda_assets.storage import Location, filesystem_of, is_remote

_LINE_END = re.compile(rb"\r\n|\r|\n")
_CHUNK = 1 << 20
_TAIL = 1 << 12
_FIRST_LINES = 1 << 14
_COMPRESSION = {".gz": "gzip", ".zst": "zstd"}


class Line(NamedTuple):
    """A physical line: its bytes without the line end, and the offset at which the next one starts."""

    content: bytes
    following: int


class Source:
    """Random access to the plain bytes of a drop; safe to read from several threads.

    Attributes:
        size: Bytes of the plain drop.
        bytes_read: Bytes asked of it so far.

    """

    def __init__(self, size: int, read_at: Callable[[int, int], bytes]) -> None:
        self._read_at = read_at
        self._counting = Lock()
        self.size = size
        self.bytes_read = 0

    @classmethod
    def of_file(cls, file: BinaryIO) -> Source:
        """A plain file of this machine."""
        descriptor = file.fileno()
        return cls(os.fstat(descriptor).st_size, lambda length, offset: os.pread(descriptor, length, offset))

    @classmethod
    def of_object(cls, path: Location) -> Source:
        """A plain object in a bucket, a request for each read."""
        files = filesystem_of(path)
        key = str(path)
        return cls(files.size(key), lambda length, offset: files.cat_file(key, start=offset, end=offset + length))

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``; fewer only at the end of the drop."""
        parts: list[bytes] = []
        length = min(length, self.size - offset)
        while length > 0 and (part := self._read_at(length, offset)):
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        with self._counting:
            self.bytes_read += sum(map(len, parts))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def block_end(self, offset: int, length: int) -> int:
        """Where a block that starts at ``offset`` and has about ``length`` bytes ends: after a whole line.

        Only the block's last bytes are read for that.
        """
        look = _TAIL
        while offset + length < self.size:
            look = min(look, length)
            start = offset + length - look
            tail = self.read(start, look + 1)
            cut = max(tail.rfind(b"\n", 0, look), tail.rfind(b"\r", 0, look)) + 1
            if cut and tail[cut - 1 : cut + 1] == b"\r\n":
                cut += 1
            if cut:
                return start + cut
            if look == length:
                length *= 2
            look *= 8
        return self.size

    def lines(self, offset: int) -> Iterator[Line]:
        """The physical lines from ``offset`` on; LF, CRLF and CR end one."""
        chunk = _FIRST_LINES
        while offset < self.size:
            end = self.block_end(offset, chunk)
            chunk = _CHUNK
            block = self.read(offset, end - offset)
            start = 0
            for match in _LINE_END.finditer(block):
                yield Line(block[start : match.start()], offset + match.end())
                start = match.end()
            if start < len(block):
                yield Line(block[start:], end)
            offset = end


def is_plain(path: Location) -> bool:
    """Whether a drop can be read from its middle: a compressed one cannot."""
    return path.suffix.lower() not in _COMPRESSION


@contextmanager
def open_source(path: Location, spill: Path | None = None) -> Iterator[Source]:
    """Open a drop for reading.

    Compressed drops are decompressed to a nameless temporary file, so that reading can go back to a line.

    Args:
        path: A ``.csv``, ``.csv.gz`` or ``.csv.zst`` file.
        spill: Directory for the temporary file; the system's own by default.

    Raises:
        DropUnreadable: The archive is broken.
        UdaError: The file is missing, a directory or not readable.

    """
    try:
        compression = _COMPRESSION.get(path.suffix.lower())
        if compression is None and is_remote(path):
            yield Source.of_object(path)
            return
        with path.open("rb") as file:
            if compression is None:
                yield Source.of_file(file)
                return
            with tempfile.TemporaryFile(dir=spill) as plain:
                _decompress(file, compression, plain)
                yield Source.of_file(plain)
    except IsADirectoryError:
        raise UdaError(f"{path} is a directory; name a CSV file") from None
    except FileNotFoundError:
        raise UdaError(f"{path} does not exist") from None
    except PermissionError:
        raise UdaError(f"{path} cannot be read: permission denied") from None


def _decompress(file: BinaryIO, compression: str, target: BinaryIO) -> None:
    if not file.seek(0, os.SEEK_END):
        return
    file.seek(0)
    with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), compression) as archive:
        while True:
            try:
                chunk = archive.read(_CHUNK)
            except OSError as error:
                raise DropUnreadable(
                    "broken_archive", f"cannot be decompressed ({_one_line(error)}); deliver the file again"
                ) from error
            if not chunk:
                break
            target.write(chunk)
    target.flush()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
