"""The data root on disk: where things are, what counts, and how a change becomes visible.

The file system is the truth. Outputs are staged, then moved into place by a commit whose first step is an intent file:
a crash before it leaves debris, which the next writer removes; a crash after it is completed by the next writer.
The idea is that of a write-ahead log (ARIES, Mohan et al. 1992), with one entry.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import stat as modes
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
from blake3 import blake3

from uda_assets.errors import DropBusy, UdaError
from uda_assets.faults import Killed, passed
from uda_assets.limits import limit_pools
from uda_assets.settings import Settings

MANIFEST = "_manifest.json"
MANIFEST_VERSION = 1
SESSIONS_VERSION = 2
DROP_SUFFIXES = (".csv", ".csv.gz", ".csv.zst")
_UNFINISHED_SUFFIXES = (".part", ".tmp")
# What of a drop's name cannot be in the name of its converted form: a directory called like the converted form of
# another drop, the backslash that DuckDB takes for a separator, and what looks like one of these written otherwise.
_ESCAPED = re.compile(r"\\|\.(?=parquet/)|%(?=(?:25)*(?:5C|2Eparquet/))")
_LONGEST_NAME = 255 - len(".parquet")
RACY_NANOSECONDS = 2_000_000_000
"""A file changed less than this long before it was read may change again within the clock's resolution."""

_HASHED_AT_ONCE = 1 << 20
_SPILL = "spill-"
_A_DAY = 86_400

T = TypeVar("T")
Signature = tuple[int, int, int, int]
"""Size, times of change of content and of inode (ns), inode."""


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


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """Why a drop was rejected whole, and under which circumstances."""

    content: str
    fingerprint: str
    reason: str
    advice: str
    rejected_at: datetime
    max_reject_ratio: float
    records: int = 0
    quarantined: int = 0


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
        buckets: Into how many buckets, by a hash of the user, each platform is divided.
        generation: Goes up by one with every change.
        segments, shared, counts, changed: The files; :mod:`uda_assets.sessions` says what is in them.
        platforms: Sessions by platform; ``sessions`` is their sum.
        records: Records behind the sessions, as the drops' manifests have it.
        fresh: Paths of the segments that came with this generation.
        superseded: Files that count no longer and are kept for readers that still follow an older manifest.

    """

    version: int = SESSIONS_VERSION
    layout: str = ""
    buckets: int = 1
    generation: int = 0
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


class PublicationManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the result files and the warehouse were last published from."""

    version: int = MANIFEST_VERSION
    generation: int
    n: int
    since: datetime | None
    until: datetime | None
    published_at: datetime


class Version(msgspec.Struct, frozen=True, gc=False):
    """What a file held when it was hashed.

    ``racy``: it had changed so shortly before that it may have changed again without its stat telling.
    """

    signature: Signature
    content: str
    racy: bool = False


class Contents(NamedTuple):
    """What is in files: BLAKE3 by drop, and why it could not be told for the others."""

    hashes: dict[str, str]
    unreadable: dict[str, str]


class Selection(NamedTuple):
    """Which files below ``datasets`` are seen as drops.

    Attributes:
        include, exclude: Patterns of names, as of :mod:`fnmatch`; ``*`` also matches ``/``.
        modified_after: The earliest last change, if any.

    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    modified_after: datetime | None = None

    def takes(self, drop: str, stat: os.stat_result) -> bool:
        """Whether a file is seen."""
        if self.modified_after and stat.st_mtime < self.modified_after.timestamp():
            return False
        named = any(fnmatchcase(drop, pattern) for pattern in self.include)
        return named and not any(fnmatchcase(drop, pattern) for pattern in self.exclude)


EVERYTHING = Selection()


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


class Listing(NamedTuple):
    """What is below ``datasets``.

    Attributes:
        drops: The drops by name in ascending order, with their stat.
        inaccessible: Files that cannot be drops under their names, and directories that cannot be listed: by name, as
            far as that can be shown, a short code, and what is wrong and what to do.

    """

    drops: dict[str, os.stat_result]
    inaccessible: dict[str, tuple[str, str]]


def signature(stat: os.stat_result) -> Signature:
    """What a file's stat says of its content: a file with the same signature is taken to be unchanged."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


