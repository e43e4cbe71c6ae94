"""Whether files are as they were written, told by their checksums.

Reading the files of ten thousand drops takes seconds. So a run reads a file again only if its size, times or identity
have changed since it was last read. What changes without that, as on a disk that decays, only `uda verify` finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

from uda_assets.contract.schemas import PARQUET_SCHEMA
from uda_assets.lake.lake import Lake
from uda_assets.lake.manifests import QUARANTINE, DropManifest, PartFile, Segment, SessionsManifest
from uda_assets.storage import RACY_NANOSECONDS, Location, Signature

ALTERED = "not as it was written"
_MISSING = "missing"
_READ_AT_ONCE = 4 << 20
"""A file up to this size is read once, for its checksum and its footer."""
_DROPS_NOTE, _SESSIONS_NOTE = "footers", "sessions"
_DISTRUSTED = Signature(0, 0, 0, 0)


class FileFault(NamedTuple):
    """A file that is not as it was written, and what is wrong with it."""

    file: str
    fault: str

    def __str__(self) -> str:
        """Return the fault as a line for people."""
        return f"{self.file}: {self.fault}"


# -- any file --------------------------------------------------------------------------------------------------------


def fault_of(lake: Lake, path: str, checksum: str) -> str:
    """Read a file in full and return what is wrong with it, or nothing.

    Args:
        lake: The data root.
        path: The file's path below the data root.
        checksum: BLAKE3 of the file as it was written, or nothing to see only whether it can be read.
    """
    try:
        found = lake.files.hash(lake.root / path)
    except FileNotFoundError:
        return _MISSING
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return ALTERED if checksum and found != checksum else ""


def altered_files(lake: Lake, checksums: Mapping[str, str]) -> list[FileFault]:
    """Read files in full, by their paths below the data root, and return those that differ from their checksums."""
    found = lake.access.side_by_side(lambda item: fault_of(lake, *item), list(checksums.items()))
    return [FileFault(path, fault) for (path, _), fault in found if fault]


# -- the files of drops ----------------------------------------------------------------------------------------------


class DropFiles(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the files of a drop hold, according to their own footers.

    Attributes:
        key: Hash of the files' signatures, or None if a file is missing.
        kept, quarantined: Rows in the part files, and in the quarantine.
        misfits: Part files that cannot be read, or differ from the contract's schema.
        damaged: Files that are missing, or not as they were written.
        committed_at: When the drop was committed, in microseconds since 1970.
    """

    key: int | None
    kept: int
    quarantined: int
    misfits: list[FileFault] = []
    damaged: list[FileFault] = []
    committed_at: int = 0

    def faults(self) -> list[FileFault]:
        """Return everything that is wrong with the files."""
        return [*self.damaged, *self.misfits]


def inspect_drops(lake: Lake, manifests: Mapping[str, DropManifest]) -> dict[str, DropFiles]:
    """Return what the files of committed drops hold, by drop. Only files that changed are read."""
    known = lake.notes.read(_DROPS_NOTE, dict[str, DropFiles]) or {}
    found, trusted = {}, {}
    trusted_until = time.time_ns() - RACY_NANOSECONDS
    lookup = lake.converted.signature_lookup()

    def inspect(manifest: DropManifest) -> tuple[DropFiles, int]:
        key, changed = _key_of(lake, manifest, lookup)
        before = known.get(manifest.drop)
        if before is not None and before.committed_at != _microseconds(manifest):
            before = None
        if before is not None and key is not None and before.key == key:
            return before, changed
        # A bucket compares each upload with a checksum, so that an object seen for the first time is as it was put.
        return read_drop(lake, manifest, key, compare=before is not None or not lake.files.remote), changed

    for manifest, files in lake.access.side_by_side(inspect, list(manifests.values())):
        drop, (held, changed) = manifest.drop, files
        found[drop] = held
        # A fault is looked at again each time, and so is a file that may still change without a new signature.
        if not held.faults() and changed < trusted_until:
            trusted[drop] = held
        elif held.faults() and lake.files.remote:
            # In a bucket, what is not noted is trusted.
            trusted[drop] = msgspec.structs.replace(held, key=None)
    others = {drop: held for drop, held in known.items() if drop not in manifests}
    if others:
        committed = lake.converted.manifests()
        others = {drop: held for drop, held in others.items() if drop in committed}
    if trusted | others != known:
        lake.notes.write(_DROPS_NOTE, trusted | others)
    return found


def damaged_drops(lake: Lake, manifests: Mapping[str, DropManifest]) -> dict[str, FileFault]:
    """Return the first fault of each committed drop whose files are missing or not as they were written."""
    found = inspect_drops(lake, manifests)
    return {drop: faults[0] for drop, files in found.items() if (faults := files.faults())}


def distrust_drops(lake: Lake, manifests: Iterable[DropManifest]) -> None:
    """Have the next run read all files of these drops again, whatever their signatures."""
    known = lake.notes.read(_DROPS_NOTE, dict[str, DropFiles]) or {}
    for manifest in manifests:
        known[manifest.drop] = DropFiles(None, 0, 0, committed_at=_microseconds(manifest))
    lake.notes.write(_DROPS_NOTE, known)


