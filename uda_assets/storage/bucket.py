"""Files in a bucket behind an S3 API, by s3fs.

There is no renaming and no lock of a system's here. A put replaces an object in one step; a conditional put does so
only if the object is still the one that was last read (compare and swap by ETag, S3 since 2024). The rest is built on
these two.
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
from uda_assets.storage.base import Found, Guard, Location, Signature
from uda_assets.storage.directory import hash_stream
from uda_assets.storage.drop_names import is_hidden_or_unfinished, may_be_a_drop
from uda_assets.storage.lease import AnotherWriter, leased

_STREAMED_AT_ONCE = 8 << 20
_MOST_DELETED_AT_ONCE = 1_000
_MET_ANOTHER = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class Bucket:
    """Objects of one bucket.

    An instance remembers the ETag of each small file as it was when read, and commits over that version alone; so it is
    for one writer, and no two of its threads may commit the same file.
    """

    remote = True

    def __init__(self, filesystem: Any) -> None:
        self._files = filesystem
        self._tags: dict[str, str | None] = {}

    # -- looking ---------------------------------------------------------------------------------------------------

    def signature(self, path: Location) -> Signature:
        """See :class:`uda_assets.storage.Storage`, as for all that follows."""
        return _signature(self._info(path))

    def is_racy(self, mark: Signature) -> bool:
        """An ETag is that of its content."""
        del mark
        return False

    def drops_below(self, directory: Location) -> Iterable[Found]:
        """By listing the whole prefix, a call for each thousand objects."""
        for name, mark in self.files_below(directory).items():
            *above, last = name.split("/")
            if may_be_a_drop(last) and not any(map(is_hidden_or_unfinished, [*above, last])):
                yield name, mark

    def files_below(self, directory: Location) -> dict[str, Signature]:
        """By listing the whole prefix."""
        base = len(_key(directory)) + 1
        return {key[base:]: _signature(info) for key, info in self._list(directory).items()}

    def manifests_below(self, directory: Location, name: str) -> Iterable[tuple[str, Signature]]:
        """By listing the whole prefix."""
        for key, info in self._list(directory).items():
            if key.endswith(f"/{name}"):
                self._tags[key] = info["ETag"]
                yield f"s3://{key}", _signature(info)

    def signature_lookup(self, *directories: Location) -> Callable[[str], Signature | None]:
        """In listings of the prefixes."""
        known: dict[str, Signature] = {}
        for directory in directories:
            known |= {f"{directory}/{name}": mark for name, mark in self.files_below(directory).items()}
        return known.get

    def _list(self, directory: Location) -> Mapping[str, dict[str, Any]]:
        try:
            found = self._files.find(f"{_key(directory)}/", detail=True)
        except FileNotFoundError:
            raise _no_bucket(_key(directory)) from None
        return {key: info for key, info in found.items() if not key.endswith("/")}

    def _info(self, path: Location) -> dict[str, Any]:
        info: dict[str, Any] = self._files.info(_key(path))
        if info["type"] != "file":
            raise FileNotFoundError(str(path))
        return info

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, path: Location) -> bytes:
        """The ETag is asked for first: where the object changes in between, a commit over it fails, as it should."""
        found = self.read_tagged(path)
        self._tags[_key(path)] = found[1] if found else None
        if found is None:
            raise FileNotFoundError(str(path))
        return found[0]

    def fetch(self, path: Location, target: Path) -> None:
        """By a download."""
        self._files.get_file(_key(path), str(target))

    def hash(self, path: Location) -> str:
        """By streaming it."""
        with path.open("rb", block_size=_STREAMED_AT_ONCE) as file:  # type: ignore[call-overload]
            return hash_stream(file)

    # -- writing ---------------------------------------------------------------------------------------------------

    @contextmanager
    def replacing(self, path: Location) -> Iterator[Path]:
        """A file of this machine, put at the end; a put that does not complete leaves nothing that can be seen."""
        with tempfile.TemporaryDirectory(prefix="uda-") as scratch:
            temporary = Path(scratch, path.name)
            yield temporary
            reached("file: written")
            self._files.put_file(str(temporary), _key(path))

    def commit(self, path: Location, content: bytes) -> None:
        """By a conditional put."""
        key = _key(path)
        if key not in self._tags:
            try:
                self._tags[key] = self._info(path)["ETag"]
            except FileNotFoundError:
                self._tags[key] = None
        try:
            self._tags[key] = self.swap(path, content, self._tags[key])
        except AnotherWriter:
            raise UdaError(
                f"{path} was changed by another writer meanwhile, and nothing was committed over it; run again"
            ) from None
        reached("file: written")

    def swap(self, path: Location, content: bytes, tag: str | None) -> str:
        """Put an object if it has this ETag, or if there is none; the new ETag.

        Raises:
            AnotherWriter: It is another one by now.

        """
        key = _key(path)
        bucket, _, name = key.partition("/")
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        try:
            done = self._files.call_s3("put_object", Bucket=bucket, Key=name, Body=content, **condition)
        except FileNotFoundError:
            raise _no_bucket(key) from None
        except (ClientError, OSError) as error:
            if not _met_another(error):
                raise
            # Where only the answer of our own put was lost, trying again meets what we have put.
            if self._files.cat_file(key) != content:
                raise AnotherWriter(key) from None
            done = self._files.info(key)
        put: str = done["ETag"]
        return put

    def read_tagged(self, path: Location) -> tuple[bytes, str] | None:
        """An object and its ETag; None where there is none."""
        try:
            tag: str = self._info(path)["ETag"]
            return self._files.cat_file(_key(path)), tag
        except FileNotFoundError:
            return None

    def note(self, path: Location, content: bytes) -> None:
        """By a put."""
        self._files.pipe_file(_key(path), content)

    def move(self, source: Location, target: Location) -> None:
        """By copying, then removing."""
        self._files.cp_file(_key(source), _key(target))
        self.remove([source])

    def remove(self, paths: Iterable[Location]) -> None:
        """A thousand at once."""
        keys = [_key(path) for path in paths]
        for start in range(0, len(keys), _MOST_DELETED_AT_ONCE):
            some = keys[start : start + _MOST_DELETED_AT_ONCE]
            bucket = some[0].partition("/")[0]
            objects = [{"Key": key.partition("/")[2]} for key in some]
            self._files.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for key in some:
                self._tags.pop(key, None)

    def locked(self, path: Location, timeout: float) -> AbstractContextManager[Guard]:
        """By a lease, an object; see :mod:`uda_assets.storage.lease`."""
        self._tags.clear()
        return leased(self, path, timeout)


def _no_bucket(key: str) -> UdaError:
    return UdaError(f"there is no bucket {key.partition('/')[0]!r}; make it, or name another data root")


def _met_another(error: Exception) -> bool:
    """Whether an error says that a condition of a put did not hold; s3fs makes errors of its own of some."""
    cause = error if isinstance(error, ClientError) else error.__cause__
    if isinstance(cause, ClientError):
        return cause.response.get("Error", {}).get("Code") in _MET_ANOTHER
    return isinstance(error, FileExistsError)


def _key(path: Location) -> str:
    """Bucket and name, as s3fs has it."""
    return str(path).removeprefix("s3://")


def _signature(info: Mapping[str, Any]) -> Signature:
    modified = int(info["LastModified"].timestamp() * 1_000_000) * 1_000
    identity = int.from_bytes(hashlib.blake2b(info["ETag"].encode(), digest_size=7).digest())
    return Signature(int(info["size"]), modified, modified, identity)
