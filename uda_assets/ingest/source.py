"""The bytes of a drop, plain or compressed, with random access and without holding them in memory."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from uda_assets.errors import DropUnreadable, UdaError

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

    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = file.fileno()
        self._counting = Lock()
        self.size = os.fstat(self._descriptor).st_size
        self.bytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``; fewer only at the end of the drop."""
        parts: list[bytes] = []
        while length > 0 and (part := os.pread(self._descriptor, length, offset)):
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


def is_plain(path: Path) -> bool:
    """Whether a drop can be read from its middle: a compressed one cannot."""
    return path.suffix.lower() not in _COMPRESSION


@contextmanager
def open_source(path: Path, spill: Path | None = None) -> Iterator[Source]:
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
        with path.open("rb") as file:
            compression = _COMPRESSION.get(path.suffix.lower())
            if compression is None:
                yield Source(file)
                return
            with tempfile.TemporaryFile(dir=spill) as plain:
                _decompress(path, compression, plain)
                yield Source(plain)
    except IsADirectoryError:
        raise UdaError(f"{path} is a directory; name a CSV file") from None
    except FileNotFoundError:
        raise UdaError(f"{path} does not exist") from None
    except PermissionError:
        raise UdaError(f"{path} cannot be read: permission denied") from None


def _decompress(path: Path, compression: str, target: BinaryIO) -> None:
    if not path.stat().st_size:
        return
    archive = pa.input_stream(str(path), compression=compression)
    with archive:
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
