"""What an older version of this program wrote, brought up to the present format where that can be done in place."""

from __future__ import annotations

import msgspec

from uda_assets.faults import passed
from uda_assets.footers import read_drop
from uda_assets.lake import FORMAT, QUARANTINE, DropManifest, Lake


def add_checksums(lake: Lake) -> list[str]:
    """Give the drops that were converted before there were checksums theirs; the caller holds the lake's lock.

    Only a drop whose files hold as many rows as its manifest says is taken to be as it was written. The others are left
    to the checks, which name them.
    """
    older = [manifest for manifest in lake.manifests().values() if manifest.version < FORMAT]
    upgraded = []
    for manifest, found in lake.side_by_side(lambda manifest: read_drop(lake, manifest, compare=False), older):
        if found.sound and (found.kept, found.quarantined) == (manifest.kept, manifest.quarantined):
            lake.replace_manifest(_with_checksums(lake, manifest))
            passed("upgrade: manifest replaced")
            upgraded.append(manifest.drop)
    return upgraded


def _with_checksums(lake: Lake, manifest: DropManifest) -> DropManifest:
    place, files = lake.parquet_dir(manifest.drop), lake.files
    beside = {name: place / name for name in ("_metadata", "_common_metadata") if (place / name).exists()}
    beside[QUARANTINE] = lake.located(lake.quarantine_of(manifest))
    return msgspec.structs.replace(
        manifest,
        version=FORMAT,
        files=[msgspec.structs.replace(file, checksum=files.hash(place / file.path)) for file in manifest.files],
        checksums={name: files.hash(path) for name, path in sorted(beside.items())},
    )
