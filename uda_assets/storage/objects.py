"""Reading objects of a bucket with few requests: one for a small object, and one for each block of a large one."""

from __future__ import annotations

import hashlib
import io
import re
from collections import OrderedDict
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import fsspec

_FIRST_BYTES = 4 << 20
"""The first request asks for so much. A smaller object is then read."""
_LEAST_BYTES = 256 << 10
"""A further request asks for at least so much."""
_KEPT_BYTES = 256 << 20
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_NEVER_USED_AGAIN = re.compile(r"\d{8,10}-[0-9a-f]{8}[^/]*\.parquet$")
"""Names with a stamp of their writer: what they name never changes."""


class ObjectFile(io.RawIOBase):
    """An object, open for reading.

    Attributes:
        size: Size in bytes.
        tag: The ETag. If the object changes while it is read, reading fails.
    """

    def __init__(self, filesystem: Any, key: str, first_bytes: int = _FIRST_BYTES) -> None:
        self._files, self._key = filesystem, key
        self._position = 0
        self.tag = ""
        self._head, self.size = self._get(0, first_bytes)

    @property
    def content(self) -> bytes | None:
        """The whole object if it is a small one."""
        return self._head if len(self._head) == self.size else None

    @property
    def identity(self) -> int:
        """What the signature of the object says of its identity."""
        return identity_of(self.tag)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer. Return the number of bytes, which is 0 at the end."""
        part = self.read_at(self._position, len(buffer))
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset`` on, and at least one if there is any. Threads may call this."""
        if offset >= self.size or length <= 0:
            return b""
        if offset < len(self._head):
            return self._head[offset : offset + length]
        return self._get(offset, length)[0]

    def _get(self, start: int, length: int) -> tuple[bytes, int]:
        """Return a range of the object, and the size of the whole."""
        bucket, _, name = self._key.partition("/")
        condition = {"IfMatch": self.tag} if self.tag else {}
        wanted = f"bytes={start}-{start + length - 1}"
        try:
            response = self._files.call_s3("get_object", Bucket=bucket, Key=name, Range=wanted, **condition)
        except FileNotFoundError:
            raise
        except OSError:
            if self.tag or self._files.size(self._key):
                raise
            return b"", 0  # Of an empty object no range can be had.
        content: bytes = fsspec.asyn.sync(self._files.loop, response["Body"].read)
        self.tag = response["ETag"]
        return content, int(response["ContentRange"].rpartition("/")[2])


class RememberedObjects:
    """Small objects under names that are never used again, so that a process need not read them twice."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._contents: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str) -> bytes | None:
        """Return the content of an object, or None if it is not known."""
        with self._lock:
            if key in self._contents:
                self._contents.move_to_end(key)
            return self._contents.get(key)

    def put(self, key: str, content: bytes) -> None:
        """Remember an object if its name is never used again."""
        if len(content) > _FIRST_BYTES or not _NEVER_USED_AGAIN.search(key):
            return
        with self._lock:
            self._bytes += len(content) - len(self._contents.pop(key, b""))
            self._contents[key] = content
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._contents.popitem(last=False)[1])


remembered = RememberedObjects(_KEPT_BYTES)
"""What this process has written or read, of all buckets."""


class ObjectsForDuckDB(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """The part of a file system that DuckDB needs to read objects. DuckDB asks for the same file many times."""

    protocol = ("s3", "s3a")
    cachable = False

    def __init__(self, filesystem: Any) -> None:
        super().__init__()
        self._files = filesystem

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        """Open an object for reading. A small one is remembered."""
        if mode != "rb":
            raise PermissionError(f"{path} can only be read")
        key = _key(path)
        content = remembered.get(key)
        if content is None:
            file = ObjectFile(self._files, key)
            content = file.content
            if content is None:
                return io.BufferedReader(file, _LEAST_BYTES)
            remembered.put(key, content)
        return io.BytesIO(content)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return the size of an object, and when it changed."""
        content = remembered.get(_key(path))
        if content is not None:
            return {"name": path, "size": len(content), "type": "file", "LastModified": None}
        found: dict[str, Any] = self._files.info(_key(path))
        return found

    def glob(self, path: str, **_: Any) -> list[str]:
        """Return a path as it is, without the marks that keep DuckDB from taking it for a pattern."""
        plain = re.sub(r"\[([*?\[])\]", r"\1", path)
        return [plain] if self.exists(plain) else []

    def exists(self, path: str, **_: Any) -> bool:
        """Return whether there is such an object. A small one is read for it, because it is opened next."""
        try:
            self.open(path)
        except FileNotFoundError:
            return False
        return True

    def modified(self, path: str) -> Any:
        """Return when an object changed. For what never changes, DuckDB is told so without a request."""
        return _LONG_AGO if _NEVER_USED_AGAIN.search(path) else self._files.modified(_key(path))


def identity_of(tag: str) -> int:
    """Return a hash of an ETag, which changes with the content."""
    return int.from_bytes(hashlib.blake2b(tag.encode(), digest_size=7).digest())


def _key(path: str) -> str:
    return path.removeprefix("s3://").removeprefix("s3a://")
