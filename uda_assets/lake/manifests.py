"""What the lake notes about itself: manifests, ledger, and what was last seen of the drops.

A manifest says in which format it is, and ends with a checksum of all that is before it, its seal: a bit that flips on
a disk is found where the file is read, and not in what is made of it.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TypeVar

import msgspec
from blake3 import blake3

from uda_assets.basics.errors import DamagedFile, OtherFormat
from uda_assets.storage import Location, Signature, Storage

MANIFEST = "_manifest.json"
QUARANTINE = "quarantine"
"""What a drop's quarantine is called among the checksums."""
FORMAT = 3
"""The format of all manifests. Raise it with any change that another version of this program would misread."""
_SEAL = ',\n  "checksum": "{}"\n}}'
_SEAL_BYTES = len(_SEAL.format("0" * 64))
_SEAL_PATTERN = re.compile(rb',\s*"checksum": "[^"]*"\s*}\s*$')

T = TypeVar("T")


class PartFile(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A Parquet file: its path below the drop's directory, or that of the sessions, its platform and number of rows.

    ``bucket`` is that of the users in it; converted drops are not divided by user. ``checksum`` is its BLAKE3.
    """

    path: str
    platform: str
    rows: int
    bucket: int = 0
    checksum: str = ""


class DropManifest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a committed drop consists of and how it came about.

    Attributes:
        records, kept, quarantined: Numbers of records; the first is the sum of the others.
        content: BLAKE3 of the file as delivered.
        fingerprint: Hash of content and rules.
        spellings: Records by normalised platform spelling, or None where there were too many to list.
        meanings: What those spellings resolved to (None: unknown).
        quarantine: Its quarantine's path below ``quarantine``, where that does not follow from its name.
        checksums: BLAKE3 of the files beside its part files: ``quarantine``, ``_metadata``, ``_common_metadata``.

    """

    version: int = FORMAT
    drop: str
    content: str
    fingerprint: str
    converter_version: str
    records: int
    kept: int
    quarantined: int
    reasons: dict[str, int]
    files: list[PartFile]
    spellings: dict[str, int] | None
    meanings: dict[str, str | None]
    converted_at: datetime
    quarantine: str = ""
    checksums: dict[str, str] = {}


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """Why a drop was rejected whole, and under which circumstances.

    ``bound`` is the one that it passed, where that is why.
    """

    content: str
    fingerprint: str
    reason: str
    advice: str
    rejected_at: datetime
    max_reject_ratio: float
    records: int = 0
    quarantined: int = 0
    bound: float | None = None


class Ledger(msgspec.Struct, kw_only=True):
    """What is known of drops beside their manifests.

    Attributes:
        rejections: Why drops were rejected whole.
        forgotten: Content that is not to be converted again.
        removing: Drops whose removal has begun.
        removed: Drops that are removed but for their quarantine, which what is published still refers to.

    """

    version: int = FORMAT
    rejections: dict[str, Rejection] = {}
    forgotten: dict[str, str] = {}
    removing: list[str] = []
    removed: list[str] = []


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A Parquet file of contributions: what each of some drops knows of each session of one platform and bucket.

    Attributes:
        path, platform, rows, bucket, checksum: As of any part file; the path is below the sessions' directory.
        drops: The drops whose rows count.
        removed: Drops whose rows are still in the file and do not count any more.

    """

    path: str
    platform: str
    rows: int
    bucket: int = 0
    checksum: str = ""
    drops: list[str] = []
    removed: list[str] = []


class SessionsManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Which files are the sessions, and which drops (with their fingerprints) they are made of.

    Attributes:
        layout: How the files are to be read; another layout is built anew.
        generation: Goes up by one with every change.
        buckets: Into how many buckets, by a hash of the user, each platform is divided.
        segments, shared, counts, changed: The files; :mod:`uda_assets.pipeline.sessions` says what is in them.
        platforms: Sessions by platform; ``sessions`` is their sum.
        records: Records behind the sessions, as the drops' manifests have it.
        fresh: Paths of the segments that came with this generation.
        superseded: Files that count no longer and are kept for readers that still follow an older manifest.

    """

    version: int = FORMAT
    layout: str = ""
    generation: int = 0
    buckets: int = 1
    drops: dict[str, str] = {}
    segments: list[Segment] = []
    shared: list[PartFile] = []
    counts: list[PartFile] = []
    changed: list[PartFile] = []
    platforms: dict[str, int] = {}
    records: int = 0
    sessions: int = 0
    fresh: list[str] = []
    superseded: list[str] = []

    def files(self) -> list[Segment | PartFile]:
        """All files that count."""
        return [*self.segments, *self.shared, *self.counts, *self.changed]

    def paths(self) -> list[str]:
        """Their paths."""
        return [file.path for file in self.files()]


class PublishedBoard(msgspec.Struct, frozen=True, kw_only=True):
    """A leaderboard that was published, and with which parameters; ``name`` is a hash of them and of its content."""

    name: str
    n: int
    since: datetime | None
    until: datetime | None
    published_at: datetime


class PublicationManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the result files and the warehouse were last published from.

    Attributes:
        board: The leaderboard that is published; its file is below ``results/history``.
        previous: The last one before it that was another one, if any; ranks are compared with it.
        files: BLAKE3 of what is published, by path below the data root.
        incoming: The same of files that are being put in place; each is there already, or what ``files`` says.
        superseded: Quarantines, by path below ``quarantine``, that what was published before referred to; they are kept
            for its readers until the next time.

    """

    version: int = FORMAT
    generation: int
    n: int
    since: datetime | None
    until: datetime | None
    published_at: datetime
    board: PublishedBoard | None = None
    previous: PublishedBoard | None = None
    files: dict[str, str] = {}
    incoming: dict[str, str] = {}
    superseded: list[str] = []


class Version(msgspec.Struct, frozen=True, gc=False):
    """What a file held when it was hashed.

    ``racy``: it had changed so shortly before that it may have changed again without its stat telling.
    """

    signature: Signature
    content: str
    racy: bool = False


class LakeFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The newest format that anything here may have: the one file that every reader and writer looks at first."""

    version: int = FORMAT


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """The files that nothing is left to convert of, by their signatures, under rules known by their hash.

    Attributes:
        serial: Goes up with every run that changes the others.
        published: Whether all that was converted has been published since.

    """

    version: int = FORMAT
    serial: int
    rules: str
    drops: dict[str, Signature]
    published: bool = True


class _Versioned(msgspec.Struct):
    version: int | None = None


def read_manifest(files: Storage, path: Location, kind: type[T]) -> T | None:
    """A manifest; None where there is none.

    Raises:
        DamagedFile: It is not as it was written.
        OtherFormat: It is of another format.
    """
    content = _content(files, path)
    if content is None:
        return None
    if _ends_with_seal(content) and not _is_sealed(content):
        raise _damaged(path, "its checksum does not fit")
    version = _decoded(content, path, _Versioned).version
    if version not in {None, FORMAT}:
        raise OtherFormat(path, version, FORMAT)
    if not _ends_with_seal(content):
        raise _damaged(path, "it has no checksum")
    return _decoded(content, path, kind)


def undamaged(files: Storage, path: Location, kind: type[T]) -> T | None:
    """A manifest as of :func:`read_manifest`; None also where it is damaged and to be made anew."""
    try:
        return read_manifest(files, path, kind)
    except DamagedFile:
        return None


def read_note(files: Storage, path: Location, kind: type[T]) -> T | None:
    """A JSON file that is no manifest; None where there is none, or it is damaged."""
    content = _content(files, path)
    try:
        return None if content is None else _decoded(content, path, kind)
    except DamagedFile:
        return None


def _decoded(content: bytes, path: Location, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Location, how: str) -> DamagedFile:
    return DamagedFile(f"{path} is damaged ({how}); remove it, and the next run makes it anew")


def _content(files: Storage, path: Location) -> bytes | None:
    try:
        return files.read(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def as_json(value: object) -> bytes:
    """A note as it is stored: for people too."""
    return msgspec.json.format(msgspec.json.encode(value))


def sealed(value: msgspec.Struct) -> bytes:
    """A manifest as it is stored: JSON, and a checksum of it as its last member."""
    content = as_json(value)
    return content.removesuffix(b"\n}") + _SEAL.format(blake3(content).hexdigest()).encode()


def _ends_with_seal(content: bytes) -> bool:
    return _SEAL_PATTERN.search(content) is not None


def _is_sealed(content: bytes) -> bool:
    content = content.rstrip()
    body, seal = content[:-_SEAL_BYTES], content[-_SEAL_BYTES:]
    return seal == _SEAL.format(blake3(body + b"\n}").hexdigest()).encode()
