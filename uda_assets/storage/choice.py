"""Which storage a location is in; what belongs to buckets is imported only where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from uda_assets.basics.errors import UdaError, UsageError
from uda_assets.basics.settings import Settings
from uda_assets.storage.base import Location, Storage
from uda_assets.storage.directory import Directory

# A failing request is tried again by the client, with growing pauses, before it is an error.
_PATIENCE = {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 4, "mode": "standard"}}
_CLIENTS = frozenset({"botocore", "aiobotocore", "aiohttp", "s3fs"})


def locate(text: str, endpoint: str = "") -> Location:
    """A data root as it is written: a path, ``file://…`` or ``s3://bucket/…``.

    Args:
        text: As written.
        endpoint: Address of the S3 API, where it is not Amazon's; credentials come from the environment.

    Raises:
        UsageError: It is none of these.

    """
    protocol, is_url, rest = text.partition("://")
    if not is_url:
        return Path(text)
    if protocol == "file":
        return Path(rest)
    if protocol != "s3" or not rest.strip("/"):
        raise UsageError(f"{text!r} is no place for data: write a path, file:///path or s3://bucket/path")
    from upath import UPath  # noqa: PLC0415

    settings = {"endpoint_url": endpoint} if endpoint else {}
    root = UPath(text.rstrip("/"), use_listings_cache=False, config_kwargs=_PATIENCE, **settings)
    # It tries again what the client has given up on; twice is for answers that break off.
    root.fs.retries = 2
    return cast("Location", root)


def root_of(settings: Settings) -> Location:
    """The data root that the settings name, as a path or as a place in a bucket."""
    return locate(settings.data_root, settings.s3_endpoint)


def is_remote(location: Location) -> bool:
    """Whether it is in a bucket."""
    return not isinstance(location, Path)


def filesystem_of(location: Location) -> Any:
    """The fsspec file system that a location in a bucket is in."""
    return cast("Any", location).fs


def storage_of(location: Location) -> Storage:
    """A storage of its own for one who reads or writes there."""
    if not is_remote(location):
        return Directory()
    from uda_assets.storage.bucket import Bucket  # noqa: PLC0415

    return Bucket(filesystem_of(location))


def storage_fault(error: BaseException) -> UdaError | None:
    """What to say of an error of an S3 client; None for any other."""
    # Of some answers s3fs makes errors of the system's kind.
    if not any(type(one).__module__.partition(".")[0] in _CLIENTS for one in (error, error.__cause__)):
        return None
    said = " ".join(str(error).split())
    return UdaError(f"the object storage: {said}; see the data root, UDA_S3_ENDPOINT and the credentials")
