"""What the lake needs of the place where its files are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

Location = Path
"""A file or directory: a path of this machine; or one in a bucket, an UPath, which has a path's methods but is none."""

RACY_NANOSECONDS = 2_000_000_000
"""A file changed less than this long before it was read may change again within the clock's resolution."""


class Signature(NamedTuple):
    """What tells a version of a file from any other: a file with the same signature is taken to be unchanged.

    Attributes:
        size: Bytes.
        modified: Time of the last change of its content, in nanoseconds since 1970.
        changed: Time of the last change of it or its name; in a bucket the same.
        identity: Its inode; in a bucket a hash of its ETag.

    """

    size: int
    modified: int
    changed: int
    identity: int


class Guard(Protocol):
    """What the holder of a data root's lock has of it."""

    @property
    def stamp(self) -> str:
        """Goes into the names of what this writer makes; that of a later writer sorts behind it."""

    def require(self) -> None:
        """See that the lock is still held.

        Raises:
            UdaError: It is not; nothing may be committed any more.

        """


class Refusal(NamedTuple):
    """Why something that is there is not looked at.

    Attributes:
        code: In one word.
        advice: What is wrong with it and what to do.

    """

    code: str
    advice: str


Found = tuple[str, Signature | Refusal]
"""A file by its path below a directory, with its signature; or what is not looked at, and why."""


class Storage(Protocol):
    """Files in a directory or in a bucket; all errors are of the family of OSError."""

    remote: bool
    """Whether other programs than ours need an S3 client to read the files."""

    def signature(self, path: Location) -> Signature:
        """The signature of a file; FileNotFoundError where there is none."""

    def is_racy(self, mark: Signature) -> bool:
        """Whether a file that has this signature now may change without getting another one."""

    def drops_below(self, directory: Location) -> Iterable[Found]:
        """The files below a directory that may be drops; those not finished are left out.

        Links to files are followed where they stay below the directory. What leads out of it is refused.
        """

    def files_below(self, directory: Location) -> dict[str, Signature]:
        """All files below a directory, by their paths from there."""

    def manifests_below(self, directory: Location, name: str) -> Iterable[tuple[str, Signature]]:
        """The files of a name below a directory, in full, none inside a directory that holds one itself."""

    def signature_lookup(self, *directories: Location) -> Callable[[str], Signature | None]:
        """A function from the full path of a file below the directories to its signature; None where it is missing."""

    def read(self, path: Location) -> bytes:
        """What is in a file; FileNotFoundError where there is none."""

    def fetch(self, path: Location, target: Path) -> None:
        """Copy a file to this machine."""

    def hash(self, path: Location) -> str:
        """BLAKE3 of a file."""

    def replacing(self, path: Location) -> AbstractContextManager[Path]:
        """A path of this machine to write to; at the end it becomes the file in one step, on any error nothing."""

    def commit(self, path: Location, content: bytes) -> None:
        """Replace a small file in one step, unless another writer did so since it was last read here."""

    def note(self, path: Location, content: bytes) -> None:
        """Replace a small file that can be lost."""

    def move(self, source: Location, target: Location) -> None:
        """Move a file; what was at the target is replaced."""

    def remove(self, paths: Iterable[Location]) -> None:
        """Remove files, if they are there."""

    def locked(self, path: Location, timeout: float) -> AbstractContextManager[Guard]:
        """Be the only writer.

        Raises:
            UdaError: Another one is, for ``timeout`` seconds; or nothing can be written there.

        """
