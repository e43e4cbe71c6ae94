"""The one settings class: names, defaults and environment variables of everything that can be configured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from uda_assets.errors import UsageError


class ErrorMode(StrEnum):
    """What a malformed record does: go to quarantine, or stop the run."""

    LENIENT = "lenient"
    FAIL_FAST = "fail_fast"


class Engine(StrEnum):
    """What does the heavy work."""

    POLARS = "polars"


class CleanSource(StrEnum):
    """What becomes of a raw file whose records are committed and published."""

    KEEP = "keep"
    ARCHIVE = "archive"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting with its default; ``UDA_<NAME>`` in the environment overrides it, a flag or run config both.

    Attributes:
        data_root: Directory that holds datasets, results and all in between.
        n: Users a platform on a leaderboard, at least 1.
        error_mode: ``lenient`` or ``fail_fast``.
        max_reject_ratio: A drop with a larger share of malformed records than this (0 to 1) is rejected whole.
        engine: What does the heavy work: ``polars``.
        since: Start of the window on sessions' ``started_at``, inclusive; none by default.
        until: End of the window, exclusive; none by default.
        keep_unknown_platforms: Keep records of unknown platforms under their normalised spelling.
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

    """

    data_root: str = "data"
    n: int = 50
    error_mode: ErrorMode = ErrorMode.LENIENT
    max_reject_ratio: float = 0.5
    engine: Engine = Engine.POLARS
    since: datetime | None = None
    until: datetime | None = None
    keep_unknown_platforms: bool = False
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

    @property
    def root(self) -> Path:
        """The data root as a path."""
        return Path(self.data_root)


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """The settings in force: defaults, then the environment, then ``overrides`` that are not None.

    Raises:
        UsageError: A value is not what its setting takes.

    """
    environ = os.environ if environ is None else environ
    names = Settings.__struct_fields__
    values: dict[str, Any] = {name: value for name in names if (value := environ.get(f"UDA_{name.upper()}"))}
    values.update({name: value for name, value in overrides.items() if value is not None})
    converted: dict[str, Any] = {name: _convert(name, value) for name, value in values.items()}
    settings = Settings(**converted)
    _check_ranges(settings)
    return settings


def _convert(name: str, value: object) -> object:
    kind = _TYPES[name]
    if kind == datetime | None:
        return parse_moment(name, value)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{name} cannot be {value!r}: {error}") from None


_TYPES = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def parse_moment(name: str, value: object) -> datetime | None:
    """A date or ISO 8601 time as a moment in UTC; without an offset it is UTC."""
    if value is None or isinstance(value, datetime):
        moment = value
    else:
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            raise UsageError(f"{name} must be a date or an ISO 8601 time, not {value!r}") from None
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _check_ranges(settings: Settings) -> None:
    if settings.n < 1:
        raise UsageError(f"n must be at least 1, not {settings.n}")
    if not 0 <= settings.max_reject_ratio <= 1:
        raise UsageError(f"max_reject_ratio must be from 0 to 1, not {settings.max_reject_ratio}")
    if settings.threads < 1:
        raise UsageError(f"threads must be at least 1, not {settings.threads}")
    if settings.max_drops_per_run < 0:
        raise UsageError(f"max_drops_per_run must be 0 (no bound) or more, not {settings.max_drops_per_run}")
    if settings.settle_seconds < 0:
        raise UsageError(f"settle_seconds must be 0 or more, not {settings.settle_seconds:g}")
    try:
        date.fromisoformat(settings.daily_start)
    except ValueError:
        raise UsageError(f"daily_start must be a date like 2026-01-31, not {settings.daily_start!r}") from None
    if settings.since and settings.until and settings.since >= settings.until:
        raise UsageError(f"since ({settings.since}) must be before until ({settings.until})")
