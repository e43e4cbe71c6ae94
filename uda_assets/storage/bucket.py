"""Access the files of a data root in a bucket with an S3 API, through s3fs.

A bucket has neither renames nor locks. A put replaces an object atomically, and a conditional put does so only if the
object still has the ETag that was last read (compare and swap; in S3 since 2024). Everything else builds on these two.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from uda_assets.basics.errors import UdaError
from uda_assets.basics.moments import reached
from uda_assets.storage.base import NO_DROP, DropCandidate, Guard, Location, Signature
from uda_assets.storage.directory import hash_stream
from uda_assets.storage.drop_names import is_a_marker, is_hidden_or_unfinished, may_be_a_drop
from uda_assets.storage.lease import ObjectChanged, leased

_STREAM_BLOCK = 8 << 20
_MOST_DELETED_AT_ONCE = 1_000
_CONDITION_FAILED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class Bucket:
    """Objects in a bucket.

    An instance remembers the ETag of each small file that it has read, and commits only over that version. Therefore
    each writer needs an instance of its own, and two of its threads must not commit the same file.
    """

    remote = True

    def __init__(self, filesystem: Any) -> None:
        self._files = filesystem
        self._tags: dict[str, str | None] = {}

    # -- listing ---------------------------------------------------------------------------------------------------

    def signature(self, path: Location) -> Signature:
        """Return the signature of an object."""
        return _signature(self._info(path))

    def is_racy(self, signature: Signature) -> bool:
        """Return False, because the ETag changes with the content."""
        del signature
        return False

    def drops_below(self, directory: Location) -> Iterable[DropCandidate]:
        """List all objects below a prefix to find those that may be drops."""
        for name, signature in self.files_below(directory).items():
            parts = name.split("/")
            if any(map(is_hidden_or_unfinished, parts)) or not parts[-1]:
                continue
            if may_be_a_drop(parts[-1]):
                yield name, signature
            elif not is_a_marker(parts[-1]):
                yield name, NO_DROP

    def files_below(self, directory: Location) -> dict[str, Signature]:
        """List all objects below a prefix, with one request for each thousand of them."""
        base = len(_key(directory)) + 1
        return {key[base:]: _signature(info) for key, info in self._list(directory).items()}

    def manifests_below(self, directory: Location, name: str) -> Iterable[tuple[str, Signature]]:
        """List all objects below a prefix to find manifests, and remember their ETags."""
        for key, info in self._list(directory).items():
            if key.endswith(f"/{name}"):
                self._tags[key] = info["ETag"]
                yield f"s3://{key}", _signature(info)

    def signature_lookup(self, *directories: Location) -> Callable[[str], Signature | None]:
        """List all objects below the prefixes, and return a function that looks up signatures in these lists."""
        signatures: dict[str, Signature] = {}
        for directory in directories:
            for name, signature in self.files_below(directory).items():
                signatures[f"{directory}/{name}"] = signature
        return signatures.get

    def _list(self, directory: Location) -> Mapping[str, dict[str, Any]]:
        try:
            objects = self._files.find(f"{_key(directory)}/", detail=True)
        except FileNotFoundError:
            raise _no_bucket(_key(directory)) from None
        return {key: info for key, info in objects.items() if not key.endswith("/")}

    def _info(self, path: Location) -> dict[str, Any]:
        info: dict[str, Any] = self._files.info(_key(path))
        if info["type"] != "file":
            raise FileNotFoundError(str(path))
        return info

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, path: Location) -> bytes:
        """Return the content of an object, and remember its ETag for a later commit."""
        tagged = self.read_tagged(path)
        self._tags[_key(path)] = tagged[1] if tagged else None
        if tagged is None:
            raise FileNotFoundError(str(path))
        return tagged[0]

    def fetch(self, path: Location, target: Path) -> None:
        """Download an object."""
        self._files.get_file(_key(path), str(target))

    def hash(self, path: Location) -> str:
        """Return the BLAKE3 checksum of an object, which is streamed."""
        with path.open("rb", block_size=_STREAM_BLOCK) as file:  # type: ignore[call-overload]
            return hash_stream(file)

    # -- writing ---------------------------------------------------------------------------------------------------

    @contextmanager
    def replacing(self, path: Location) -> Iterator[Path]:
        """Write a temporary file on this machine and upload it at the end; an incomplete upload stays invisible."""
        with tempfile.TemporaryDirectory(prefix="uda-") as scratch:
            temporary = Path(scratch, path.name)
            yield temporary
            reached("file: written")
            self._files.put_file(str(temporary), _key(path))

    def commit(self, path: Location, content: bytes) -> None:
        """Replace an object by a conditional put."""
        key = _key(path)
        if key not in self._tags:
            try:
                self._tags[key] = self._info(path)["ETag"]
            except FileNotFoundError:
                self._tags[key] = None
        try:
            self._tags[key] = self.swap(path, content, self._tags[key])
        except ObjectChanged:
            raise UdaError(
                f"{path} was changed by another writer in the meantime, and was not overwritten; run again"
            ) from None
        reached("file: written")

    def swap(self, path: Location, content: bytes, tag: str | None) -> str:
        """Put an object if the existing one has this ETag or, if ``tag`` is None, if there is none.

        Returns:
            The new ETag.

        Raises:
            ObjectChanged: The condition does not hold, because another writer changed the object.
        """
        key = _key(path)
        bucket, _, name = key.partition("/")
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        try:
            response = self._files.call_s3("put_object", Bucket=bucket, Key=name, Body=content, **condition)
        except FileNotFoundError:
            raise _no_bucket(key) from None
        except (ClientError, OSError) as error:
            if not _is_failed_condition(error):
                raise
            # If only the response to the put was lost, the client's next attempt finds the object that it put itself.
            if self._files.cat_file(key) != content:
                raise ObjectChanged(key) from None
            response = self._files.info(key)
        new_tag: str = response["ETag"]
        return new_tag

    def read_tagged(self, path: Location) -> tuple[bytes, str] | None:
        """Return the content of an object and its ETag, or None if there is no such object."""
        try:
            # The ETag is read first: if the object changes before its content is read, a commit over it fails.
            tag: str = self._info(path)["ETag"]
            return self._files.cat_file(_key(path)), tag
        except FileNotFoundError:
            return None

    def note(self, path: Location, content: bytes) -> None:
        """Replace an object by an unconditional put."""
        self._files.pipe_file(_key(path), content)

    def move(self, source: Location, target: Location) -> None:
        """Copy an object, then remove the original."""
        self._files.cp_file(_key(source), _key(target))
        self.remove([source])

    def remove(self, paths: Iterable[Location]) -> None:
        """Remove objects, a thousand with each request."""
        keys = [_key(path) for path in paths]
        for start in range(0, len(keys), _MOST_DELETED_AT_ONCE):
            batch = keys[start : start + _MOST_DELETED_AT_ONCE]
            bucket = batch[0].partition("/")[0]
            objects = [{"Key": key.partition("/")[2]} for key in batch]
            self._files.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for key in batch:
                self._tags.pop(key, None)

    def locked(self, path: Location, timeout: float) -> AbstractContextManager[Guard]:
        """Hold a lease, which is kept in an object; see :mod:`uda_assets.storage.lease`."""
        self._tags.clear()
        return leased(self, path, timeout)


def _no_bucket(key: str) -> UdaError:
    return UdaError(f"there is no bucket {key.partition('/')[0]!r}; create it, or use another data root")


def _is_failed_condition(error: Exception) -> bool:
    """Return whether an error says that the condition of a put does not hold."""
    # s3fs translates some errors of the client, and keeps the original one as their cause.
    cause = error if isinstance(error, ClientError) else error.__cause__
    if isinstance(cause, ClientError):
        return cause.response.get("Error", {}).get("Code") in _CONDITION_FAILED
    return isinstance(error, FileExistsError)


def _key(path: Location) -> str:
    """Return the bucket and the name of an object, as s3fs takes them."""
    return str(path).removeprefix("s3://")


def _signature(info: Mapping[str, Any]) -> Signature:
    modified = int(info["LastModified"].timestamp() * 1_000_000) * 1_000
    identity = int.from_bytes(hashlib.blake2b(info["ETag"].encode(), digest_size=7).digest())
    return Signature(int(info["size"]), modified, modified, identity)
