"""The data root: its layout, its state and how that is replaced, and whether files are as they were written."""

from uda_assets.lake.lake import Lake, open_lake
from uda_assets.lake.layout import MANIFEST, SUMMARIES
from uda_assets.lake.listing import EVERYTHING, NOTHING, Listing, Selection
from uda_assets.lake.names import platform_dir, printable_name
from uda_assets.lake.raw_files import Look
from uda_assets.lake.staging import Outputs, Stage, StagedDrop
from uda_assets.lake.state import (
    FORMAT,
    QUARANTINE,
    DayRule,
    DropFiles,
    DropManifest,
    ExcludedUser,
    FileFault,
    PartFile,
    Publication,
    PublishedBoard,
    PublishedDay,
    Rejection,
    Segment,
    SessionsManifest,
    State,
    Version,
)

__all__ = [
    "EVERYTHING",
    "FORMAT",
    "MANIFEST",
    "NOTHING",
    "QUARANTINE",
    "SUMMARIES",
    "DayRule",
    "DropFiles",
    "DropManifest",
    "ExcludedUser",
    "FileFault",
    "Lake",
    "Listing",
    "Look",
    "Outputs",
    "PartFile",
    "Publication",
    "PublishedBoard",
    "PublishedDay",
    "Rejection",
    "Segment",
    "Selection",
    "SessionsManifest",
    "Stage",
    "StagedDrop",
    "State",
    "Version",
    "open_lake",
    "platform_dir",
    "printable_name",
]
