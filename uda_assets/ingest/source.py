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

from uda_assets.basics.errors import DropUnreadable, UdaError, one_line
from uda_assets.basics.interruption import check
from uda_assets.ingest.bounds import DEFAULT_BOUNDS, Bounds
from uda_assets.storage import Location, filesystem_of, is_remote, naming

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
        bounds: How long a record may be.
        bytes_read: Bytes asked of it so far.

    """

    def __init__(self, size: int, read_at: Callable[[int, int], bytes], bounds: Bounds) -> None:
        self._read_at = read_at
        self._counting = Lock()
        self.size = size
        self.bounds = bounds
        self.bytes_read = 0

    @classmethod
    def of_file(cls, file: BinaryIO, path: Location, bounds: Bounds) -> Source:
        """A plain file of this machine; ``path`` is what a person is told where it cannot be read."""
        descriptor = file.fileno()

        def read_at(length: int, offset: int) -> bytes:
            with naming(path):
                return os.pread(descriptor, length, offset)

        return cls(os.fstat(descriptor).st_size, read_at, bounds)

    @classmethod
    def of_object(cls, path: Location, bounds: Bounds) -> Source:
        """A plain object in a bucket, a request for each read."""
        files = filesystem_of(path)
        key = str(path)
        return cls(
            files.size(key), lambda length, offset: files.cat_file(key, start=offset, end=offset + length), bounds
        )

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``; fewer only at the end of the drop."""
        check()
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

        Only the block's last bytes are read for that; a block in which no line ends is that line, read to its end.

        Raises:
            DropUnreadable: That line is longer than a record may be.

        """
        if offset + length >= self.size:
            return self.size
        look = 0
        while look < length:
            look = min(8 * look or _TAIL, length)
            start = offset + length - look
            tail = self.read(start, look + 1)
            cut = max(tail.rfind(b"\n", 0, look), tail.rfind(b"\r", 0, look)) + 1
            if cut and tail[cut - 1 : cut + 1] == b"\r\n":
                cut += 1
            if cut:
                return start + cut
        return self._line_end(offset, offset + length)

    def _line_end(self, start: int, position: int) -> int:
        """Where the line ends that starts at ``start`` and has no end before ``position``."""
        while position < self.size:
            chunk = self.read(position, _CHUNK + 1)
            found = _LINE_END.search(chunk)
            # The last byte is there to tell CRLF from CR alone.
            if found and found.start() < _CHUNK:
                self.require_short(start, position + found.start())
                return position + found.end()
            position = min(position + _CHUNK, self.size)
            self.require_short(start, position)
        return self.size

    def require_short(self, start: int, end: int) -> None:
        """See that a record, or line, is not longer than one may be.

        Raises:
            DropUnreadable: It is; the file is read again up to it, to tell its line.

        """
        if end - start > self.bounds.record:
            raise self.too_long(start)

    def too_long(self, start: int) -> DropUnreadable:
        """What is said of a drop with a record that starts there and is too long."""
        return self.bounds.too_long(1 + self._line_ends_before(start))

    def _line_ends_before(self, end: int) -> int:
        ended = 0
        for offset in range(0, end, 8 * _CHUNK):
            # One more byte, so that a line feed knows the carriage return that it belongs to.
            chunk = self.read(max(0, offset - 1), min(8 * _CHUNK, end - offset) + (offset > 0))
            first = int(offset > 0)
            ended += chunk.count(b"\n", first) + chunk.count(b"\r", first) - chunk.count(b"\r\n")
        return ended

    def lines(self, offset: int) -> Iterator[Line]:
        """The physical lines from ``offset`` on; LF, CRLF and CR end one.

        Raises:
            DropUnreadable: A line is longer than a record may be.

        """
        for block in self.blocks(offset):
            yield from self.lines_of(block, offset)
            offset += len(block)

    def blocks(self, offset: int) -> Iterator[bytes]:
        """Pieces of whole lines from ``offset`` on, the first one small."""
        length = _FIRST_LINES
        while offset < self.size:
            end = self.block_end(offset, length)
            yield self.read(offset, end - offset)
            offset, length = end, _CHUNK

    def lines_of(self, block: bytes, offset: int) -> Iterator[Line]:
        """The physical lines of a piece that starts at ``offset``, as :meth:`lines` gives them."""
        start = 0
        for match in _LINE_END.finditer(block):
            self.require_short(offset + start, offset + match.start())
            yield Line(block[start : match.start()], offset + match.end())
            start = match.end()
        if start < len(block):
            self.require_short(offset + start, offset + len(block))
            yield Line(block[start:], offset + len(block))


def is_plain(path: Location) -> bool:
    """Whether a drop can be read from its middle: a compressed one cannot."""
    return path.suffix.lower() not in _COMPRESSION


@contextmanager
def open_source(
    path: Location, spill: Path | None = None, bounds: Bounds = DEFAULT_BOUNDS, *, most: int | None = None
) -> Iterator[Source]:
    """Open a drop for reading.

    Compressed drops are decompressed to a nameless temporary file, so that reading can go back to a line.

    Args:
        path: A ``.csv``, ``.csv.gz`` or ``.csv.zst`` file.
        spill: Directory for the temporary file; the system's own by default.
        bounds: How much may be decompressed, and how long a record may be.
        most: Leave what is behind about so many bytes of an archive.

    Raises:
        DropUnreadable: The archive is broken, or holds more than it may.
        UdaError: The file is missing, a directory or not readable.

    """
    compression = _COMPRESSION.get(path.suffix.lower())
    if compression is None and is_remote(path):
        with _readable(path):
            source = Source.of_object(path, bounds)
        yield source
        return
    with _readable(path):
        file = path.open("rb")
    with file:
        if compression is None:
            yield Source.of_file(file, path, bounds)
            return
        unpacked = spill or Path(tempfile.gettempdir())
        with tempfile.TemporaryFile(dir=spill) as plain:
            with naming(unpacked):
                _decompress(file, compression, plain, bounds, most)
            yield Source.of_file(plain, unpacked, bounds)


@contextmanager
def _readable(path: Location) -> Iterator[None]:
    try:
        yield
    except IsADirectoryError:
        raise UdaError(f"{path} is a directory; name a CSV file") from None
    except FileNotFoundError:
        raise UdaError(f"{path} does not exist") from None
    except PermissionError:
        raise UdaError(f"{path} cannot be read: permission denied") from None


def _decompress(file: BinaryIO, compression: str, target: BinaryIO, bounds: Bounds, most: int | None) -> None:
    if not file.seek(0, os.SEEK_END):
        return
    file.seek(0)
    written = 0
    with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), compression) as archive:
        while most is None or written < most:
            try:
                chunk = archive.read(_CHUNK)
            except OSError as error:
                if error.errno is not None:
                    raise  # of the disk, not of the archive
                raise DropUnreadable(
                    "broken_archive", f"cannot be decompressed ({one_line(error)}); deliver the file again"
                ) from error
            if not chunk:
                break
            check()
            written += len(chunk)
            bounds.require_within(written, file.tell())
            target.write(chunk)
    target.flush()
