"""Access the files of a data root in a directory, on a local or mounted file system."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat as modes
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from uda_assets.basics.errors import UdaError
from uda_assets.basics.moments import Killed, reached
from uda_assets.storage.base import (
    NO_DROP,
    RACY_NANOSECONDS,
    DropCandidate,
    FileChanged,
    Hold,
    Location,
    Refusal,
    Signature,
    lock_timed_out,
    this_process,
)
from uda_assets.storage.disk import naming_file
from uda_assets.storage.drop_names import is_a_marker, is_hidden_or_unfinished, may_be_a_drop

_HASH_CHUNK = 1 << 20


class Directory:
    """Files in a directory. The root is replaced by a rename, and held by a ``flock`` of the operating system."""

    remote = False

    def signature(self, path: Location) -> Signature:
        """Return the signature of a file."""
        return signature_of(os.stat(path))  # noqa: PTH116 - creating a Path takes longer than the call

    def is_racy(self, signature: Signature) -> bool:
        """Return whether the file changed so recently that a further change may have the same time ("racy git")."""
        return time.time_ns() - max(signature.modified, signature.changed) <= RACY_NANOSECONDS

    def drops_below(self, directory: Location) -> Iterable[DropCandidate]:
        """Walk a directory to find the files that may be drops.

        Links to directories are not followed, because a target below the directory is found without them.
        """
        return _walk_drops(str(directory), "", os.path.realpath(directory)) if directory.is_dir() else ()

    def files_below(self, directory: Location) -> dict[str, Signature]:
        """Walk a directory to find all files below it."""
        files = (path for path in directory.rglob("*") if path.is_file())
        return {str(path.relative_to(directory)): self.signature(path) for path in files}

    def signature_lookup(self, *directories: Location) -> Callable[[str], Signature | None]:
        """Return a function that looks up the signature of a file by a ``stat`` call."""
        del directories
        return _signature_at

    def read(self, path: Location) -> bytes:
        """Return the content of a file."""
        with naming_file(path):
            return path.read_bytes()

    def fetch(self, path: Location, target: Path) -> None:
        """Copy a file."""
        shutil.copyfile(path, target)

    def hash(self, path: Location) -> str:
        """Return the BLAKE3 checksum of a file."""
        return hash_file(path)

    def replacing(self, path: Location) -> AbstractContextManager[Path]:
        """Write a file through a temporary path beside it, which is renamed at the end."""
        return replacing(path)

    def write(self, path: Location, content: bytes) -> None:
        """Write a file, and wait for the disk."""
        write_durably(path, content)

    def note(self, path: Location, content: bytes) -> None:
        """Replace a file by renaming, without waiting for the disk.

        A writer that starts at the same moment may remove the temporary file, as if a crash had left it behind.
        """
        with self.replacing(path) as temporary, naming_file(path):
            temporary.write_bytes(content)

    def move(self, source: Location, target: Location) -> None:
        """Move a file by renaming it, or by a verified copy if it is a link or the target is on another file system."""
        make_dir(target.parent)
        if not source.is_symlink():
            try:
                source.replace(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
            else:
                return
        _move_by_copy(source, target)

    def remove(self, paths: Iterable[Location]) -> None:
        """Remove those of the files that exist."""
        for path in paths:
            path.unlink(missing_ok=True)

    def read_root(self, path: Location) -> bytes | None:
        """Return the content of the root file, or None if there is none."""
        try:
            return self.read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    @contextmanager
    def held(self, path: Location, timeout: float) -> Iterator[Hold]:
        """Hold a lock of the operating system, which releases it even if the process is killed.

        The file of the lock says who holds it. It is emptied only when the work is done, so that the next holder can
        tell whether it was.
        """
        make_dir(path.parent)
        lock = path.with_name("lock")
        try:
            file = lock.open("a+", encoding="utf-8")
        except OSError as error:
            raise UdaError(f"{path.parent} cannot be written: {error.strerror}") from None
        with file:
            _acquire(file.fileno(), lock, timeout)
            abandoned = os.fstat(file.fileno()).st_size > 0
            with naming_file(lock):
                os.truncate(file.fileno(), 0)
                os.write(file.fileno(), this_process().encode())
            yield _HeldFile(path, self.read_root(path), abandoned)
            with naming_file(lock):
                os.truncate(file.fileno(), 0)


class _HeldFile:
    """A root whose lock the operating system keeps for as long as its holder lives."""

    def __init__(self, path: Path, content: bytes | None, abandoned: bool) -> None:
        self._path = path
        self.content = content
        self.abandoned = abandoned
        self.stamp = uuid.uuid4().hex[:12]

    def require(self) -> None:
        """Return at once, because the lock cannot be lost."""

    def replace(self, content: bytes) -> None:
        """Replace the file by renaming, once its content is on disk."""
        write_durably(self._path, content)
        self.content = content


def _acquire(descriptor: int, path: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = path.read_text(encoding="utf-8").strip() or "another process"
                raise lock_timed_out(holder, timeout) from None
            time.sleep(0.05)


@contextmanager
def in_use(directory: str | Path) -> Iterator[None]:
    """Mark a directory as in use during the context, by a lock that ends with this process at the latest."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def is_in_use(directory: Path) -> bool:
    """Return whether a living process has marked a directory as in use."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def signature_of(stat: os.stat_result) -> Signature:
    """Return the signature in the result of a ``stat`` call."""
    return Signature(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def hash_file(path: Location) -> str:
    """Return the BLAKE3 checksum of a file: as hard to forge as SHA-256, and several times faster."""
    with naming_file(path), path.open("rb") as file:
        return hash_stream(file)


def hash_stream(file: BinaryIO) -> str:
    """Return the BLAKE3 checksum of the rest of a stream."""
    digest = blake3()
    while chunk := file.read(_HASH_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _move_by_copy(source: Path, target: Path) -> None:
    """Copy a file with its times, verify the copy, then remove the file.

    Raises:
        FileChanged: The file was changed meanwhile. Nothing was moved.
    """
    before = signature_of(source.stat())
    with replacing(target) as copy, naming_file(target):
        shutil.copy2(source, copy)
        if hash_file(copy) != hash_file(source) or signature_of(source.stat()) != before:
            raise FileChanged(f"{source} was changed while it was moved")
    source.unlink()


def can_rename(source: Path, target: Path) -> bool:
    """Return whether files can be renamed from one directory to another, which a mount between them prevents."""
    probe = source / f".{uuid.uuid4().hex}.tmp"
    moved = target / probe.name
    try:
        probe.touch()
        probe.rename(moved)
    except OSError as error:
        return error.errno != errno.EXDEV
    finally:
        for path in (probe, moved):
            with suppress(OSError):
                path.unlink(missing_ok=True)
    return True


def make_dir_alone(path: Location) -> None:
    """Make a directory whose parent exists; in a bucket do nothing, as it has no directories."""
    if isinstance(path, Path):
        path.mkdir(exist_ok=True)


def make_dir(path: Path) -> None:
    """Make a directory and its parents.

    Raises:
        UdaError: The directory cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UdaError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file through a temporary path beside it, which is renamed at the end, or removed after an error."""
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


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file by renaming, once its content is on disk."""
    with replacing(path) as temporary, naming_file(path), temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def remove_empty(directory: Path) -> None:
    """Remove a directory, and those above it, as far as they are empty."""
    with suppress(OSError):
        while True:
            directory.rmdir()
            directory = directory.parent


