"""The one settings class: names, defaults and environment variables of everything that can be configured."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

import msgspec

from uda_assets.basics.errors import UsageError
from uda_assets.basics.sizes import memory_bytes


class ErrorMode(StrEnum):
    """What a malformed record does: go to quarantine, or stop the run."""

    LENIENT = "lenient"
    FAIL_FAST = "fail_fast"


class EngineName(StrEnum):
    """What does the heavy work: this machine, or a Dask cluster."""

    POLARS = "polars"
    DASK = "dask"


class CleanSource(StrEnum):
    """What becomes of a raw file whose records are committed and published."""

    KEEP = "keep"
    ARCHIVE = "archive"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting with its default; ``UDA_<NAME>`` in the environment overrides it, a flag or run config both.

    Attributes:
        data_root: Directory that holds datasets, results and all in between, or ``s3://bucket/path``.
        s3_endpoint: Address of the S3 API for such a data root, where it is not Amazon's; credentials come from where
            they usually do, such as ``AWS_ACCESS_KEY_ID``.
        n: Users a platform on a leaderboard, at least 1.
        error_mode: ``lenient`` or ``fail_fast``.
        max_reject_ratio: A drop with a larger share of malformed records than this (0 to 1) is rejected whole.
        max_decompressed_bytes: A compressed drop that holds more than this, such as ``64GiB``, is rejected whole.
        max_compression_ratio: So is one that holds more than so many times its size; small ones are not judged.
        max_record_bytes: So is a drop with a record, or a line, that is longer than this.
        engine: What does the heavy work: ``polars`` (this machine) or ``dask`` (a cluster).
        buckets: Into how many buckets of users each platform's sessions are divided when they are built anew; 0: as
            many as their number asks for.
        dask_scheduler: Address of a Dask scheduler, such as ``tcp://host:8786`` or ``tls://host:8786``; where there is
            none, a cluster is started on this machine.
        dask_tls_ca_file, dask_tls_cert, dask_tls_key: Files for ``tls://``.
        dask_workers: Processes of a cluster that is started here; 0: as many as ``threads``.
        dask_memory_limit: Memory of each of these processes.
        dask_range_bytes: About how much of a large drop one task reads.
        dask_timeout: Seconds to wait for the scheduler, and for a first worker.
        since: Start of the window on sessions' ``started_at``, inclusive; none by default.
        until: End of the window, exclusive; none by default.
        keep_unknown_platforms: Keep records of unknown platforms under their normalised spelling; by default as
            ``platforms.toml`` has it, and not where that is silent.
        threads: Blocks read at once and threads of DuckDB; by default as many as there are processors.
        memory_limit: Memory that DuckDB may use before it spills to the data root, such as ``1GiB``.
        lock_timeout: Seconds to wait for another writer of the data root.
        include: Patterns of drops' names, separated by commas; only drops that match one are seen. ``*`` also matches
            ``/``.
        exclude: Patterns of drops' names that are not seen.
        modified_after: Drops last changed before this moment are not seen; none by default.
        max_drops_per_run: Convert at most so many drops, the oldest first; 0 is no bound. The rest stays pending.
        settle_seconds: The sensor leaves a drop alone until it has not changed for this long.
        clean_source: ``keep`` raw files, or ``archive`` them below ``archive/`` once their records are published.
        schedule: When ``leaderboard_schedule`` looks for drops, as a cron expression in UTC.
        daily_start: First partition of the daily leaderboards.
        overdue_hours: The UI shows the leaderboard as overdue when it was not made for so long, and warns after half of
            it; 0: never.
        git_url: Address of this code at GitHub or GitLab, such as ``https://github.com/you/uda_assets``, so that the UI
            links each asset to its source there; without one it names the file on this machine.
        git_branch: Branch, tag or commit of it.
        keep_runs_days: Dagster's finished runs are removed after so many days, except those that the state of assets is
            told by; 0: all are kept.

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
    daily_start: str = "2020-01-01"
    overdue_hours: float = 24.0
    git_url: str = ""
    git_branch: str = "main"
    keep_runs_days: float = 30.0


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """The settings in force: defaults, then the environment, then ``overrides`` that are not None.

    Raises:
        UsageError: A value is not what its setting takes.

    """
    environ = os.environ if environ is None else environ
    names = Settings.__struct_fields__
    given: dict[str, Any] = {name: value for name in names if (value := environ.get(_variable(name)))}
    # An error names what the user wrote: the variable, or the flag or key of the run config.
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
    """A date or ISO 8601 time as a moment in UTC, without an offset too; nothing is no moment."""
    if value is None or value == "":
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise UsageError(f"{name} must be a date or an ISO 8601 time, not {value!r}") from None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise UsageError(f"{name} must lie within years 1 to 9999, in UTC too, not {value!r}") from None


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


def _check(settings: Settings, spelled: Mapping[str, str]) -> None:
    for name, (least, most) in _RANGES.items():
        _require_within(least, most, getattr(settings, name), spelled[name])
    for name in _SIZES:
        memory_bytes(getattr(settings, name), spelled[name])
    _require_day(settings.daily_start, spelled["daily_start"])
    if len(settings.schedule.split()) != _CRON_FIELDS and not settings.schedule.startswith("@"):
        raise UsageError(f"{spelled['schedule']} must be a cron expression like '0 * * * *', not {settings.schedule!r}")
    if settings.git_url and not re.match("https?://[^/]*(github|gitlab)[^/]*/.", settings.git_url):
        raise UsageError(
            f"{spelled['git_url']} must be a repository's address at GitHub or GitLab, such as "
            f"https://github.com/you/uda_assets, not {settings.git_url!r}"
        )
    if settings.since and settings.until and settings.since >= settings.until:
        since, until = (f"{spelled[name]} ({getattr(settings, name)})" for name in ("since", "until"))
        raise UsageError(f"{since} must be before {until}")
    if not settings.data_root.strip():
        raise UsageError("data_root must not be empty")


def _require_within(least: float, most: float, value: float, name: str) -> None:
    if least <= value <= most:
        return
    if most < 2**63 - 1:
        allowed = f"from {least} to {most}"
    else:
        # What is not a number is beyond neither bound.
        allowed = f"at most {most}" if value > most else f"at least {least}"
    raise UsageError(f"{name} must be {allowed}, not {value}")


def _require_day(text: str, name: str) -> None:
    try:
        # The basic form and weeks are dates to Python, and none to Dagster.
        is_day = date.fromisoformat(text).isoformat() == text
    except ValueError:
        is_day = False
    if not is_day:
        raise UsageError(f"{name} must be a date like 2026-01-31, not {text!r}")
