"""What the lake knows about itself, as one value: the state.

It is replaced in one step (:mod:`uda_assets.lake.root`). Nothing else decides what counts: a file that the state does
not name is debris, and the manifests that lie beside the files are copies for other tools.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from uda_assets.basics.settings import Settings
from uda_assets.storage import Signature

FORMAT = 4
"""The format of the state. Raise it with any change that another version of this program would misread."""
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


class FileFault(NamedTuple):
    """A file that is not as it was written, and what is wrong with it."""

    file: str
    fault: str

    def __str__(self) -> str:
        """Return the fault as a line for people."""
        return f"{self.file}: {self.fault}"


class DropFiles(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the files of a drop hold, according to their own footers.

    Attributes:
        key: Hash of the files' signatures, or None if the files must be read again.
        kept, quarantined: Rows in the part files, and in the quarantine.
        misfits: Part files that cannot be read, or differ from the contract's schema.
        damaged: Files that are missing, or not as they were written.
    """

    key: int | None
    kept: int
    quarantined: int
    misfits: list[FileFault] = []
    damaged: list[FileFault] = []

    def faults(self) -> list[FileFault]:
        """Return everything that is wrong with the files."""
        return [*self.damaged, *self.misfits]


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


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """From what the result files and the warehouse were last published.

    Attributes:
        inputs: A hash of everything that they were made from.
        changes: The number of changes of the state that they contain.
        generation: The generation of the sessions.
        board: The published leaderboard. A copy of it is in ``results/history``.
        previous: The last leaderboard that differed from it, if any. Ranks are compared with this one.
        exclude_users: The patterns of users who are left out.
        excluded: Users whom they leave out, those with most sessions first; at most a thousand.
    """

    inputs: str
    changes: int
    generation: int
    n: int
    since: datetime | None
    until: datetime | None
    published_at: datetime
    board: PublishedBoard
    previous: PublishedBoard | None = None
    exclude_users: str = ""
    excluded: list[ExcludedUser] = []


class DayRule(msgspec.Struct, frozen=True, array_like=True):
    """How the leaderboard of a day is made: its N, and the patterns of users who are left out."""

    n: int
    exclude_users: str = ""

    @classmethod
    def of(cls, settings: Settings) -> DayRule:
        """Return the rule that settings state."""
        return cls(settings.n, settings.exclude_users)


class PublishedDay(msgspec.Struct, frozen=True, array_like=True):
    """The published leaderboard of a day.

    Attributes:
        rule: How it is made.
        chosen: Whether a person chose the rule. The rule of other days follows the settings.
    """

    rule: DayRule
    chosen: bool = False


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


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a lake knows about itself. A state is never changed, only replaced.

    Paths are relative to the data root, if nothing else is said.

    Attributes:
        serial: Goes up with every state.
        changes: Goes up with every change of what counts: of drops, of sessions, or of faults found in their files.
        raw: The raw files as they were when last hashed, by drop.
        drops: The committed drops by name, in ascending order.
        files: What the files of committed drops held when last read, by drop.
        rejections: The drops that were rejected whole.
        forgotten: The drops that were forgotten, each with the checksum of the content that is not converted again.
        sessions: The files of the sessions, or None if there are none yet.
        publication: What is published, or None if nothing is.
        results: BLAKE3 of the published files, by path.
        reported: A hash of what the report was made from.
        days: The published leaderboards of days.
        stale_days: Days whose sessions have changed since they were published.
        kept: The file of the users who lead on each day, or None if there is none yet.
        uncounted_days: Stale days of which all sessions must be counted to know who leads.
        touched: Files of the days and users whose sessions have changed since ``kept`` was made.
        seen: The signatures with which files of the sessions, and published files, were last found as they were
            written. A published file without one is still to be put in place.
        obsolete: Files that no longer count, and that nobody needs once the change is published.
        superseded: Files that no longer count, to which the published warehouse refers.
        outdated: Files to which only the warehouse before the published one referred. They go with the next one.
    """

    version: int = FORMAT
    serial: int = 0
    changes: int = 0
    raw: dict[str, Version] = {}
    drops: dict[str, DropManifest] = {}
    files: dict[str, DropFiles] = {}
    rejections: dict[str, Rejection] = {}
    forgotten: dict[str, str] = {}
    sessions: SessionsManifest | None = None
    publication: Publication | None = None
    results: dict[str, str] = {}
    reported: str = ""
    days: dict[date, PublishedDay] = {}
    stale_days: list[date] = []
    kept: PartFile | None = None
    uncounted_days: list[date] = []
    touched: list[PartFile] = []
    seen: dict[str, Signature] = {}
    obsolete: list[str] = []
    superseded: list[str] = []
    outdated: list[str] = []

    def noting(self, **parts: Any) -> State:
        """Return a state with other parts, in which the same drops and sessions count."""
        return msgspec.structs.replace(self, **parts)

    def changed(self, **parts: Any) -> State:
        """Return a state with other parts, in which something else counts. It is yet to be published."""
        return msgspec.structs.replace(self, changes=self.changes + 1, **parts)

    def day_files(self) -> list[PartFile]:
        """Return the files of the sessions from which the leaderboards of days follow."""
        return [*([self.kept] if self.kept else []), *self.touched]

    @property
    def is_merged(self) -> bool:
        """Whether the sessions are those of the committed drops."""
        merged = self.sessions.drops if self.sessions else {}
        return merged == {drop: manifest.fingerprint for drop, manifest in self.drops.items()}

    @property
    def is_published(self) -> bool:
        """Whether everything that counts is published, and each published file is in its place."""
        if self.publication is None:
            return not self.changes
        return self.publication.changes == self.changes and self.results.keys() <= self.seen.keys()
