"""The state on disk, and its replacement in one step.

Each state is a file of its own below ``.uda/states/``, which is never changed. The root, a small object, names the
current one. A commit writes a new file, then replaces the root: by a rename in a directory, by a conditional put in a
bucket. So a reader sees the state before or after a change, and a writer that lost its lock replaces nothing.

The last few states are kept. If the current one is damaged, the one before it counts, and the next run does again what
was lost. If all are gone, they are made anew from the manifests beside the converted drops.
"""

from __future__ import annotations

import gc
import re
from threading import Lock

import msgspec
import zstandard
from blake3 import blake3

from uda_assets.basics.errors import DamagedFile, OtherFormat, UdaError
from uda_assets.basics.moments import reached
from uda_assets.lake.layout import MANIFEST, Layout
from uda_assets.lake.sealed import read_manifest
from uda_assets.lake.state import FORMAT, DropManifest, State
from uda_assets.storage import Hold, Storage

_KEPT = 3
"""The number of states that are kept."""
_REMEMBERED = 4
"""The number of states that a process remembers, so that it need not read the same file again."""
_SEAL = 32
"""Bytes of the checksum (BLAKE3) with which a file begins."""
_FILE_NAME = re.compile(r"\d{10}-[^/]+\.state")


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the root: the format of the data root, and the files of the last states, the current one first."""

    version: int = FORMAT
    states: list[str]


class StateFiles:
    """The states of one data root.

    Attributes:
        path: The place of the root.
        is_restored: Whether the current state was damaged or gone when it was last read, so that another one counts.
    """

    def __init__(self, layout: Layout, files: Storage) -> None:
        self._layout, self._files = layout, files
        self._directory = layout.internal / "states"
        self.path = layout.internal / "root.json"
        self.is_restored = False

    def read(self) -> State:
        """Return the current state, which is empty for a new data root.

        Raises:
            OtherFormat: Another version of this program wrote it.
            UdaError: All states are gone, and a manifest from which to make one is damaged.
        """
        while True:
            content = self._files.read_root(self.path)
            state = self.state_in(content)
            # If its file is gone, there may be newer ones by now.
            if not self.is_restored or content == self._files.read_root(self.path):
                return state

    def state_in(self, content: bytes | None) -> State:
        """Return the state that a content of the root names, or the latest sound one.

        Raises:
            OtherFormat: Another version of this program wrote it.
            UdaError: All states are gone, and a manifest from which to make one is damaged.
        """
        names = self._names_in(content)
        if names and (state := self._state(names[0])):
            self.is_restored = False
            return state
        there = self._names_there()
        for name in [*names, *there]:
            if state := self._state(name):
                self.is_restored = True
                # The next one must sort behind those that are damaged.
                return state.noting(serial=max(map(_serial_of, [*names, *there])))
        return self._from_manifests()

    def write(self, state: State, hold: Hold) -> None:
        """Make a state the current one, and remove all but the last few.

        Raises:
            UdaError: Another writer holds the data root by now.
        """
        name = f"{state.serial:010d}-{hold.stamp}.state"
        content = zstandard.compress(msgspec.msgpack.encode(state), 1)
        hold.require()
        self._files.write(self._directory / name, blake3(content).digest() + content)
        reached("state: written")
        earlier = self._names_in(hold.content)
        if self.is_restored:
            earlier = [one for one in earlier if self._state(one)]
        names = [name, *earlier]
        hold.replace(msgspec.json.encode(Root(states=names[:_KEPT])))
        reached("state: committed")
        _remember(str(self._directory / name), state)
        self._files.remove(self._directory / older for older in names[_KEPT:])

    def remove_others(self, content: bytes | None) -> None:
        """Remove the states that a content of the root does not name: those of writers that died before the commit."""
        names = self._names_in(content)
        others = [name for name in self._names_there() if name not in names] if names else []
        self._files.remove(self._directory / name for name in others)

    def _names_in(self, content: bytes | None) -> list[str]:
        """Return the files of the last few states, or nothing if there is no root or it is damaged."""
        if content is None:
            return []
        try:
            version = msgspec.json.decode(content, type=_Versioned).version
            if version != FORMAT:
                raise OtherFormat(self.path, version, FORMAT)
            return list(filter(_FILE_NAME.fullmatch, msgspec.json.decode(content, type=Root).states))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return []

    def _names_there(self) -> list[str]:
        """Return the files of all states that are there, the latest first."""
        return sorted(filter(_FILE_NAME.fullmatch, self._files.files_below(self._directory)), reverse=True)

    def _state(self, name: str) -> State | None:
        """Return the state in a file, which never changes, or None if it is damaged or gone."""
        path = str(self._directory / name)
        state = _memory.get(path)
        if state is None:
            try:
                state = _decoded(self._files.read(self._directory / name), path)
            except (FileNotFoundError, DamagedFile):
                return None
            _remember(path, state)
        return state

    def _from_manifests(self) -> State:
        """Return a state of the converted drops, by the manifests that lie beside them."""
        self.is_restored = bool(names := self._manifest_names())
        drops = {}
        for name in names:
            path = self._layout.parquets / name
            try:
                manifest = read_manifest(self._files, path, DropManifest)
            except DamagedFile:
                raise UdaError(
                    f"the state of the data root is gone, and {path} is damaged; remove its directory, and the next "
                    "run converts that drop again if its raw file is there"
                ) from None
            if manifest:
                drops[manifest.drop] = manifest
        return State(drops=dict(sorted(drops.items())), changes=len(drops))

    def _manifest_names(self) -> list[str]:
        return [name for name in self._files.files_below(self._layout.parquets) if name.endswith(f"/{MANIFEST}")]


class _Versioned(msgspec.Struct):
    version: int


def _serial_of(name: str) -> int:
    return int(name.partition("-")[0])


_memory: dict[str, State] = {}
_remembering = Lock()


def _remember(path: str, state: State) -> None:
    with _remembering:
        _memory[path] = state
        while len(_memory) > _REMEMBERED:
            del _memory[next(iter(_memory))]


def _decoded(content: bytes, path: str) -> State:
    seal, packed = content[:_SEAL], content[_SEAL:]
    if blake3(packed).digest() != seal:
        raise DamagedFile("its checksum does not fit")
    # Thousands of new objects would set off the collection of garbage time and again, and none of them is any.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        plain = zstandard.decompress(packed)
        version = msgspec.msgpack.decode(plain, type=_Versioned).version
        if version != FORMAT:
            raise OtherFormat(path, version, FORMAT)
        return msgspec.msgpack.decode(plain, type=State)
    except msgspec.DecodeError as error:
        raise DamagedFile(str(error)) from None
    finally:
        if was_enabled:
            gc.enable()
