"""Whether files are as they were written, told by the checksums in the state.

Reading the files of ten thousand drops takes seconds. So a run reads a file again only if its size, times or identity
have changed since it was last found sound. What changes without that, as on a disk that decays, only `uda verify`
finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

from uda_assets.contract.schemas import PARQUET_SCHEMA
from uda_assets.lake.lake import Lake
from uda_assets.lake.layout import MANIFEST, SUMMARIES
from uda_assets.lake.sealed import sealed
from uda_assets.lake.state import QUARANTINE, DropFiles, DropManifest, FileFault, State
from uda_assets.storage import Location, Signature

ALTERED = "not as it was written"
_MISSING = "missing"
_READ_AT_ONCE = 4 << 20
"""A file up to this size is read once, for its checksum and its footer."""

FRESH = -1
"""The key of files that were written since they were last looked at."""

Lookup = Callable[[str], Signature | None]
"""Returns the signature of the file at a full path, or None if there is none."""


# -- any file --------------------------------------------------------------------------------------------------------


def fault_of(lake: Lake, path: str, checksum: str) -> str:
    """Read a file in full and return what is wrong with it, or nothing.

    Args:
        lake: The data root.
        path: The file's path below the data root.
        checksum: BLAKE3 of the file as it was written.
    """
    try:
        found = lake.files.hash(lake.root / path)
    except FileNotFoundError:
        return _MISSING
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return "" if found == checksum else ALTERED


def altered_files(lake: Lake, checksums: Mapping[str, str]) -> list[FileFault]:
    """Read files in full, by their paths below the data root, and return those that differ from their checksums."""
    found = lake.access.side_by_side(lambda item: fault_of(lake, *item), list(checksums.items()))
    return [FileFault(path, fault) for (path, _), fault in found if fault]


def signatures_of(lake: Lake, paths: Iterable[str], *directories: Location) -> dict[str, Signature]:
    """Return the signatures of those files that are there, by their paths below the data root.

    In a bucket they are taken from listings of the directories.
    """
    lookup = lake.files.signature_lookup(*directories)
    found = {path: lookup(f"{lake.root}/{path}") for path in paths}
    return {path: signature for path, signature in found.items() if signature}


def damaged_among(
    lake: Lake, checksums: Mapping[str, str], seen: Mapping[str, Signature], *directories: Location
) -> tuple[list[FileFault], dict[str, Signature]]:
    """Look at files by their paths below the data root. Only those with another signature than before are read.

    Args:
        lake: The data root.
        checksums: BLAKE3 of the files as they were written.
        seen: Their signatures when they were last found sound.
        directories: The directories that hold them.

    Returns:
        The files that are not as they were written, and the signatures of the others.
    """
    found = signatures_of(lake, checksums, *directories)
    sound = {path for path in checksums if path in seen and found.get(path) == seen[path]}
    faults = altered_files(lake, {path: checksum for path, checksum in checksums.items() if path not in sound})
    for fault in faults:
        found.pop(fault.file, None)
    return faults, found


# -- the files of drops ----------------------------------------------------------------------------------------------


def inspect_drops(lake: Lake, state: State) -> dict[str, DropFiles]:
    """Return what the files of committed drops hold, by drop. Only files that changed are read."""
    lookup = lake.files.signature_lookup(lake.parquets, lake.quarantine)

    def inspect(manifest: DropManifest) -> DropFiles:
        key = key_of(lake, manifest, lookup)
        before = state.files.get(manifest.drop)
        if before is not None and key is not None and before.key == key:
            return before
        # A bucket compares each upload with a checksum, so that an object seen for the first time is as it was put.
        if before is not None and key is not None and before.key == FRESH and lake.files.remote:
            return msgspec.structs.replace(before, key=key)
        return read_drop(lake, manifest, key)

    found = lake.access.side_by_side(inspect, list(state.drops.values()))
    return {manifest.drop: held for manifest, held in found}


def damaged_drops(files: Mapping[str, DropFiles]) -> dict[str, FileFault]:
    """Return the first fault of each drop whose files are missing or not as they were written."""
    return {drop: faults[0] for drop, held in files.items() if (faults := held.faults())}


def key_of(lake: Lake, manifest: DropManifest, lookup: Lookup) -> int | None:
    """Return a hash of the signatures of a drop's files, or None if one is missing."""
    root = str(lake.root)
    signatures = tuple([lookup(f"{root}/{path}") for path in lake.paths_of(manifest)])
    # Python hashes integers alike in every process. With another version of Python the files are read again.
    return None if None in signatures else hash(signatures)


def read_drop(lake: Lake, manifest: DropManifest, key: int | None = None) -> DropFiles:
    """Read all files of a drop in full. With a fault, they are read again next time.

    Args:
        lake: The data root.
        manifest: The drop.
        key: Hash of the files' signatures.
    """
    name = lake.name_of(manifest.drop)
    kept, misfits, damaged = 0, [], []
    for file in manifest.files:
        shown = f"{manifest.drop}/{file.path}"
        footer, fault = _read(lake, lake.parquets / name / file.path, file.checksum)
        damaged += [FileFault(shown, fault)] if fault else []
        if footer is None:
            misfits.append(FileFault(shown, "missing or damaged"))
            continue
        kept += footer.num_rows
        misfits += [FileFault(shown, misfit)] if (misfit := misfit_of(footer)) else []
    footer, fault = _read(lake, lake.root / lake.quarantine_path(manifest), manifest.checksums[QUARANTINE])
    damaged += [FileFault(f"{manifest.drop}, its quarantine", fault)] if fault else []
    for summary in SUMMARIES:
        fault = fault_of(lake, f"{lake.parquets.name}/{name}/{summary}", manifest.checksums[summary])
        damaged += [FileFault(f"{manifest.drop}/{summary}", fault)] if fault else []
    if fault := _fault_of_copy(lake, manifest):
        damaged.append(FileFault(f"{manifest.drop}/{MANIFEST}", fault))
    quarantined = footer.num_rows if footer else 0
    return DropFiles(None if damaged or misfits else key, kept, quarantined, misfits, sorted(damaged))


def _fault_of_copy(lake: Lake, manifest: DropManifest) -> str:
    """Return what is wrong with the copy of a manifest that lies beside its drop's files, or nothing."""
    try:
        content = lake.files.read(lake.parquet_dir(manifest.drop) / MANIFEST)
    except FileNotFoundError:
        return _MISSING
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return "" if content == sealed(manifest) else ALTERED


def misfit_of(footer: pq.FileMetaData) -> str:
    """Return how a part file differs from the contract's schema, or nothing."""
    schema = footer.schema.to_arrow_schema()
    return "" if schema.equals(PARQUET_SCHEMA) else f"its columns are {schema.names}"


def _read(lake: Lake, path: Location, checksum: str) -> tuple[pq.FileMetaData | None, str]:
    """Return a Parquet file's footer, or None if it has none, and what is wrong with the file, or nothing."""
    try:
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


def damaged_sessions(lake: Lake, state: State) -> tuple[list[FileFault], dict[str, Signature]]:
    """Look at the files of the sessions, as :func:`damaged_among` does."""
    files = state.sessions.files() if state.sessions else []
    checksums = {lake.session_path(file.path): file.checksum for file in files}
    return damaged_among(lake, checksums, state.seen, lake.sessions)
