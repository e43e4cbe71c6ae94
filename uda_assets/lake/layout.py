"""Where things are below a data root."""

from __future__ import annotations

from pathlib import Path

from uda_assets.basics.errors import UdaError
from uda_assets.lake.names import escaped
from uda_assets.lake.state import DropManifest
from uda_assets.storage import Location

MANIFEST = "_manifest.json"
"""The name of the manifest beside the files of a converted drop, and beside those of the sessions."""
SUMMARIES = ("_common_metadata", "_metadata")
"""The names of the files that sum up the part files of a converted drop, for other tools."""

_MISREAD_BY_DUCKDB = "\\?"
"""DuckDB takes the first for a separator, and the second for the beginning of options."""


class Layout:
    """The paths below one data root."""

    def __init__(self, root: Location) -> None:
        self.root = root
        self.archive = root / "archive"
        self.datasets = root / "datasets"
        self.parquets = root / "dataset_parquets"
        self.quarantine = root / "quarantine"
        self.sessions = root / "sessions"
        self.results = root / "results"
        self.history = self.results / "history"
        self.daily = self.results / "daily"
        self.result_csv = self.results / "Result_top_n_by_platform.csv"
        self.result_parquet = self.results / "Result_top_n_by_platform.parquet"
        self.report = self.results / "report.html"
        self.warehouse = root / "uda.duckdb"
        self.internal = root / ".uda"

    def source(self, drop: str) -> Location:
        """Return the raw file of a drop."""
        return self.datasets / drop

    def name_of(self, drop: str) -> str:
        """Return the name that a drop's converted form has on disk."""
        return f"{escaped(drop)}.parquet"

    def parquet_dir(self, drop: str) -> Location:
        """Return the directory of a drop's converted records."""
        return self.parquets / self.name_of(drop)

    def quarantine_file(self, drop: str) -> Location:
        """Return the file of the malformed records of a drop's first version."""
        return self.quarantine / self.name_of(drop)

    def paths_of(self, manifest: DropManifest) -> list[str]:
        """Return the paths of a committed drop's files, relative to the data root."""
        base = f"{self.parquets.name}/{self.name_of(manifest.drop)}"
        beside = [f"{base}/{name}" for name in (*SUMMARIES, MANIFEST)]
        return [*self.part_paths(manifest), *beside, self.quarantine_path(manifest)]

    def part_paths(self, manifest: DropManifest) -> list[str]:
        """Return the paths of a committed drop's part files, relative to the data root."""
        base = f"{self.parquets.name}/{self.name_of(manifest.drop)}"
        return [f"{base}/{file.path}" for file in manifest.files]

    def quarantine_path(self, manifest: DropManifest) -> str:
        """Return the path of a committed drop's quarantine, relative to the data root."""
        return f"{self.quarantine.name}/{manifest.quarantine}"

    def session_path(self, path: str) -> str:
        """Return the path of a file of the sessions, relative to the data root."""
        return f"{self.sessions.name}/{path}"

    def below(self, path: Location) -> str:
        """Return a path relative to the data root."""
        return str(path).removeprefix(f"{self.root}/")


def absolute_root(root: Location) -> Location:
    """Return a data root as an absolute path: DuckDB resolves ``..`` in some paths and not in others.

    Raises:
        UdaError: DuckDB would look for its files elsewhere.
    """
    if not isinstance(root, Path):
        return root
    path = root.resolve() if ".." in root.parts else root.absolute()
    for character in _MISREAD_BY_DUCKDB:
        if character in str(path):
            raise UdaError(
                f"the data root {path} has the character {character} in its path, which DuckDB misreads; "
                "rename the directory, or name another data root"
            )
    return path
