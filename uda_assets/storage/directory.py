"""Files in a directory of this machine, or of a file system that it mounts."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import stat as modes
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from uda_assets.basics.errors import UdaError
from uda_assets.basics.moments import Killed, reached
from uda_assets.storage.base import RACY_NANOSECONDS, Found, Guard, Location, Refusal, Signature
from uda_assets.storage.disk import naming_file
from uda_assets.storage.drop_names import is_hidden_or_unfinished, may_be_a_drop

_HASHED_AT_ONCE = 1 << 20


class Directory:
    """Files in a directory; it commits by renaming, and locks by the system's own lock."""

    remote = False

    def signature(self, path: Location) -> Signature:
        """See :class:`uda_assets.storage.Storage`, as for all that follows."""
        return signature_of(os.stat(path))  # noqa: PTH116 - a Path for each of thousands takes longer than the call.

    def is_racy(self, mark: Signature) -> bool:
        """The caution about files changed only just before they were hashed is git's ("racy git")."""
        return time.time_ns() - max(mark.modified, mark.changed) <= RACY_NANOSECONDS

    def drops_below(self, directory: Location) -> Iterable[Found]:
        """Links to directories are not followed: where they stay below the directory, what they lead to is found."""
        return _walk_drops(str(directory), "", os.path.realpath(directory)) if directory.is_dir() else ()

    def files_below(self, directory: Location) -> dict[str, Signature]:
        """All regular files."""
        found = {}
        for path in directory.rglob("*"):
            if path.is_file():
                found[str(path.relative_to(directory))] = self.signature(path)
        return found

    def manifests_below(self, directory: Location, name: str) -> Iterable[tuple[str, Signature]]:
        """By walking; a directory that holds a manifest is not walked further."""
        return _walk_manifests(str(directory), name) if directory.is_dir() else ()

    def signature_lookup(self, *directories: Location) -> Callable[[str], Signature | None]:
        """By a stat of each file."""
        del directories
        return _look

    def read(self, path: Location) -> bytes:
        """All of it."""
        with naming_file(path):
            return path.read_bytes()

    def fetch(self, path: Location, target: Path) -> None:
        """By copying."""
        shutil.copyfile(path, target)

    def hash(self, path: Location) -> str:
        """As of :func:`hash_file`."""
        return hash_file(path)

    def replacing(self, path: Location) -> AbstractContextManager[Path]:
        """As of :func:`replacing`."""
        return replacing(path)

    def commit(self, path: Location, content: bytes) -> None:
        """On disk before it is visible; the system's lock keeps other writers away."""
        with self.replacing(path) as temporary, naming_file(path), temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def note(self, path: Location, content: bytes) -> None:
        """A writer that begins meanwhile takes the temporary file for one that a crash left behind."""
        with self.replacing(path) as temporary, naming_file(path):
            temporary.write_bytes(content)

    def move(self, source: Location, target: Location) -> None:
        """By renaming."""
        make_dir(target.parent)
        source.replace(target)

    def remove(self, paths: Iterable[Location]) -> None:
        """One by one."""
        for path in paths:
            path.unlink(missing_ok=True)

    @contextmanager
    def locked(self, path: Location, timeout: float) -> Iterator[Guard]:
        """The lock is the system's and ends with its holder, however that dies."""
        make_dir(path.parent)
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise UdaError(f"{path.parent} cannot be written: {error.strerror}") from None
        holder = f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        with file:
            _acquire(file.fileno(), path, timeout)
            with naming_file(path):
                os.truncate(file.fileno(), 0)
                os.write(file.fileno(), holder.encode())
            yield _HeldBySystem()


class _HeldBySystem:
    """The system does not let go of a lock while its holder lives."""

    stamp = ""

    def require(self) -> None:
        """It is held."""


def _acquire(descriptor: int, path: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = path.read_text(encoding="utf-8").strip() or "another process"
                raise UdaError(
                    f"the data root is being written by {holder}; waited {timeout:g} s (UDA_LOCK_TIMEOUT)"
                ) from None
            time.sleep(0.05)


@contextmanager
def in_use(directory: str | Path) -> Iterator[None]:
    """Mark a directory as in use for as long as this process lives, by a lock of the system's."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def is_in_use(directory: Path) -> bool:
    """Whether a process that lives has marked a directory as in use."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def signature_of(stat: os.stat_result) -> Signature:
    """What a file's stat says of its content."""
    return Signature(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def hash_file(path: Location) -> str:
    """BLAKE3 of a file's bytes: as hard to forge as SHA-256, and several times faster."""
    with naming_file(path), path.open("rb") as file:
        return hash_stream(file)


def hash_stream(file: BinaryIO) -> str:
    """BLAKE3 of what is left of a stream."""
    digest = blake3()
    while chunk := file.read(_HASHED_AT_ONCE):
        digest.update(chunk)
    return digest.hexdigest()


def make_dir_alone(path: Location) -> None:
    """Make a directory whose parent must be there; in a bucket there are none to be made."""
    if isinstance(path, Path):
        path.mkdir(exist_ok=True)


def make_dir(path: Path) -> None:
    """Make a directory and its parents.

    Raises:
        UdaError: It cannot be made.

    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UdaError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place at the end, or is removed on any error."""
    make_dir(path.parent)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        reached("file: written")
        temporary.replace(path)
    except Killed:
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _look(path: str) -> Signature | None:
    try:
        stat = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return signature_of(stat) if modes.S_ISREG(stat.st_mode) else None


def _walk_drops(directory: str, prefix: str, top: str) -> Iterator[Found]:
    try:
        entries = os.scandir(directory)
    except FileNotFoundError:
        return  # it went since its parent was listed
    except OSError as error:
        yield prefix, Refusal("unreadable", f"it cannot be listed ({error.strerror or error}); make it readable")
        return
    with entries:
        for entry in entries:
            if is_hidden_or_unfinished(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk_drops(entry.path, f"{prefix}{entry.name}/", top)
            elif entry.is_symlink() and (name := _linked_name(entry)) and not _leads_below(entry.path, top):
                yield f"{prefix}{name}", _LEADS_OUT
            elif may_be_a_drop(entry.name) and (mark := _signature_of_file(entry)):
                yield f"{prefix}{entry.name}", mark


_LEADS_OUT = Refusal("link_leads_out", "it is a link that leads out of datasets; put there what it leads to")


def _linked_name(entry: os.DirEntry[str]) -> str | None:
    """What a link is called if it may be taken for a drop or a directory of drops; None where it is not."""
    try:
        if entry.is_dir():
            return f"{entry.name}/"
        return entry.name if may_be_a_drop(entry.name) and entry.is_file() else None
    except OSError:
        return None


def _leads_below(path: str, top: str) -> bool:
    """Whether a link, through whatever other links, ends at ``top`` or below it."""
    target = os.path.realpath(path)
    return target == top or target.startswith(f"{top.rstrip('/')}/")


def _signature_of_file(entry: os.DirEntry[str]) -> Signature | None:
    """None for what is no file, a link to none or to itself, and what vanished since it was listed."""
    try:
        return signature_of(entry.stat()) if entry.is_file() else None
    except OSError:
        return None


def _walk_manifests(directory: str, name: str) -> Iterator[tuple[str, Signature]]:
    with os.scandir(directory) as entries:
        inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for path in inner:
        manifest = f"{path}/{name}"
        if mark := _look(manifest):
            yield manifest, mark
        else:
            yield from _walk_manifests(path, name)
