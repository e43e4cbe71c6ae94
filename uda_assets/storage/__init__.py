"""Access the files of a data root, which is a directory or a prefix in an S3 bucket, through one interface."""

from uda_assets.storage.base import RACY_NANOSECONDS, Guard, Location, Refusal, Signature, Storage
from uda_assets.storage.choice import filesystem_of, is_remote, root_of, storage_fault, storage_of
from uda_assets.storage.directory import (
    Directory,
    hash_file,
    in_use,
    is_in_use,
    make_dir,
    make_dir_alone,
    replacing,
    signature_of,
)
from uda_assets.storage.disk import disk_fault, naming_file

__all__ = [
    "RACY_NANOSECONDS",
    "Directory",
    "Guard",
    "Location",
    "Refusal",
    "Signature",
    "Storage",
    "disk_fault",
    "filesystem_of",
    "hash_file",
    "in_use",
    "is_in_use",
    "is_remote",
    "make_dir",
    "make_dir_alone",
    "naming_file",
    "replacing",
    "root_of",
    "signature_of",
    "storage_fault",
    "storage_of",
]
