"""Access the files of a data root in a bucket with an S3 API, through s3fs.

A bucket has neither renames nor locks. A put replaces an object atomically, and a conditional put does so only if the
object still has the ETag that was last read (compare and swap; in S3 since 2024). The root is replaced in this way.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import fsspec
from blake3 import blake3
from botocore.exceptions import ClientError

from uda_assets.basics.errors import UdaError
from uda_assets.basics.moments import reached
from uda_assets.storage.base import NO_DROP, DropCandidate, Hold, Location, Signature
from uda_assets.storage.drop_names import is_a_marker, is_hidden_or_unfinished, may_be_a_drop
from uda_assets.storage.lease import ObjectChanged, leased, root_in
from uda_assets.storage.objects import ObjectFile, identity_of, remembered

_STREAM_BLOCK = 8 << 20
_MOST_DELETED_AT_ONCE = 1_000
_CONDITION_FAILED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class Bucket:
    """Objects in a bucket."""

    remote = True

    def __init__(self, filesystem: Any) -> None:
        self._files = filesystem

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

    def signature_lookup(self, *directories: Location) -> Callable[[str], Signature | None]:
        """List all objects below the prefixes, and return a function that looks up signatures in these lists.

        Of an object elsewhere it asks the bucket.
        """
        signatures: dict[str, Signature] = {}
        for directory in directories:
            for name, signature in self.files_below(directory).items():
                signatures[f"{directory}/{name}"] = signature
        listed = tuple(f"{directory}/" for directory in directories)

        def lookup(path: str) -> Signature | None:
            if path.startswith(listed):
                return signatures.get(path)
            try:
                return _signature(self._files.info(path.removeprefix("s3://")))
            except FileNotFoundError:
                return None

        return lookup

    def _list(self, directory: Location) -> dict[str, dict[str, Any]]:
        bucket, _, prefix = f"{_key(directory)}/".partition("/")
        found: dict[str, dict[str, Any]] = {}
        further: dict[str, str] = {}
        while True:
            try:
                page = self._files.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **further)
            except FileNotFoundError:
                raise _no_bucket(bucket) from None
            for info in page.get("Contents", []):
                if not info["Key"].endswith("/"):
                    found[f"{bucket}/{info['Key']}"] = info
            if not page.get("IsTruncated"):
                return found
            further = {"ContinuationToken": page["NextContinuationToken"]}

    def _info(self, path: Location) -> dict[str, Any]:
        info: dict[str, Any] = self._files.info(_key(path))
        if info["type"] != "file":
            raise FileNotFoundError(str(path))
        return info

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, path: Location) -> bytes:
        """Return the content of an object."""
        return b"".join(self._blocks(path))

    def fetch(self, path: Location, target: Path) -> None:
        """Download an object."""
        with target.open("wb") as file:
            for block in self._blocks(path):
                file.write(block)

    def hash(self, path: Location) -> str:
        """Return the BLAKE3 checksum of an object."""
        digest = blake3()
        for block in self._blocks(path):
            digest.update(block)
        return digest.hexdigest()

    def _blocks(self, path: Location) -> Iterator[bytes]:
        file, offset = ObjectFile(self._files, _key(path)), 0
        while block := file.read_at(offset, _STREAM_BLOCK):
            yield block
            offset += len(block)

    # -- writing ---------------------------------------------------------------------------------------------------

    @contextmanager
    def replacing(self, path: Location) -> Iterator[Path]:
        """Write a temporary file on this machine and upload it at the end; an incomplete upload stays invisible."""
        with tempfile.TemporaryDirectory(prefix="uda-") as scratch:
            temporary = Path(scratch, path.name)
            yield temporary
            reached("file: written")
            self._files.put_file(str(temporary), _key(path))
            if temporary.stat().st_size <= _STREAM_BLOCK:
                remembered.put(_key(path), temporary.read_bytes())

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
        bucket, _, name = _key(path).partition("/")
        try:
            response = self._files.call_s3("get_object", Bucket=bucket, Key=name)
        except FileNotFoundError:
            return None
        content: bytes = fsspec.asyn.sync(self._files.loop, response["Body"].read)
        return content, str(response["ETag"])

    def write(self, path: Location, content: bytes) -> None:
        """Put an object."""
        self._files.pipe_file(_key(path), content)

    def note(self, path: Location, content: bytes) -> None:
        """Put an object."""
        self.write(path, content)

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

    def read_root(self, path: Location) -> bytes | None:
        """Return the content of the root, which is kept in the object of its lease."""
        tagged = self.read_tagged(path)
        return root_in(tagged[0]) if tagged else None

    def held(self, path: Location, timeout: float) -> AbstractContextManager[Hold]:
        """Hold the root by a lease, which is kept in the same object; see :mod:`uda_assets.storage.lease`."""
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
    """Return a signature from the answer to a listing, or from what s3fs tells of an object."""
    modified = int(info["LastModified"].timestamp() * 1_000_000) * 1_000
    return Signature(
        int(info["Size"] if "Size" in info else info["size"]), modified, modified, identity_of(info["ETag"])
    )
