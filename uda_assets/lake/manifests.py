"""What the lake knows about itself: the manifests, the ledger, and which drops the last run examined."""

from __future__ import annotations

from datetime import datetime

import msgspec

from uda_assets.storage import Signature

FORMAT = 3
"""The format of all manifests. Raise it with any change that another version of this program would misread."""
QUARANTINE = "quarantine"
"""The key of a drop's quarantine among the checksums in its manifest."""


class PartFile(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A Parquet file of a converted drop or of the sessions.

    Attributes:
        path: Path below the drop's directory, or below the directory of the sessions.
        platform: The platform of its records.
        rows: The number of rows.
        bucket: The bucket of its users. Converted drops are not divided by user and have bucket 0.
        checksum: BLAKE3 of the file.
    """

    path: str
    platform: str
    rows: int
    bucket: int = 0
    checksum: str = ""


class DropManifest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a committed drop consists of and how it came about.

    Attributes:
        records, kept, quarantined: Numbers of records. The first is the sum of the others.
        content: Checksum (BLAKE3) of the file as delivered.
        fingerprint: Hash of content and rules.
        spellings: Records by normalised platform spelling, or None if there were too many spellings to list.
        meanings: The platform that each of these spellings meant, or None for an unknown one.
        dialect: A hash of the dialect in which it was read, or nothing for the default one.
        is_marked: Whether a byte order mark decided its encoding, against the dialect.
        quarantine: Path of its quarantine below ``quarantine/``, if that does not follow from the drop's name.
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
    dialect: str = ""
    is_marked: bool = False
    quarantine: str = ""
    checksums: dict[str, str] = {}


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """Why a drop was rejected whole, and under which settings.

    Attributes:
        content, fingerprint: As in the manifest of a drop.
        reason, advice: A short code, and what is wrong and what to do.
        max_reject_ratio: The setting that was in force.
        records, quarantined: Numbers of records, if the drop was rejected for too many malformed ones.
        bound: The bound that the drop exceeded, if it was rejected for its size.
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
        rejections: The drops that were rejected whole.
        forgotten: The drops that were forgotten, each with the checksum of the content that is not converted again.
        removing: Drops whose removal has begun.
        removed: Drops that are removed except for their quarantine, to which the published warehouse still refers.
    """

    version: int = FORMAT
    rejections: dict[str, Rejection] = {}
    forgotten: dict[str, str] = {}
    removing: list[str] = []
    removed: list[str] = []


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A Parquet file of contributions: what some drops know of the sessions of one platform and bucket.

    Attributes:
        path, platform, rows, bucket, checksum: As in :class:`PartFile`. The path is below ``sessions/``.
        drops: The drops whose rows count.
        removed: Drops whose rows are still in the file but no longer count.
    """

    path: str
    platform: str
    rows: int
    bucket: int = 0
    checksum: str = ""
    drops: list[str] = []
    removed: list[str] = []


class SessionsManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Which files are the sessions, and from which drops they are made.

    Attributes:
        layout: The way in which the files are written. Sessions of another layout are built anew.
        generation: Goes up by one with every change.
        buckets: The number of buckets, by a hash of the user, into which each platform is divided.
        drops: The fingerprints of the drops that are merged.
        segments, shared, counts, changed: The files. :mod:`uda_assets.pipeline.units` describes what they hold.
        platforms: Sessions by platform.
        records: Records behind the sessions, according to the drops' manifests.
        sessions: The number of sessions.
        fresh: Paths of the segments that this generation added.
        superseded: Files that no longer count. They are kept for readers that still follow an older manifest.
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
        """Return all files that count."""
        return [*self.segments, *self.shared, *self.counts, *self.changed]

    def paths(self) -> list[str]:
        """Return the paths of all files that count."""
        return [file.path for file in self.files()]


class PublishedBoard(msgspec.Struct, frozen=True, kw_only=True):
    """A leaderboard that was published, with its parameters. Its name is a hash of these and of its content."""

    name: str
    n: int
    since: datetime | None
    until: datetime | None
    published_at: datetime


class ExcludedUser(msgspec.Struct, frozen=True, array_like=True):
    """A user who is left out of the leaderboard, by which pattern, with the sessions that count for nothing."""

    pattern: str
    platform: str
    user_id: str
    session_count: int


class PublicationManifest(msgspec.Struct, frozen=True, kw_only=True):
    """From what the result files and the warehouse were last published.

    Attributes:
        generation: The generation of the sessions.
        board: The published leaderboard. A copy of it is in ``results/history``.
        previous: The last leaderboard that differed from it, if any. Ranks are compared with this one.
        files: BLAKE3 of the published files, by path below the data root.
        incoming: BLAKE3 of files that are being put in place. Each of them is either there or as in ``files``.
        exclude_users: The patterns of users who are left out.
        excluded: Users whom they leave out, those with most sessions first; at most a thousand.
        superseded: Quarantines, by path below ``quarantine/``, to which the publication before this one referred.
            They are kept for its readers until the next publication.
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
    exclude_users: str = ""
    excluded: list[ExcludedUser] = []
    superseded: list[str] = []


class Version(msgspec.Struct, frozen=True, gc=False):
    """A raw file as it was when it was hashed.

    Attributes:
        signature: Its size, times and identity.
        content: Its checksum (BLAKE3).
        racy: It had changed so shortly before that it may have changed again without a new signature.
    """

    signature: Signature
    content: str
    racy: bool = False


class LakeFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The format of the data root. Every reader and writer looks at this file first."""

    version: int = FORMAT


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """The drops for which the last run left nothing to convert.

    Attributes:
        serial: Goes up with every run that changes the rest.
        rules: Hash of the rules that were in force.
        drops: The signatures of the drops.
        published: Whether everything that was converted has been published since.
    """

    version: int = FORMAT
    serial: int
    rules: str
    drops: dict[str, Signature]
    published: bool = True
