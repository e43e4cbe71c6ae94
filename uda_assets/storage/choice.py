"""Choose the storage for a location. The libraries for buckets are imported only when a location is in one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from uda_assets.basics.errors import UdaError, UsageError
from uda_assets.basics.settings import Settings
from uda_assets.storage.base import Location, Storage
from uda_assets.storage.directory import Directory

if TYPE_CHECKING:
    from uda_assets.storage.objects import ObjectFile

# The client repeats a failing request, with growing pauses, before it raises an error.
_CLIENT_CONFIG = {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 4, "mode": "standard"}}
_CLIENT_PACKAGES = frozenset({"botocore", "aiobotocore", "aiohttp", "s3fs"})


def root_of(settings: Settings) -> Location:
    """Return the location of the data root that the settings name.

    Raises:
        UsageError: It is not a path, ``file:///path`` or ``s3://bucket/path``.
    """
    text = settings.data_root
    protocol, is_url, rest = text.partition("://")
    if not is_url:
        return Path(text).expanduser()
    if protocol == "file":
        return Path(rest)
    if protocol != "s3" or not rest.strip("/"):
        raise UsageError(f"{text!r} cannot be a data root: write a path, file:///path or s3://bucket/path")
    from upath import UPath  # noqa: PLC0415

    options = {"endpoint_url": settings.s3_endpoint} if settings.s3_endpoint else {}
    root = UPath(text.rstrip("/"), use_listings_cache=False, config_kwargs=_CLIENT_CONFIG, **options)
    # s3fs repeats requests on which the client has given up; 2 attempts suffice for responses that break off.
    root.fs.retries = 2
    return cast("Location", root)


def is_remote(location: Location) -> bool:
    """Return whether a location is in a bucket."""
    return not isinstance(location, Path)


def filesystem_of(location: Location) -> Any:
    """Return the fsspec file system of a location in a bucket."""
    return cast("Any", location).fs


def object_file(location: Location) -> ObjectFile:
    """Open an object in a bucket for reading."""
    from uda_assets.storage.objects import ObjectFile  # noqa: PLC0415

    return ObjectFile(filesystem_of(location), str(location).removeprefix("s3://"))


def size_of(location: Location) -> int:
    """Return the size of a file in bytes."""
    if not is_remote(location):
        return location.stat().st_size
    from uda_assets.storage.objects import remembered  # noqa: PLC0415

    content = remembered.get(str(location).removeprefix("s3://"))
    return location.stat().st_size if content is None else len(content)


def filesystem_for_duckdb(location: Location) -> Any:
    """Return a file system by which DuckDB reads the objects of a bucket."""
    from uda_assets.storage.objects import ObjectsForDuckDB  # noqa: PLC0415

    return ObjectsForDuckDB(filesystem_of(location))


def storage_of(location: Location) -> Storage:
    """Return a new storage object for a location; each reader and writer needs its own."""
    if not is_remote(location):
        return Directory()
    from uda_assets.storage.bucket import Bucket  # noqa: PLC0415

    return Bucket(filesystem_of(location))


def storage_fault(error: BaseException) -> UdaError | None:
    """Return the error to show for an error of an S3 client, or None for any other error."""
    # s3fs translates some errors of the client to an OSError, whose cause is then the original one.
    packages = {type(each).__module__.partition(".")[0] for each in (error, error.__cause__)}
    if not packages & _CLIENT_PACKAGES:
        return None
    message = " ".join(str(error).split())
    return UdaError(f"the object storage: {message}; check the data root, UDA_S3_ENDPOINT and the credentials")
