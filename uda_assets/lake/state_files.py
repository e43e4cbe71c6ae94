"""The manifests of which a data root has one each."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from uda_assets.basics.errors import DamagedFile, UdaError
from uda_assets.lake.access import Access
from uda_assets.lake.manifests import Ledger
from uda_assets.lake.sealed import read_manifest, read_undamaged
from uda_assets.storage import Location

Manifest = TypeVar("Manifest", bound=msgspec.Struct)


class StateFile(Generic[Manifest]):
    """One manifest at a fixed path."""

    def __init__(self, access: Access, path: Location, kind: type[Manifest]) -> None:
        self._access = access
        self._kind = kind
        self.path = path

    def read(self) -> Manifest | None:
        """Return the manifest, or None if there is none or it is damaged and must be made anew.

        Raises:
            OtherFormat: Another version of this program wrote it.
        """
        return read_undamaged(self._access.files, self.path, self._kind)

    def write(self, manifest: Manifest) -> None:
        """Replace the manifest in one step."""
        self._access.commit(self.path, manifest)

    def is_sound(self) -> bool | None:
        """Return whether the manifest is as it was written, or None if there is none."""
        try:
            return None if read_manifest(self._access.files, self.path, self._kind) is None else True
        except DamagedFile:
            return False


class LedgerFile(StateFile[Ledger]):
    """The ledger of rejected and forgotten drops."""

    def __init__(self, access: Access) -> None:
        super().__init__(access, access.layout.internal / "ledger.json", Ledger)

    def load(self) -> Ledger:
        """Return the ledger, which is empty at first.

        Raises:
            UdaError: The file is damaged. Only a person can mend it, because nothing else tells what was forgotten.
        """
        try:
            return read_manifest(self._access.files, self.path, Ledger) or Ledger()
        except DamagedFile:
            raise UdaError(
                f"{self.path} is damaged; remove it, then `uda forget` again the drops that were forgotten and whose "
                "raw files are still there"
            ) from None