def _microseconds(manifest: DropManifest) -> int:
    return int(manifest.converted_at.timestamp() * 1_000_000)


def _key_of(lake: Lake, manifest: DropManifest, lookup: Callable[[str], Signature | None]) -> tuple[int | None, int]:
    """Return a hash of the signatures of a drop's files, and when the last of them changed (ns)."""
    signatures = tuple([lookup(path) for path in lake.converted.files_of(manifest)])
    if None in signatures:
        return None, 0
    # Python hashes integers alike in every process. With another version of Python the files are read again.
    return hash(signatures), max(signature.changed for signature in signatures if signature)


def read_drop(lake: Lake, manifest: DropManifest, key: int | None = None, *, compare: bool = True) -> DropFiles:
    """Read all files of a drop.

    Args:
        lake: The data root.
        manifest: The drop.
        key: Hash of the files' signatures.
        compare: Whether to read the files in full and compare their checksums.
    """
    name, checksums = lake.name_of(manifest.drop), manifest.checksums if compare else {}
    kept, misfits, damaged = 0, [], []
    for file in manifest.files:
        shown = f"{manifest.drop}/{file.path}"
        footer, fault = _read(lake, lake.parquets / name / file.path, file.checksum if compare else "")
        damaged += [FileFault(shown, fault)] if fault else []
        if footer is None:
            misfits.append(FileFault(shown, "missing or damaged"))
            continue
        kept += footer.num_rows
        schema = footer.schema.to_arrow_schema()
        if not schema.equals(PARQUET_SCHEMA):
            misfits.append(FileFault(shown, f"its columns are {schema.names}"))
    quarantine = lake.located(lake.converted.quarantine_of(manifest))
    footer, fault = _read(lake, quarantine, checksums.get(QUARANTINE, ""))
    damaged += [FileFault(f"{manifest.drop}, its quarantine", fault)] if fault else []
    for summary in checksums.keys() - {QUARANTINE}:
        fault = fault_of(lake, f"{lake.parquets.name}/{name}/{summary}", checksums[summary])
        damaged += [FileFault(f"{manifest.drop}/{summary}", fault)] if fault else []
    quarantined = footer.num_rows if footer else 0
    return DropFiles(key, kept, quarantined, misfits, sorted(damaged), _microseconds(manifest))


def _read(lake: Lake, path: Location, checksum: str) -> tuple[pq.FileMetaData | None, str]:
    """Return a Parquet file's footer, or None if it has none, and what is wrong with the file, or nothing.

    Without a checksum only the footer is read.
    """
    try:
        if not checksum:
            with path.open("rb") as file:
                return pq.read_metadata(file), ""
        if path.stat().st_size > _READ_AT_ONCE:
            is_altered = lake.files.hash(path) != checksum
            with path.open("rb") as file:
                return pq.read_metadata(file), ALTERED if is_altered else ""
        content = lake.files.read(path)
        is_altered = blake3(content).hexdigest() != checksum
        return _footer_in(content), ALTERED if is_altered else ""
    except FileNotFoundError:
        return None, _MISSING
    except OSError as error:
        return None, f"cannot be read ({error.strerror or error})"
    except pa.ArrowException:
        return None, ALTERED


def _footer_in(content: bytes) -> pq.FileMetaData | None:
    try:
        return pq.read_metadata(pa.BufferReader(content))
    except (pa.ArrowException, OSError):
        return None


# -- the files of the sessions ---------------------------------------------------------------------------------------


def damaged_sessions(lake: Lake, manifest: SessionsManifest) -> list[FileFault]:
    """Return the files of a sessions manifest that are missing or not as they were written, by their paths there.

    A file with the signature that it had when last read is not read again.
    """
    known = lake.notes.read(_SESSIONS_NOTE, dict[str, Signature]) or {}
    trusted_until = time.time_ns() - RACY_NANOSECONDS
    lookup = lake.files.signature_lookup(lake.sessions)
    damaged, trusted = [], {}

    def inspect(file: Segment | PartFile) -> tuple[Signature | None, str]:
        signature = lookup(f"{lake.sessions}/{file.path}")
        if signature is None:
            return None, _MISSING
        # A bucket compares each upload with a checksum, so that an object seen for the first time is as it was put.
        if known.get(file.path) == signature or (lake.files.remote and file.path not in known):
            return signature, ""
        return signature, fault_of(lake, f"sessions/{file.path}", file.checksum)

    for file, (signature, fault) in lake.access.side_by_side(inspect, manifest.files()):
        if fault:
            damaged.append(FileFault(file.path, fault))
            trusted[file.path] = _DISTRUSTED
        elif signature and signature.changed < trusted_until:
            trusted[file.path] = signature
    if trusted != known:
        lake.notes.write(_SESSIONS_NOTE, trusted)
    return damaged


def distrust_sessions(lake: Lake, paths: Iterable[str]) -> None:
    """Have the next run read these files of the sessions again, whatever their signatures."""
    known = lake.notes.read(_SESSIONS_NOTE, dict[str, Signature]) or {}
    lake.notes.write(_SESSIONS_NOTE, known | dict.fromkeys(paths, _DISTRUSTED))
