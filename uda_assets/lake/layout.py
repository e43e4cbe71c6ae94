"""Where things are below a data root."""

from __future__ import annotations

from uda_assets.lake.names import escaped
from uda_assets.storage import Location


class Places:
    """Paths below one data root."""

    def __init__(self, root: Location) -> None:
        self.root = root
        self.archive = root / "archive"
        self.datasets = root / "datasets"
        self.parquets = root / "dataset_parquets"
        self.quarantine = root / "quarantine"
        self.sessions = root / "sessions"
        self.results = root / "results"
        self.history = self.results / "history"
        self.warehouse = root / "uda.duckdb"
        self.internal = root / ".uda"

    def source(self, drop: str) -> Location:
        """The raw file of a drop."""
        return self.datasets / drop

    def name_of(self, drop: str) -> str:
        """What a drop's converted form is called."""
        return f"{escaped(drop)}.parquet"

    def parquet_dir(self, drop: str) -> Location:
        """Where a drop's converted records are."""
        return self.parquets / self.name_of(drop)

    def quarantine_file(self, drop: str) -> Location:
        """Where a drop's malformed records are, unless its manifest names another file."""
        return self.quarantine / self.name_of(drop)
