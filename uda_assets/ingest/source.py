"""Random access to the bytes of a drop, plain or compressed, without holding the drop in memory."""

from __future__ import annotations

import codecs
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NamedTuple, cast

from uda_assets.basics.bounds import DEFAULT_BOUNDS, Bounds
from uda_assets.basics.errors import DropUnreadable, UdaError
from uda_assets.basics.interruption import raise_if_stopped
from uda_assets.contract.dialects import CSV, Dialect
from uda_assets.storage import Location, is_remote, naming_file, object_file
from uda_assets.storage.archives import decompressed, temporary_file
from uda_assets.storage.drop_names import compression_of

_LINE_END = re.compile(rb"\r\n|\r|\n")
_CHUNK = 1 << 20
_FIRST_TAIL = 1 << 12
"""Bytes at the end of a block that are searched first for a line end."""
_FIRST_BLOCK = 1 << 14


class Line(NamedTuple):
    """A physical line.

    Attributes:
        content: Its bytes without the line end.
        following: The offset at which the next line starts.
    """

    content: bytes
    following: int


class Source:
    """Random access to the decompressed bytes of a drop; several threads may read at once.

    Attributes:
        size: The size of the decompressed drop in bytes.
        bounds: The largest size of a record, among other bounds.
        bytes_read: How many bytes have been read so far.
        is_marked: Whether a byte order mark decided the encoding, against the dialect.
        identity: What the signature of the object that is read says of its identity; None on a file system.
    """

    def __init__(self, size: int, read_at: Callable[[int, int], bytes], bounds: Bounds) -> None:
        self._read_at = read_at
        self._count_lock = Lock()
        self.size = size
        self.bounds = bounds
        self.bytes_read = 0
        self.is_marked = False
        self.identity: int | None = None

    @classmethod
    def of_file(cls, file: BinaryIO, path: Location, bounds: Bounds) -> Source:
        """Read an open, uncompressed file on this machine; errors name ``path``."""
        descriptor = file.fileno()

        def read_at(length: int, offset: int) -> bytes:
            with naming_file(path):
                return os.pread(descriptor, length, offset)

        return cls(os.fstat(descriptor).st_size, read_at, bounds)

    @classmethod
    def of_object(cls, path: Location, bounds: Bounds) -> Source:
        """Read an uncompressed object in a bucket, with one request for each read."""
        file = object_file(path)
        source = cls(file.size, lambda length, offset: file.read_at(offset, length), bounds)
        source.identity = file.identity
        return source

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on, or fewer at the end of the drop.

        Raises:
            Stopped: The program was asked to stop.
        """
        raise_if_stopped()
        parts: list[bytes] = []
        length = min(length, self.size - offset)
        while length > 0 and (part := self._read_at(length, offset)):
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        with self._count_lock:
            self.bytes_read += sum(map(len, parts))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def block_end(self, offset: int, length: int) -> int:
        """Return the offset after the last line end in the ``length`` bytes from ``offset`` on, or the drop's size.

        Usually only the last bytes of these are read. If no line ends in them, the result is the end of that line.

        Raises:
            DropUnreadable: That line is longer than the largest record.
        """
        if offset + length >= self.size:
            return self.size
        tail_length = 0
        while tail_length < length:
            tail_length = min(8 * tail_length or _FIRST_TAIL, length)
            start = offset + length - tail_length
            # One more byte tells CRLF from CR.
            tail = self.read(start, tail_length + 1)
            cut = max(tail.rfind(b"\n", 0, tail_length), tail.rfind(b"\r", 0, tail_length)) + 1
            if cut and tail[cut - 1 : cut + 1] == b"\r\n":
                cut += 1
            if cut:
                return start + cut
        return self._line_end(offset, offset + length)

    def _line_end(self, start: int, position: int) -> int:
        """Return the offset after the line that starts at ``start`` and does not end before ``position``."""
        while position < self.size:
            chunk = self.read(position, _CHUNK + 1)
            line_end = _LINE_END.search(chunk)
            # The last byte is only there to tell CRLF from CR.
            if line_end and line_end.start() < _CHUNK:
                self.require_short(start, position + line_end.start())
                return position + line_end.end()
            position = min(position + _CHUNK, self.size)
            self.require_short(start, position)
        return self.size

    def require_short(self, start: int, end: int) -> None:
        """Check the length of the record or line in ``[start, end)``.

        Raises:
            DropUnreadable: It is longer than the largest record.
        """
        if end - start > self.bounds.record:
            raise self.too_long(start)

    def too_long(self, start: int) -> DropUnreadable:
        """Return the error for a record that is too long; the drop is read again up to ``start`` to find its line."""
        return self.bounds.too_long(1 + self._count_line_ends(start))

    def _count_line_ends(self, end: int) -> int:
        """Return the number of line ends before an offset."""
        count = 0
        for offset in range(0, end, 8 * _CHUNK):
            # The byte before the chunk shows whether a line feed at its start belongs to a CRLF.
            chunk = self.read(max(0, offset - 1), min(8 * _CHUNK, end - offset) + (offset > 0))
            first = int(offset > 0)
            count += chunk.count(b"\n", first) + chunk.count(b"\r", first) - chunk.count(b"\r\n")
        return count

    def lines(self, offset: int) -> Iterator[Line]:
        """Yield the physical lines from ``offset`` on; each ends with LF, CRLF or CR.

        Raises:
            DropUnreadable: A line is longer than the largest record.
        """
        for block, _ in self.blocks(offset):
            start = 0
            for match in _LINE_END.finditer(block):
                self.require_short(offset + start, offset + match.start())
                yield Line(block[start : match.start()], offset + match.end())
                start = match.end()
            if start < len(block):
                self.require_short(offset + start, offset + len(block))
                yield Line(block[start:], offset + len(block))
            offset += len(block)

    def blocks(self, offset: int) -> Iterator[tuple[bytes, bool]]:
        """Yield the bytes from ``offset`` on in blocks of whole lines, and whether each is the last one.

        The first block is small. At the end of the drop there is an empty one.
        """
        length = _FIRST_BLOCK
        while True:
            end = self.block_end(offset, length) if offset < self.size else self.size
            yield self.read(offset, end - offset), end >= self.size
            if end >= self.size:
                return
            offset, length = end, _CHUNK


def reads_directly(path: Location, dialect: Dialect) -> bool:
    """Return whether a drop is uncompressed and UTF-8, so that reading can start anywhere in the file."""
    if compression_of(path.name) or dialect.encoding != "utf-8":
        return False
    if not dialect.byte_order_mark:
        return True
    with _opened(path) as file:
        return _marked_encoding(file.read(_LONGEST_MARK)) is None


@contextmanager
def open_source(
    path: Location,
    spill: Path | None = None,
    bounds: Bounds = DEFAULT_BOUNDS,
    *,
    dialect: Dialect = CSV,
    most: int | None = None,
) -> Iterator[Source]:
    """Open a drop for reading, as UTF-8.

    A drop that is compressed or in another encoding is first written to an unnamed temporary file, to allow random
    access.

    Args:
        path: A file with the name of a drop.
        spill: The directory for temporary files; the system's by default.
        bounds: How much may be decompressed, and how long a record may be.
        dialect: The drop's encoding, and whether a byte order mark wins over it.
        most: Stop after about this many bytes of a temporary file.

    Raises:
        DropUnreadable: The archive is broken, exceeds the bounds or holds several files, or the text is not in its
            encoding and nobody can tell which records are concerned.
        UdaError: The file is missing, a directory or not readable.
    """
    with ExitStack() as stack:
        compression = compression_of(path.name)
        with _clear_errors(path):
            if is_remote(path) and not compression:
                source = Source.of_object(path, bounds)
            else:
                opened = file = stack.enter_context(_opened(path))
                if compression:
                    file = stack.enter_context(decompressed(file, compression, spill, bounds, most))
                source = Source.of_file(file, spill or Path(tempfile.gettempdir()) if compression else path, bounds)
                if is_remote(path):
                    source.identity = cast("Any", opened).raw.identity
        mark = _marked_encoding(source.read(0, _LONGEST_MARK)) if dialect.byte_order_mark else None
        encoding = mark or dialect.encoding
        if encoding != "utf-8":
            plain = stack.enter_context(_transcoded(source, encoding, spill, most))
            plain.bytes_read, plain.identity = source.bytes_read, source.identity
            source = plain
        source.is_marked = encoding != dialect.encoding
        yield source


def _opened(path: Location) -> BinaryIO:
    return cast("BinaryIO", io.BufferedReader(object_file(path), _CHUNK)) if is_remote(path) else path.open("rb")


@contextmanager
def _clear_errors(path: Location) -> Iterator[None]:
    """Turn the system's usual errors for a path into our own."""
    try:
        yield
    except IsADirectoryError:
        raise UdaError(f"{path} is a directory; name a CSV file") from None
    except FileNotFoundError:
        raise UdaError(f"{path} does not exist") from None
    except PermissionError:
        raise UdaError(f"{path} cannot be read: permission denied") from None


