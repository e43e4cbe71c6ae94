"""What the lake notes about itself: manifests, ledger, and what was last seen of the drops."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import msgspec

from uda_assets.errors import UdaError
from uda_assets.storage import Location, Signature, Storage

MANIFEST = "_manifest.json"
MANIFEST_VERSION = 1
SESSIONS_VERSION = 2

T = TypeVar("T")


class PartFile(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A Parquet file: its path below the drop's directory, or that of the sessions, its platform and number of rows.

    ``bucket`` is that of the users in it; converted drops are not divided by user.
    """

    path: str
    platform: str
    rows: int
    bucket: int = 0


class DropManifest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a committed drop consists of and how it came about.

    Attributes:
        records, kept, quarantined: Numbers of records; the first is the sum of the others.
        content: BLAKE3 of the file as delivered.
        fingerprint: Hash of content and rules.
        spellings: Records by normalised platform spelling, or None where there were too many to list.
        meanings: What those spellings resolved to (None: unknown).
        quarantine: Its quarantine's path below ``quarantine``, where that does not follow from its name.

    """

    version: int = MANIFEST_VERSION
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

    version: int = MANIFEST_VERSION
    rejections: dict[str, Rejection] = {}
    forgotten: dict[str, str] = {}
    removing: list[str] = []
    removed: list[str] = []


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A Parquet file of contributions: what each of some drops knows of each session of one platform and bucket.

    Attributes:
        path, platform, rows, bucket: As of any part file; the path is below the sessions' directory.
        drops: The drops whose rows count.
        removed: Drops whose rows are still in the file and do not count any more.

    """

    path: str
    platform: str
    rows: int
    bucket: int = 0
    drops: list[str] = []
    removed: list[str] = []


class SessionsManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Which files are the sessions, and which drops (with their fingerprints) they are made of.

    Attributes:
        layout: How the files are to be read; another layout is built anew.
        generation: Goes up by one with every change.
        buckets: Into how many buckets, by a hash of the user, each platform is divided.
        segments, shared, counts, changed: The files; :mod:`uda_assets.sessions` says what is in them.
        platforms: Sessions by platform; ``sessions`` is their sum.
        records: Records behind the sessions, as the drops' manifests have it.
        fresh: Paths of the segments that came with this generation.
        superseded: Files that count no longer and are kept for readers that still follow an older manifest.

    """

    version: int = SESSIONS_VERSION
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

    def paths(self) -> list[str]:
        """All files that count."""
        files: list[Segment | PartFile] = [*self.segments, *self.shared, *self.counts, *self.changed]
        return [file.path for file in files]


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

    """

    version: int = MANIFEST_VERSION
    generation: int
    n: int
    since: datetime | None
    until: datetime | None
    published_at: datetime
    board: PublishedBoard | None = None
    previous: PublishedBoard | None = None


class Version(msgspec.Struct, frozen=True, gc=False):
    """What a file held when it was hashed.

    ``racy``: it had changed so shortly before that it may have changed again without its stat telling.
    """

    signature: Signature
    content: str
    racy: bool = False


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """The files that nothing is left to convert of, by their signatures, under rules known by their hash.

    Attributes:
        serial: Goes up with every run that changes the others.
        published: Whether all that was converted has been published since.

    """

    serial: int
    rules: str
    drops: dict[str, Signature]
    published: bool = True


class _Versioned(msgspec.Struct):
    version: int = MANIFEST_VERSION


def read_versioned(files: Storage, path: Location, kind: type[T], version: int) -> T | None:
    """A manifest; None where it is not there, damaged, or of an older version, and to be made anew.

    Raises:
        UdaError: It is of a newer version.

    """
    content = _content(files, path)
    try:
        found = None if content is None else msgspec.json.decode(content, type=_Versioned).version
        if found is None or content is None or found < version:
            return None
        if found == version:
            return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    raise UdaError(
        f"{path} was written by a newer version of uda_assets (format {found}, this one reads up to {version}); use "
        "that version, or another data root"
    )


def undamaged(files: Storage, path: Location, kind: type[T]) -> T | None:
    """A JSON file as ``kind``; None where it is not there, or damaged and to be made anew."""
    try:
        return read_json(files, path, kind)
    except UdaError:
        return None


def read_json(files: Storage, path: Location, kind: type[T]) -> T | None:
    """A JSON file as ``kind``, or None where there is none.

    Raises:
        UdaError: The file is not what it should be.

    """
    content = _content(files, path)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UdaError(f"{path} is damaged ({error}); remove it, and the next run makes it anew") from None


def _content(files: Storage, path: Location) -> bytes | None:
    try:
        return files.read(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def as_json(value: object) -> bytes:
    """A manifest as it is stored: for people too."""
    return msgspec.json.format(msgspec.json.encode(value))
