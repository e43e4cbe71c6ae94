"""What is published: the result files, the warehouse and the report, put in place together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from uda_assets.basics.moments import reached
from uda_assets.lake.access import Access
from uda_assets.lake.layout import MANIFEST
from uda_assets.lake.manifests import PublicationManifest
from uda_assets.lake.state_files import StateFile
from uda_assets.storage import Location, hash_file


class Publishing:
    """Files that are published together; see :meth:`Published.publishing`.

    Attributes:
        new: The local path of each new file, by its place.
        manifest: What is then published, if that changes. Its ``files`` are those beside the new ones.
    """

    def __init__(self, access: Access, stack: ExitStack) -> None:
        self._access, self._stack = access, stack
        self.new: dict[Location, Path] = {}
        self.manifest: PublicationManifest | None = None

    def replacing(self, path: Location) -> Path:
        """Return a local path to write to. It replaces the file when all files are complete."""
        self.new[path] = self._stack.enter_context(self._access.replacing(path))
        return self.new[path]


class Published(StateFile[PublicationManifest]):
    """The manifest of what is published, and its files."""

    def __init__(self, access: Access) -> None:
        super().__init__(access, access.layout.results / MANIFEST, PublicationManifest)
        self._layout = access.layout

    def files(self) -> dict[str, str]:
        """Return BLAKE3 of what was published, by path below the data root, whether the file is still there or not."""
        published = self.read()
        return published.files | self._arrived(published) if published else {}

    def files_there(self, leaving: Iterable[Location] = ()) -> dict[str, str]:
        """Return BLAKE3 of the published results that are still there, by path below the data root.

        Args:
            leaving: Files that are about to be removed, which are left out.
        """
        there = {f"{self._layout.results.name}/{name}" for name in self._access.files.files_below(self._layout.results)}
        there -= {self._layout.below(path) for path in leaving}
        return {path: checksum for path, checksum in self.files().items() if path in there}

    def _arrived(self, published: PublicationManifest) -> dict[str, str]:
        """Return the files that are in place among those that a writer announced before it may have died."""
        arrived = {}
        for path, checksum in published.incoming.items():
            with suppress(FileNotFoundError):
                if self._access.files.hash(self._layout.root / path) == checksum:
                    arrived[path] = checksum
        return arrived

    @contextmanager
    def publishing(self) -> Iterator[Publishing]:
        """Publish files together: when all are complete, announce them, put them in place, and note it.

        If the writer dies between two files, each is either as it was or as announced, and is known to be so.
        """
        files = self.files()
        with ExitStack() as stack:
            publishing = Publishing(self._access, stack)
            yield publishing
            checksums = {self._layout.below(path): hash_file(written) for path, written in publishing.new.items()}
            if published := self.read():
                self.write(msgspec.structs.replace(published, files=files, incoming=checksums))
            reached("publishing: announced")
        reached("publishing: files in place")
        if publishing.manifest:
            files = publishing.manifest.files
        if manifest := publishing.manifest or self.read():
            files = dict(sorted((files | checksums).items()))
            self.write(msgspec.structs.replace(manifest, files=files, incoming={}))