_MARKS = [
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF8, "utf-8"),
]  # fmt: skip
"""Byte order marks, the longer ones first."""
_LONGEST_MARK = 4
_WHOLE = re.compile(r"utf-?_?(16|32|7)|iso2022|hz")
"""Codecs of which one wrong byte can spoil all that follows."""
_LOOKS_SOUND = re.compile("[\udcc2-\udcf4][\udc80-\udcbf]")


def _marked_encoding(start: bytes) -> str | None:
    """Return the encoding that a byte order mark states; None if there is none."""
    return next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)


@contextmanager
def _transcoded(source: Source, encoding: str, spill: Path | None, most: int | None) -> Iterator[Source]:
    """Yield a source with the text of another one in UTF-8.

    A byte that the encoding cannot decode stays as it is. It is then no UTF-8 either, and costs the record it is in.
    """
    errors = "strict" if _WHOLE.match(encoding) else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    with temporary_file(spill) as (plain, directory):
        position = 0
        while position < source.size and (most is None or position < most):
            chunk = source.read(position, _CHUNK)
            position += len(chunk)
            try:
                text = decoder.decode(chunk, position >= source.size)
            except UnicodeDecodeError as error:
                offset = position - len(error.object) + error.start
                raise DropUnreadable(
                    "bad_encoding",
                    f"byte {offset} is not {encoding} ({error.reason}); deliver the file again, or correct encoding in "
                    "suppliers.toml",
                ) from None
            if position == len(chunk):
                text = text.removeprefix("\ufeff")
            with naming_file(directory):
                plain.write(_utf8(text))
        with naming_file(directory):
            plain.flush()
        yield Source.of_file(plain, directory, source.bounds)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Two bytes that cannot be decoded may together look like a character of UTF-8.
        sound = _LOOKS_SOUND.sub(lambda pair: "\udcff" + pair[0][1:], text)
        return sound.encode(errors="surrogateescape")