# Manifests that were read, by path, with the file's signature: reading thousands of them anew each time is slow.
_MANIFESTS: dict[str, tuple[Signature, DropManifest]] = {}
# Likewise what was last hashed, by the file that it is noted in.
_VERSIONS: dict[str, tuple[Signature, dict[str, Version]]] = {}
# Data roots whose noted manifests were taken over.
_RECALLED: set[str] = set()


class Lake:
    """Paths, listings, commits and the writer's lock of one data root."""

    def __init__(self, root: Path, selection: Selection = EVERYTHING) -> None:
        self.root = root.absolute()
        self._selection = selection
        self._versions: dict[str, Version] = {}
        # Who holds the lock is the only one to change manifests, and need not look for them again.
        self._locked = False
        self._held: dict[str, DropManifest] | None = None
        self.archive = self.root / "archive"
        self.datasets = self.root / "datasets"
        self.parquets = self.root / "dataset_parquets"
        self.quarantine = self.root / "quarantine"
        self.sessions = self.root / "sessions"
        self.results = self.root / "results"
        self.warehouse = self.root / "uda.duckdb"
        self._internal = self.root / ".uda"
        self._staging = self._internal / "staging"

    # -- drops ---------------------------------------------------------------------------------------------------

    def drops(self) -> dict[str, os.stat_result]:
        """The drops that are there, by name in ascending order, with their stat; costs no reading."""
        return self.listing().drops

    def inaccessible(self) -> dict[str, tuple[str, str]]:
        """Files that cannot be drops under their names, and directories that cannot be listed; see :class:`Listing`."""
        return self.listing().inaccessible

    def listing(self) -> Listing:
        """What is below ``datasets``, as of now."""
        listing = Listing({}, {})
        for name, stat in self._listing():
            if isinstance(stat, str):
                told = "unreadable", f"it cannot be listed ({stat}); make it readable"
                listing.inaccessible[printable_name(name)] = told
            elif fault := _name_fault(name):
                listing.inaccessible[printable_name(name)] = ("bad_name", fault)
            else:
                listing.drops[name] = stat
        return listing

    def _listing(self) -> list[_Listed]:
        found: Iterable[_Listed] = _walk(self.datasets, "") if self.datasets.is_dir() else ()
        if self._selection != EVERYTHING:
            found = ((name, stat) for name, stat in found if isinstance(stat, str) or self._selection.takes(name, stat))
        return sorted(found, key=lambda listed: listed[0])

    def source(self, drop: str) -> Path:
        """The raw file of a drop."""
        return self.datasets / drop

    def parquet_dir(self, drop: str) -> Path:
        """Where a drop's converted records are."""
        return self.parquets / f"{_escaped(drop)}.parquet"

    def quarantine_file(self, drop: str) -> Path:
        """Where a drop's malformed records are."""
        return self.quarantine / f"{_escaped(drop)}.parquet"

    def files_of(self, manifest: DropManifest) -> list[str]:
        """The part files of a committed drop and its quarantine; making a Path for each of thousands takes too long."""
        name = f"{_escaped(manifest.drop)}.parquet"
        parts = [f"{self.parquets}/{name}/{file.path}" for file in manifest.files]
        return [*parts, f"{self.quarantine}/{name}"]

    def contents(self, drops: dict[str, os.stat_result]) -> Contents:
        """BLAKE3 of each drop; a file whose stat is as it was when last hashed is not read again.

        A drop that vanished since it was listed is in neither part of the answer.
        """
        known = self._known_versions()
        versions: dict[str, Version] = {}
        unreadable: dict[str, str] = {}
        for drop, stat in drops.items():
            try:
                versions[drop] = self._version(drop, stat, known.get(drop))
            except FileNotFoundError:
                continue
            except OSError as error:
                unreadable[drop] = error.strerror or str(error)
        trusted = {drop: version for drop, version in versions.items() if not version.racy}
        if trusted != known:
            # Only to save work the next time; a reader of a data root may be allowed to read alone.
            with suppress(UdaError, OSError):
                write_json(self._internal / "catalogue.json", trusted)
        self._versions = trusted
        return Contents({drop: version.content for drop, version in versions.items()}, unreadable)

    def version(self, drop: str) -> Version:
        """What is in a drop now.

        Raises:
            DropBusy: It is gone, or cannot be read.

        """
        try:
            return self._version(drop, self.source(drop).stat(), self._versions.get(drop))
        except OSError as error:
            raise DropBusy(f"drop {drop!r} cannot be read: {error.strerror}; deliver it again") from None

    def is_still(self, drop: str, version: Version) -> bool:
        """Whether nothing has changed a drop since; where its stat alone cannot tell, it is hashed again."""
        now = self.version(drop)
        if now.signature != version.signature:
            return False
        return not version.racy or hash_file(self.source(drop)) == version.content

    def _known_versions(self) -> dict[str, Version]:
        path = self._internal / "catalogue.json"
        try:
            mark = signature(path.stat())
        except OSError:
            return {}
        if str(path) not in _VERSIONS or _VERSIONS[str(path)][0] != mark:
            _VERSIONS[str(path)] = mark, _undamaged(path, dict[str, Version]) or {}
        return _VERSIONS[str(path)][1]

    def _version(self, drop: str, stat: os.stat_result, known: Version | None) -> Version:
        """The caution about files changed only just before they were hashed is git's ("racy git")."""
        mark = signature(stat)
        if known and known.signature == mark:
            return known
        racy = time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) <= RACY_NANOSECONDS
        return Version(mark, hash_file(self.source(drop)), racy)

    def examined(self) -> Examined | None:
        """What was last found to need nothing; None where that is not known."""
        return _undamaged(self._internal / "examined.json", Examined)

    def write_examined(self, examined: Examined) -> None:
        """Note what needs nothing."""
        write_json(self._internal / "examined.json", examined)

    def noted(self, name: str, kind: type[T]) -> T | None:
        """What was noted under a name; None where nothing was, or where it is of no use."""
        try:
            return msgspec.msgpack.decode((self._internal / f"{name}.msgpack").read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):
            return None

    def note(self, name: str, value: object) -> None:
        """Note what saves work later and can be lost without harm; the lock is not needed.

        A writer that begins meanwhile takes the temporary file for one that a crash left behind.
        """
        with suppress(OSError), replacing(self._internal / f"{name}.msgpack") as temporary:
            temporary.write_bytes(msgspec.msgpack.encode(value))

    def archive_drop(self, drop: str, expected: Signature, content: str) -> bool:
        """Move a raw file below ``archive``, unless it is another one by now; an older archived version stays too.

        Where a directory of this name was archived, or a file that is called like a directory of this drop, it stays.
        """
        source, target = self.source(drop), self.archive / drop
        if target.is_dir() or any(parent.is_file() for parent in target.parents):
            return False
        if target.exists() and (older := hash_file(target)) != content:
            target.replace(target.with_name(f"{target.name}.{older[:12]}"))
        make_dir(target.parent)
        try:
            if signature(source.stat()) != expected:
                return False
            source.replace(target)
        except FileNotFoundError:
            return False
        if _but_for_renaming(signature(target.stat())) != _but_for_renaming(expected) and not source.exists():
            target.replace(source)
            return False
        return True

    # -- manifests -----------------------------------------------------------------------------------------------

    def manifests(self) -> dict[str, DropManifest]:
        """The committed drops, by name.

        A drop whose manifest is damaged is as good as not committed, and converted again.

        Raises:
            UdaError: Its raw file is not there any more.

        """
        if self._held is not None:
            return self._held
        self._recall_manifests()
        found, damaged = _walk_manifests(self.parquets) if self.parquets.is_dir() else ([], [])
        if damaged:
            sources = {str(self.parquet_dir(drop)) for drop in self.drops()}
            for directory in damaged:
                if directory not in sources:
                    raise UdaError(
                        f"{directory}/{MANIFEST} is damaged and there is no raw file to convert again; deliver the "
                        f"drop again below {self.datasets}, or remove {directory} to go on without it"
                    )
        manifests = {manifest.drop: manifest for manifest in sorted(found, key=lambda manifest: manifest.drop)}
        if self._locked:
            self._held = manifests
        return manifests

    def note_manifests(self) -> None:
        """Note all manifests in one file, so that the next process need not open each; their stat is looked at then."""
        base = len(str(self.parquets)) + 1
        paths = (f"{self.parquet_dir(drop)}/{MANIFEST}" for drop in self.manifests())
        self.note("manifests", {path[base:]: _MANIFESTS[path] for path in paths if path in _MANIFESTS})

    def _recall_manifests(self) -> None:
        base = str(self.parquets)
        if base not in _RECALLED:
            _RECALLED.add(base)
            noted = self.noted("manifests", dict[str, tuple[Signature, DropManifest]]) or {}
            _MANIFESTS.update({f"{base}/{path}": pair for path, pair in noted.items()})

    def manifest(self, drop: str) -> DropManifest | None:
        """The manifest of one drop, if it is committed."""
        try:
            manifest = read_json(self.parquet_dir(drop) / MANIFEST, DropManifest)
        except UdaError:
            return self.manifests().get(drop)
        # Names such as ./a.csv lead to another drop's files.
        return manifest if manifest and manifest.drop == drop else None

    def is_whole(self, manifest: DropManifest) -> bool:
        """Whether all files of a committed drop are there."""
        try:
            return all(modes.S_ISREG(os.stat(path).st_mode) for path in self.files_of(manifest))  # noqa: PTH116
        except OSError:
            return False

    def sessions_manifest(self) -> SessionsManifest | None:
        """Which sessions files count; None where they are to be built anew.

        So it is at first, after an older version of this program, and where the manifest is damaged.

        Raises:
            UdaError: A newer version of this program built them.

        """
        path = self.sessions / MANIFEST
        if not _is_of_version(path, SESSIONS_VERSION):
            return None
        return _undamaged(path, SessionsManifest)

    def published_generation(self) -> int | None:
        """The generation of the sessions that the published warehouse refers to, if any was published."""
        published = self.publication()
        return published.generation if published else None

    def publication(self) -> PublicationManifest | None:
        """What was last published, if anything was."""
        return _undamaged(self.results / MANIFEST, PublicationManifest)

    def write_publication(self, publication: PublicationManifest) -> None:
        """Say what is published."""
        write_json(self.results / MANIFEST, publication)

    def ledger(self) -> Ledger:
        """Rejections and forgotten drops.

        Raises:
            UdaError: The file is damaged, which only a person can mend: nothing else tells what was forgotten.

        """
        path = self._internal / "ledger.json"
        try:
            return read_json(path, Ledger) or Ledger()
        except UdaError:
            raise UdaError(
                f"{path} is damaged; remove it, then `uda forget` again the drops that were forgotten and whose raw "
                "files are still there"
            ) from None

    def write_ledger(self, ledger: Ledger) -> None:
        """Replace the ledger."""
        write_json(self._internal / "ledger.json", ledger)

    # -- commit --------------------------------------------------------------------------------------------------

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """A new staging directory, removed at the end with whatever was not committed."""
        path = self._staging / uuid.uuid4().hex
        make_dir(path)
        try:
            yield path
        except Killed:
            raise
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        shutil.rmtree(path, ignore_errors=True)

    def commit_drop(self, staged: Path, drop: str) -> None:
        """Make ``staged / "data"`` and ``staged / "quarantine.parquet"`` the drop's converted form, both or neither."""
        passed("drop: staged")
        write_json(staged / "intent.json", {"drop": drop})
        passed("drop: intent written")
        self._complete(staged)

    def _complete(self, staged: Path) -> None:
        """Carry out a commit whose intent is written; every step may already have been done."""
        intent = read_json(staged / "intent.json", dict[str, str])
        self._held = None
        if intent:
            target, data = self.parquet_dir(intent["drop"]), staged / "data"
            if data.exists():
                if target.exists():
                    target.replace(staged / "superseded")
                    passed("drop: old version moved away")
                make_dir(target.parent)
                data.replace(target)
                passed("drop: new version in place")
            malformed, place = staged / "quarantine.parquet", self.quarantine_file(intent["drop"])
            if malformed.exists():
                make_dir(place.parent)
                malformed.replace(place)
        shutil.rmtree(staged, ignore_errors=True)

    def forget_drop(self, drop: str, content: str) -> None:
        """Remove a drop's converted form for good: while its source has this content, it is not converted again."""
        ledger = self.ledger()
        ledger.forgotten[drop] = content
        ledger.rejections.pop(drop, None)
        ledger.removing.append(drop)
        self.write_ledger(ledger)
        passed("forget: noted")
        self._complete_removals()

    def _complete_removals(self) -> None:
        ledger = self.ledger()
        if not ledger.removing:
            return
        self._held = None
        for drop in ledger.removing:
            with self.stage() as bin_:
                if self.parquet_dir(drop).exists():
                    self.parquet_dir(drop).replace(bin_ / "data")
            passed("forget: records removed")
        ledger.removed = sorted({*ledger.removed, *ledger.removing})
        ledger.removing.clear()
        self.write_ledger(ledger)

    def finish_removals(self) -> None:
        """Remove the quarantine of what was forgotten, now that nothing published refers to it any more."""
        ledger = self.ledger()
        if not ledger.removed:
            return
        for drop in ledger.removed:
            if self.manifest(drop) is None:
                self.quarantine_file(drop).unlink(missing_ok=True)
        passed("forget: quarantine removed")
        ledger.removed.clear()
        self.write_ledger(ledger)

    def _recover(self) -> None:
        """Complete or remove what a writer that died left behind."""
        for staged in sorted(self._staging.iterdir()) if self._staging.is_dir() else []:
            self._complete(staged)
        for directory in (self.root, self._internal, self.sessions, self.results, self.results / "daily"):
            for path in directory.glob(".*.tmp*"):
                path.unlink(missing_ok=True)
        self._remove_old_spills()
        self._complete_removals()

    # -- lock ----------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, timeout: float) -> Iterator[None]:
        """Be the only writer of the data root; first complete or remove what an earlier one left behind.

        The lock is the system's and ends with its holder, however that dies.

        Raises:
            UdaError: Another writer held the lock for ``timeout`` seconds, or the data root cannot be written.

        """
        make_dir(self._internal)
        path = self._internal / "lock"
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise UdaError(f"the data root {self.root} cannot be written: {error.strerror}") from None
        with file:
            _acquire(file.fileno(), path, timeout)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
            file.flush()
            self._recover()
            self._locked = True
            try:
                yield
            finally:
                self._locked, self._held = False, None

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory for a reader to spill to, removed at the end; the system's own where none can be made here."""
        usable = os.access(self._internal, os.W_OK)
        with tempfile.TemporaryDirectory(prefix=_SPILL, dir=self._internal if usable else None) as path:
            yield Path(path)

    def _remove_old_spills(self) -> None:
        """Of readers that died; a younger one may be in use."""
        for path in self._internal.glob(f"{_SPILL}*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _A_DAY:
                    shutil.rmtree(path, ignore_errors=True)


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


_Listed = tuple[str, os.stat_result | str]
"""A file that is named like a drop and its stat, or a directory that cannot be listed and why."""


def _walk(directory: Path, prefix: str) -> Iterator[_Listed]:
    try:
        entries = os.scandir(directory)
    except FileNotFoundError:
        return  # it went since its parent was listed
    except OSError as error:
        yield prefix, error.strerror or str(error)
        return
    with entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith(_UNFINISHED_SUFFIXES):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.name.lower().endswith(DROP_SUFFIXES) and (stat := _stat_of_file(entry)):
                yield f"{prefix}{entry.name}", stat


def _stat_of_file(entry: os.DirEntry[str]) -> os.stat_result | None:
    """None for what is no file, a link to none or to itself, and what vanished since it was listed."""
    try:
        return entry.stat() if entry.is_file() else None
    except OSError:
        return None


def _name_fault(drop: str) -> str | None:
    """What keeps a file from being a drop under its name."""
    try:
        length = len(drop.rpartition("/")[2].encode())
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    if length > _LONGEST_NAME:
        return f"its name has {length} bytes, at most {_LONGEST_NAME} can be; rename it"
    return None


def printable_name(drop: str) -> str:
    r"""A file name as text: bytes that are not UTF-8 as ``\xff``."""
    return os.fsencode(drop).decode(errors="backslashreplace")


def _escaped(drop: str) -> str:
    """A drop's name as its converted form has it: percent-encoded where it could be taken for something else."""
    if "%" not in drop and "\\" not in drop and ".parquet/" not in drop:
        return drop
    return _ESCAPED.sub(lambda match: f"%{ord(match.group()):02X}", drop)


def _walk_manifests(directory: Path | str) -> tuple[list[DropManifest], list[str]]:
    """The manifests below a directory, and the directories whose manifest is damaged."""
    found: list[DropManifest] = []
    damaged: list[str] = []
    with os.scandir(directory) as entries:
        inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for path in inner:
        try:
            manifest = _manifest_in(path)
        except UdaError:
            damaged.append(path)
            continue
        if manifest:
            found.append(manifest)
        else:
            further = _walk_manifests(path)
            found += further[0]
            damaged += further[1]
    return found, damaged


def _manifest_in(directory: str) -> DropManifest | None:
    path = f"{directory}/{MANIFEST}"
    try:
        mark = signature(os.stat(path))  # noqa: PTH116 - a Path for each of thousands takes longer than the call.
    except FileNotFoundError:
        return None
    known = _MANIFESTS.get(path)
    if known and known[0] == mark:
        return known[1]
    manifest = read_json(Path(path), DropManifest)
    if manifest:
        _MANIFESTS[path] = (mark, manifest)
    return manifest


def hash_file(path: Path) -> str:
    """BLAKE3 of a file's bytes: as hard to forge as SHA-256, and several times faster."""
    digest = blake3()
    with path.open("rb") as file:
        while chunk := file.read(_HASHED_AT_ONCE):
            digest.update(chunk)
    return digest.hexdigest()


def platform_dir(platform: str) -> str:
    """The Hive-style directory of a platform; characters that mean something in paths are percent-encoded."""
    return f"platform={quote(platform, safe=' ')}"


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
        passed("file: written")
        temporary.replace(path)
    except Killed:
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file in one step, on disk before it is visible."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value)))
        file.flush()
        os.fsync(file.fileno())


def _but_for_renaming(mark: Signature) -> tuple[int, int, int]:
    size, content_changed, _, inode = mark
    return size, content_changed, inode


class _Versioned(msgspec.Struct):
    version: int = MANIFEST_VERSION


def _is_of_version(path: Path, version: int) -> bool:
    """Whether a manifest can be read: there and of this version; an older one is to be made anew.

    Raises:
        UdaError: It is of a newer version.

    """
    found = _undamaged(path, _Versioned)
    if found and found.version > version:
        raise UdaError(
            f"{path} was written by a newer version of uda_assets (format {found.version}, this one reads up to "
            f"{version}); use that version, or another data root"
        )
    return found is not None and found.version == version


def _undamaged(path: Path, kind: type[T]) -> T | None:
    """A JSON file as ``kind``; None where it is not there, or damaged and to be made anew."""
    try:
        return read_json(path, kind)
    except UdaError:
        return None


def read_json(path: Path, kind: type[T]) -> T | None:
    """A JSON file as ``kind``, or None where there is none.

    Raises:
        UdaError: The file is not what it should be.

    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UdaError(f"{path} is damaged ({error}); remove it, and the next run makes it anew") from None


def open_lake(settings: Settings) -> Lake:
    """The lake at the data root, with the drops that the settings select."""
    limit_pools(settings)
    selection = Selection(_patterns(settings.include), _patterns(settings.exclude), settings.modified_after)
    return Lake(settings.root, selection)


def _patterns(text: str) -> tuple[str, ...]:
    return tuple(pattern for part in text.split(",") if (pattern := part.strip()))
