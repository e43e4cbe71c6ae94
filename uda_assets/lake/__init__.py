"""The data root: its layout, its manifests, how a change is committed, and whether files are as they were written."""

from uda_assets.lake.commits import Outputs, Stage
from uda_assets.lake.lake import Lake, open_lake
from uda_assets.lake.layout import MANIFEST
from uda_assets.lake.listing import EVERYTHING, Listing, Selection
from uda_assets.lake.manifests import (
    FORMAT,
    QUARANTINE,
    DropManifest,
    Examined,
    Ledger,
    PartFile,
    PublicationManifest,
    PublishedBoard,
    Rejection,
    Segment,
    SessionsManifest,
    Version,
)
from uda_assets.lake.names import platform_dir, printable_name
from uda_assets.lake.raw_files import Contents

__all__ = [
    "EVERYTHING",
    "FORMAT",
    "MANIFEST",
    "QUARANTINE",
    "Contents",
    "DropManifest",
    "Examined",
    "Lake",
    "Ledger",
    "Listing",
    "Outputs",
    "PartFile",
    "PublicationManifest",
    "PublishedBoard",
    "Rejection",
    "Segment",
    "Selection",
    "SessionsManifest",
    "Stage",
    "Version",
    "open_lake",
    "platform_dir",
    "printable_name",
]
