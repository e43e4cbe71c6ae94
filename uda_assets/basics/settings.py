"""The settings: the name, default and environment variable of everything that can be configured."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import msgspec

from uda_assets.basics.errors import UsageError
from uda_assets.basics.sizes import memory_bytes


class ErrorMode(StrEnum):
    """Whether a malformed record is quarantined or stops the run."""

    LENIENT = "lenient"
    FAIL_FAST = "fail_fast"


class EngineName(StrEnum):
    """Whether this machine or a Dask cluster does the heavy work."""

    POLARS = "polars"
    DASK = "dask"


class CleanSource(StrEnum):
    """Whether a raw file stays in place or is archived once its records are published."""

    KEEP = "keep"
    ARCHIVE = "archive"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings with their defaults.

    The environment variable ``UDA_<NAME>`` overrides a default; a flag or run config overrides both.

    Attributes:
        data_root: Directory that holds the drops, the results and everything in between, or ``s3://bucket/path``.
        s3_endpoint: Address of the S3 API of an ``s3://`` data root, unless it is Amazon's. Credentials come from their
            usual places, such as ``AWS_ACCESS_KEY_ID``.
        n: Number of users on each platform's leaderboard, at least 1.
        error_mode: What happens at a malformed record: ``lenient`` quarantines it, ``fail_fast`` stops the run.
        max_reject_ratio: A drop is rejected as a whole if its share of malformed records (0 to 1) exceeds this.
        max_decompressed_bytes: A compressed drop is rejected as a whole if its content exceeds this size.
        max_compression_ratio: A compressed drop is rejected as a whole if its content exceeds this multiple of its own
            size. Small drops are exempt.
        max_record_bytes: A drop is rejected as a whole if one of its records or lines exceeds this size.
        engine: What does the heavy work: ``polars`` (this machine) or ``dask`` (a cluster).
        buckets: Number of buckets into which the users of each platform are divided when sessions are rebuilt; 0
            derives it from the numbers of records and workers.
        dask_scheduler: Address of a Dask scheduler, such as ``tcp://host:8786`` or ``tls://host:8786``. Without one, a
            cluster is started on this machine.
        dask_tls_ca_file, dask_tls_cert, dask_tls_key: Files for a ``tls://`` scheduler.
        dask_workers: Number of worker processes in a cluster that is started here; 0 starts as many as ``threads``.
        dask_memory_limit: Memory of each of these worker processes.
        dask_range_bytes: Approximate size of the part of a large drop that one task reads.
        dask_timeout: Seconds to wait for the scheduler, and for a first worker.
        since: Start of the window: only sessions that start at this time or later count.
        until: End of the window: only sessions that start before this time count.
        exclude_users: Patterns of user ids, separated by commas: test accounts, robots, ids like ``null``. Their
            sessions are kept and counted, but they are left out of leaderboards.
        keep_unknown_platforms: Whether to keep records of unknown platforms under their normalised spelling. By
            default ``platforms.toml`` decides; if it does not say, they are quarantined.
        threads: Number of threads that read drops and that DuckDB uses.
        memory_limit: Memory that DuckDB may use before it spills to the data root, such as ``1GiB``. It also bounds how
            much of a drop is read at once.
        lock_timeout: Seconds to wait while another process writes to the data root.
        include: Patterns of drop names, separated by commas. Drops that match none of them are ignored. ``*`` also
            matches ``/``.
        exclude: Patterns of drop names, separated by commas. Drops that match any of them are ignored.
        modified_after: Drops that were last changed before this time are ignored.
        max_drops_per_run: Maximum number of drops that a run converts, oldest first; the others stay pending. 0 sets no
            limit.
        settle_seconds: The sensor ignores a drop until it has not changed for this many seconds.
        clean_source: ``keep`` raw files, or ``archive`` them below ``archive/`` once their records are published.
        schedule: When ``leaderboard_schedule`` looks for drops, as a cron expression in UTC.
        daily_start: First partition of the daily leaderboards. By default it is the first published day when Dagster
            loads the code, or a day a year ago if nothing is published yet.
        overdue_hours: The UI shows the leaderboard as overdue if it was last materialized this many hours ago, and
            warns after half of that time. 0 turns this off.
        git_url: Address of this code at GitHub or GitLab, such as ``https://github.com/you/uda_assets``, so that the
            UI links each asset to its source there. Without one, the UI names the file on this machine.
        git_branch: Branch, tag or commit at ``git_url``.
        keep_runs_days: Dagster's finished runs are removed after this many days, except those on which the displayed
            state of an asset depends. 0 keeps all runs.
    """

    data_root: str = "data"
    s3_endpoint: str = ""
    n: int = 50
    error_mode: ErrorMode = ErrorMode.LENIENT
    max_reject_ratio: float = 0.5
    max_decompressed_bytes: str = "64GiB"
    max_compression_ratio: float = 1000.0
    max_record_bytes: str = "64MiB"
    engine: EngineName = EngineName.POLARS
    buckets: int = 0
    dask_scheduler: str = ""
    dask_tls_ca_file: str = ""
    dask_tls_cert: str = ""
    dask_tls_key: str = ""
    dask_workers: int = 0
    dask_memory_limit: str = "2GiB"
    dask_range_bytes: str = "256MiB"
    dask_timeout: float = 10.0
    since: datetime | None = None
    until: datetime | None = None
    exclude_users: str = ""
    keep_unknown_platforms: bool | None = None
    threads: int = os.cpu_count() or 1
    memory_limit: str = "1GiB"
    lock_timeout: float = 60.0
    include: str = "*"
    exclude: str = ""
    modified_after: datetime | None = None
    max_drops_per_run: int = 0
    settle_seconds: float = 2.0
    clean_source: CleanSource = CleanSource.KEEP
    schedule: str = "0 * * * *"
    daily_start: str = ""
    overdue_hours: float = 24.0
    git_url: str = ""
    git_branch: str = "main"
    keep_runs_days: float = 30.0


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Return the settings in force: defaults, overridden by the environment, overridden by ``overrides``.

    Args:
        environ: Environment variables, by default those of this process.
        **overrides: Values by the name of the setting; None overrides nothing.

    Raises:
        UsageError: A setting has an invalid value.
    """
    environ = os.environ if environ is None else environ
    names = Settings.__struct_fields__
    given: dict[str, Any] = {name: value for name in names if (value := environ.get(_variable(name)))}
    # An error names what the user wrote: the environment variable, or else the flag or key of the run config.
    spelled = {name: name for name in names} | {name: _variable(name) for name in given}
    for name, value in overrides.items():
        if value is not None:
            given[name], spelled[name] = value, name
    converted: dict[str, Any] = {name: _convert(name, value, spelled[name]) for name, value in given.items()}
    settings = Settings(**converted)
    _check(settings, spelled)
    return settings


def _variable(name: str) -> str:
    return f"UDA_{name.upper()}"


def _convert(name: str, value: object, spelled: str) -> object:
    kind = _TYPES[name]
    if kind == datetime | None:
        return parse_moment(spelled, value)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        raise UsageError(f"{spelled} cannot be {value!r}: it takes {_takes(kind)}") from None


_TYPES = {field.name: field.type for field in msgspec.structs.fields(Settings)}
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _takes(kind: Any) -> str:
    kind = bool if kind == bool | None else kind
    return _KINDS[kind] if kind in _KINDS else " or ".join(member.value for member in kind)


def parse_moment(name: str, value: object) -> datetime | None:
    """Return a date or an ISO 8601 time as a time in UTC, or None if it is empty.

    A time without an offset is taken as UTC.

    Args:
        name: The setting that holds the value, for the error message.
        value: The date or time.

    Raises:
        UsageError: The value is not a date or time, or lies outside the years 1 to 9999.
    """
    if value is None or value == "":
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise UsageError(f"{name} must be a date or an ISO 8601 time, not {value!r}") from None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise UsageError(f"{name} must lie within the years 1 to 9999 in UTC, not {value!r}") from None


_RANGES = {
    "n": (1, 2**63 - 1),
    "max_reject_ratio": (0, 1),
    "max_compression_ratio": (1, math.inf),
    "threads": (1, 1024),
    "lock_timeout": (0, math.inf),
    "buckets": (0, 4096),
    "dask_workers": (0, 1024),
    "dask_timeout": (0.1, math.inf),
    "max_drops_per_run": (0, 2**63 - 1),
    "settle_seconds": (0, math.inf),
    "overdue_hours": (0, 24 * 3660),
    "keep_runs_days": (0, math.inf),
}

_SIZES = ("max_decompressed_bytes", "max_record_bytes", "memory_limit", "dask_memory_limit", "dask_range_bytes")
_CRON_FIELDS = 5
_CRON_NAMES = {"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"}


def _check(settings: Settings, spelled: Mapping[str, str]) -> None:
    for name, (least, most) in _RANGES.items():
        _require_within(least, most, getattr(settings, name), spelled[name])
    for name in _SIZES:
        memory_bytes(getattr(settings, name), spelled[name])
    if settings.daily_start:
        _require_day(settings.daily_start, spelled["daily_start"])
    if not _is_cron(settings.schedule):
        raise UsageError(f"{spelled['schedule']} must be a cron expression like '0 * * * *', not {settings.schedule!r}")
    if settings.s3_endpoint and not _is_web_address(settings.s3_endpoint):
        raise UsageError(
            f"{spelled['s3_endpoint']} must be an address such as http://127.0.0.1:9000, not {settings.s3_endpoint!r}"
        )
    if settings.git_url and not re.match("https?://[^/]*(github|gitlab)[^/]*/.", settings.git_url):
        raise UsageError(
            f"{spelled['git_url']} must be a repository's address at GitHub or GitLab, such as "
            f"https://github.com/you/uda_assets, not {settings.git_url!r}"
        )
    if settings.since and settings.until and settings.since >= settings.until:
        since, until = (f"{spelled[name]} ({getattr(settings, name)})" for name in ("since", "until"))
        raise UsageError(f"{since} must be before {until}")
    if not settings.data_root.strip():
        raise UsageError(f"{spelled['data_root']} must not be empty")


def _is_cron(text: str) -> bool:
    if text == Settings.schedule or text in _CRON_NAMES:
        return True
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - the default needs no check

    try:
        CronSim(text, datetime.now(UTC))
    except CronSimError:
        return False
    return len(text.split()) == _CRON_FIELDS


def _is_web_address(text: str) -> bool:
    try:
        address = urlsplit(text)
        _ = address.port  # raises an error if it is no number
    except ValueError:
        return False
    return address.scheme in {"http", "https"} and bool(address.hostname)


def _require_within(least: float, most: float, value: float, name: str) -> None:
    if least <= value <= most:
        return
    if most < 2**63 - 1:
        allowed = f"from {least} to {most}"
    else:
        # NaN exceeds neither bound, and is reported as too small.
        allowed = f"at most {most}" if value > most else f"at least {least}"
    raise UsageError(f"{name} must be {allowed}, not {value}")


def _require_day(text: str, name: str) -> None:
    try:
        # Python also reads 20260131 and 2026-W05-6 as dates, but Dagster does not.
        is_day = date.fromisoformat(text).isoformat() == text
    except ValueError:
        is_day = False
    if not is_day:
        raise UsageError(f"{name} must be a date like 2026-01-31, not {text!r}")
