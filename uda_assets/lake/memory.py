"""What a process remembers of the data roots that it opened, so that it need not read everything again."""

from __future__ import annotations

from functools import lru_cache

from uda_assets.lake.manifests import DropManifest, Version
from uda_assets.storage import Signature

_ROOTS = 4
"""The number of data roots that a process remembers: those that it opened last."""


class Memory:
    """What was read of one data root. Each part is replaced by what the root last held, so that it stays bounded.

    Attributes:
        manifests: The manifests of drops by path, each with the signature of its file.
        versions: The note of what was last hashed, with the signature of its file.
        recalled: Whether the note of the manifests was read.
    """

    def __init__(self) -> None:
        self.manifests: dict[str, tuple[Signature, DropManifest]] = {}
        self.versions: tuple[Signature, dict[str, Version]] | None = None
        self.recalled = False


@lru_cache(maxsize=_ROOTS)
def memory_of(root: str) -> Memory:
    """Return what this process remembers of a data root."""
    del root
    return Memory()
