"""Removing what a writer that died, or gave up, has left behind: our files that no state names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from uda_assets.lake.access import Access
from uda_assets.lake.layout import MANIFEST, SUMMARIES, Layout
from uda_assets.lake.state import State
from uda_assets.storage import Location

_OURS = (".parquet", MANIFEST, *SUMMARIES)


def current_files(state: State, layout: Layout) -> Iterator[str]:
    """Return the files that count in a state, by their paths relative to the data root."""
    for manifest in state.drops.values():
        yield from layout.paths_of(manifest)
    if state.sessions:
        yield from map(layout.session_path, state.sessions.paths())
        yield layout.session_path(MANIFEST)
    yield from (layout.session_path(file.path) for file in state.day_files())
    yield from state.results


def sweep(access: Access, state: State) -> None:
    """Remove our files that the state does not name. No other writer makes files meanwhile.

    Files of others stay: below ``results/`` only temporary files and kept leaderboards are ours without being named.
    """
    layout, files = access.layout, access.files
    sweep_directories(access, state, layout.parquets, layout.quarantine, layout.sessions, layout.history)
    staging = layout.internal / "staging"
    if files.remote:
        access.remove(layout.below(staging / name) for name in files.files_below(staging))
        return
    shutil.rmtree(staging, ignore_errors=True)
    places = (layout.root, layout.internal, layout.internal / "states", layout.results, layout.daily)
    access.remove(layout.below(path) for place in places for path in place.glob(".*.tmp*"))


def sweep_directories(access: Access, state: State, *directories: Location) -> None:
    """Remove our files below some directories that the state does not name."""
    layout = access.layout
    named = {*current_files(state, layout), *state.obsolete, *state.superseded, *state.outdated}
    for directory in directories:
        found = (layout.below(directory / name) for name in access.files.files_below(directory))
        access.remove([path for path in found if path.endswith((*_OURS, ".tmp")) and path not in named])
