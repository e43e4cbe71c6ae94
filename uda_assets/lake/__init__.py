"""The data root: its places, manifests, commits and lock."""

from uda_assets.lake.commits import Outputs, Stage
from uda_assets.lake.lake import Contents, Lake, open_lake
from uda_assets.lake.listing import EVERYTHING, Listing, Selection
from uda_assets.lake.manifests import (
    FORMAT,
    MANIFEST,
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