def _signature_at(path: str) -> Signature | None:
    """Return the signature of a regular file, or None if there is no such file."""
    try:
        stat = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return signature_of(stat) if modes.S_ISREG(stat.st_mode) else None


def _walk_drops(directory: str, prefix: str, top: str) -> Iterator[DropCandidate]:
    """Find the files below ``directory`` that may be drops.

    Args:
        directory: The directory to walk.
        prefix: Its path relative to ``top``, with a slash at its end, or nothing.
        top: The real path of the directory that links must not lead out of.
    """
    try:
        entries = os.scandir(directory)
    except FileNotFoundError:
        return  # it was removed after its parent was listed
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
            elif signature := _signature_of_entry(entry):
                if may_be_a_drop(entry.name):
                    yield f"{prefix}{entry.name}", signature
                elif not is_a_marker(entry.name):
                    yield f"{prefix}{entry.name}", NO_DROP


_LEADS_OUT = Refusal("link_leads_out", "it is a link that leads out of datasets; replace it by what it leads to")


def _linked_name(entry: os.DirEntry[str]) -> str | None:
    """Return the name of a link that could be a drop, or a directory of drops (with a slash); None for other links."""
    try:
        if entry.is_dir():
            return f"{entry.name}/"
        return entry.name if may_be_a_drop(entry.name) and entry.is_file() else None
    except OSError:
        return None


def _leads_below(path: str, top: str) -> bool:
    """Return whether a link leads, possibly through other links, to ``top`` or below it."""
    target = os.path.realpath(path)
    return target == top or target.startswith(f"{top.rstrip('/')}/")


def _signature_of_entry(entry: os.DirEntry[str]) -> Signature | None:
    """Return the signature of a file, or None for other entries, broken links and files that have vanished."""
    try:
        return signature_of(entry.stat()) if entry.is_file() else None
    except OSError:
        return None
