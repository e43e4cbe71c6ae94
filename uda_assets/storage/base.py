"""The interface between the lake and the storage of its files."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from uda_assets.basics.errors import UdaError

Location = Path
"""A file or directory: a path on this machine, or an object or prefix in a bucket. The latter is a UPath, which has the
methods of a Path but is not an instance of it."""

RACY_NANOSECONDS = 2_000_000_000
"""A file that changed less than this long before it was read may change again without getting another time."""


class Signature(NamedTuple):
    """The size, times and identity of a file. A file that still has the same signature is taken to be unchanged.

    Attributes:
        size: Size in bytes.
        modified: Time of the last change of the content, in nanoseconds since 1970.
        changed: Time of the last change of the content, the name or the rights, in nanoseconds since 1970; in a bucket
            the same as ``modified``.
        identity: The inode; in a bucket a hash of the ETag.
    """

    size: int
    modified: int
    changed: int
    identity: int


class FileChanged(OSError):
    """A file was changed while it was being moved; it was not moved."""


class Hold(Protocol):
    """The root of a data root, held for writing: a small object that only its holder can replace.

    Attributes:
        abandoned: Whether the holder before this one died, or gave up after an error, and may have left files behind.
    """

    abandoned: bool

    @property
    def content(self) -> bytes | None:
        """What the root holds, or None if there is none yet."""

    @property
    def stamp(self) -> str:
        """A part of the names of files that this writer makes. No other writer has the same."""

    def require(self) -> None:
        """Check that the root is still held.

        Raises:
            UdaError: It was lost to another writer, so that nothing may be committed any more.
        """

    def replace(self, content: bytes) -> None:
        """Replace the content in one step.

        Raises:
            UdaError: The root was lost to another writer. It has not been replaced.
        """


class Refusal(NamedTuple):
    """The reason why something below ``datasets/`` is not read.

    Attributes:
        code: A short code such as ``unreadable``.
        advice: What is wrong and what to do, in one line.
    """

    code: str
    advice: str


NO_DROP = Refusal(
    "ignored",
    "its name ends in neither .csv, .tsv nor .txt (or one of these and .gz, .zst, .bz2, .xz, .zip); rename it, move it "
    "away, or exclude it by UDA_EXCLUDE",
)
"""For files below ``datasets/`` that nobody will ever read."""

DropCandidate = tuple[str, Signature | Refusal]
"""A file by its path below a directory, with its signature or with the reason why it is not read."""


class Storage(Protocol):
    """Access to files in a directory or in a bucket. Unless a method says otherwise, its errors are OSErrors."""

    remote: bool
    """Whether other programs need an S3 client to read the files."""

    def signature(self, path: Location) -> Signature:
        """Return the signature of a file.

        Raises:
            FileNotFoundError: There is no such file.
        """

    def is_racy(self, signature: Signature) -> bool:
        """Return whether a file with this signature could still change without changing its signature."""

    def drops_below(self, directory: Location) -> Iterable[DropCandidate]:
        """Find the files below a directory that may be drops, except hidden and unfinished ones.

        Links to files are followed if they lead to a place below the directory. Links that lead out of it are refused.
        """

    def files_below(self, directory: Location) -> dict[str, Signature]:
        """Return the signatures of all files below a directory, by their paths relative to it."""

    def signature_lookup(self, *directories: Location) -> Callable[[str], Signature | None]:
        """Return a function that looks up signatures of files below the directories.

        It takes the full path of a file and returns its signature, or None if the file is missing.
        """

    def read(self, path: Location) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: There is no such file.
        """

    def fetch(self, path: Location, target: Path) -> None:
        """Copy a file to a path on this machine."""

    def hash(self, path: Location) -> str:
        """Return the BLAKE3 checksum of a file."""

    def replacing(self, path: Location) -> AbstractContextManager[Path]:
        """Write a file through a temporary path on this machine.

        At the end of the context the temporary file atomically takes the place of ``path``. After an error it is
        discarded.
        """

    def write(self, path: Location, content: bytes) -> None:
        """Write a small file, which is on the disk when this returns."""

    def note(self, path: Location, content: bytes) -> None:
        """Replace a small file that may get lost."""

    def move(self, source: Location, target: Location) -> None:
        """Move a file, replacing any file at the target."""

    def remove(self, paths: Iterable[Location]) -> None:
        """Remove those of the files that exist."""

    def read_root(self, path: Location) -> bytes | None:
        """Return the content of the root at ``path``, or None if there is none."""

    def held(self, path: Location, timeout: float) -> AbstractContextManager[Hold]:
        """Hold the root at ``path``, so that no other process writes to the data root.

        Raises:
            UdaError: Another writer held it for ``timeout`` seconds, or the data root cannot be written.
        """


def this_process() -> str:
    """Return a description of this process as the holder of a lock."""
    return f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def lock_timed_out(holder: str, timeout: float) -> UdaError:
    """Return the error for a lock that another writer held for ``timeout`` seconds."""
    return UdaError(
        f"the data root is being written by {holder}; waited {timeout:g} s: run again later, or raise UDA_LOCK_TIMEOUT"
    )
