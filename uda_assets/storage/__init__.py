"""Access the files of a data root, which is a directory or a prefix in an S3 bucket, through one interface."""

from uda_assets.storage.base import (
    NO_DROP,
    RACY_NANOSECONDS,
    FileChanged,
    Guard,
    Location,
    Refusal,
    Signature,
    Storage,
)
from uda_assets.storage.choice import filesystem_of, is_remote, root_of, storage_fault, storage_of
from uda_assets.storage.directory import (
    Directory,
    can_rename,
    hash_file,
    in_use,
    is_in_use,
    make_dir,
    make_dir_alone,
    replacing,
    signature_of,
)
from uda_assets.storage.disk import disk_fault, naming_file, raise_if_exhausted

__all__ = [
    "NO_DROP",
    "RACY_NANOSECONDS",
    "Directory",
    "FileChanged",
    "Guard",
    "Location",
    "Refusal",
    "Signature",
    "Storage",
    "can_rename",
    "disk_fault",
    "filesystem_of",
    "hash_file",
    "in_use",
    "is_in_use",
    "is_remote",
    "make_dir",
    "make_dir_alone",
    "naming_file",
    "raise_if_exhausted",
    "replacing",
    "root_of",
    "signature_of",
    "storage_fault",
    "storage_of",
]
