"""Publishing: the files with fixed names are copies of what the state says is published.

New files are completed under temporary names. Then the state is committed, which says what is published from now on.
Then they are put in place. If the writer dies in between, the state knows which ones are missing there, and the next
run publishes them again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from uda_assets.basics.moments import reached
from uda_assets.lake.garbage import current_files
from uda_assets.lake.integrity import signatures_of
from uda_assets.lake.lake import Lake
from uda_assets.lake.state import State
from uda_assets.storage import Location, hash_file


class Publishing:
    """Files that are published together; see :func:`publishing`.

    Attributes:
        new: The local path of each new file, by its place.
        state: The state in which they are published. Their checksums are added to it.
        record: Called when the new files are in place, before the state says so. If it fails, they count as missing.
        then: Parts of the state that change when the new files are in place.
        removing: Files that are removed when the new ones are in place, by their paths below the data root.
    """

    def __init__(self, lake: Lake, stack: ExitStack) -> None:
        self._lake, self._stack = lake, stack
        self.new: dict[Location, Path] = {}
        self.state = lake.state()
        self.record: Callable[[], None] = lambda: None
        self.then: dict[str, Any] = {}
        self.removing: list[str] = []

    def replacing(self, path: Location) -> Path:
        """Return a local path to write to. It replaces the file when all files are complete."""
        self.new[path] = self._stack.enter_context(self._replacing(path))
        return self.new[path]

    @contextmanager
    def _replacing(self, path: Location) -> Iterator[Path]:
        with self._lake.files.replacing(path) as new:
            yield new
            self._lake.access.require_lock()


@contextmanager
def publishing(lake: Lake) -> Iterator[Publishing]:
    """Publish files together: when all are complete, commit the state, put them in place, and note how they look there.

    Raises:
        UdaError: The lock was lost to another writer.
    """
    with ExitStack() as stack:
        publication = Publishing(lake, stack)
        yield publication
        new = {lake.below(path): hash_file(written) for path, written in publication.new.items()}
        state = publication.state
        results = dict(sorted((state.results | new).items()))
        seen = {path: signature for path, signature in state.seen.items() if path not in new}
        reached("publish: files written")
        obsolete = [*state.obsolete, *publication.removing]
        lake.commit(state.noting(results=results, seen=seen, obsolete=obsolete))
        reached("publish: committed")
    reached("publish: files in place")
    publication.record()
    state = remove_obsolete(lake, publication.removing)
    lake.commit(state.noting(seen=state.seen | signatures_of(lake, new, lake.results), **publication.then))


def remove_obsolete(lake: Lake, paths: Collection[str]) -> State:
    """Remove files that no longer count, unless one of their names counts again. Return a state without them."""
    state = lake.state()
    if not paths:
        return state
    counting = set(current_files(state, lake))
    lake.access.remove(path for path in paths if path not in counting)
    reached("publish: old files removed")
    return state.noting(obsolete=[path for path in state.obsolete if path not in paths])
