"""The manifests beside the files, for other tools: JSON that ends with a checksum of everything before it, its seal.

A bit that flips on a disk is thus found when the manifest is read, and not in what is made of it.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec
from blake3 import blake3

from uda_assets.basics.errors import DamagedFile, OtherFormat
from uda_assets.lake.state import FORMAT
from uda_assets.storage import Location, Storage

_SEAL = ',\n  "checksum": "{}"\n}}'
_SEAL_BYTES = len(_SEAL.format("0" * 64))
_SEAL_PATTERN = re.compile(rb',\s*"checksum": "[^"]*"\s*}\s*$')

T = TypeVar("T")


class _Versioned(msgspec.Struct):
    version: int | None = None


def read_manifest(files: Storage, path: Location, kind: type[T]) -> T | None:
    """Read a manifest. Return None if there is none.

    Raises:
        DamagedFile: The manifest has changed since it was written.
        OtherFormat: Another version of this program wrote it.
    """
    content = _content(files, path)
    if content is None:
        return None
    has_seal = _SEAL_PATTERN.search(content) is not None
    if has_seal and not _is_sealed(content):
        raise _damaged(path, "its checksum does not fit")
    version = _decoded(content, path, _Versioned).version
    if version is not None and version != FORMAT:
        raise OtherFormat(path, version, FORMAT)
    if not has_seal:
        raise _damaged(path, "it has no checksum")
    return _decoded(content, path, kind)


def _decoded(content: bytes, path: Location, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Location, fault: str) -> DamagedFile:
    return DamagedFile(f"{path} is damaged ({fault})")


def _content(files: Storage, path: Location) -> bytes | None:
    try:
        return files.read(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def sealed(manifest: msgspec.Struct) -> bytes:
    """Encode a manifest as JSON that people can read, with a checksum of it as the last member."""
    content = msgspec.json.format(msgspec.json.encode(manifest))
    return content.removesuffix(b"\n}") + _SEAL.format(blake3(content).hexdigest()).encode()


def _is_sealed(content: bytes) -> bool:
    content = content.rstrip()
    body, seal = content[:-_SEAL_BYTES], content[-_SEAL_BYTES:]
    return seal == _SEAL.format(blake3(body + b"\n}").hexdigest()).encode()
