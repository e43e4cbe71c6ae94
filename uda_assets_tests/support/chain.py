"""The chain as calls of the kernel, for tests of what it does with unusual files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from uda_assets.basics import moments
from uda_assets.basics.settings import Settings, load_settings
from uda_assets.contract.platforms import platform_table
from uda_assets.lake import Lake, open_lake
from uda_assets.lake.footers import read_footers
from uda_assets.pipeline.build import convert_pending, publish_committed
from uda_assets.pipeline.catalogue import DropEntry, read_catalogue
from uda_assets.pipeline.checks import events_accounted, records_accounted, session_key_unique
from uda_assets.pipeline.conversion import ConversionReport
from uda_assets.storage import filesystem_of, root_of

HEADER = "user_id,session_id,platform,activity_time,activity_type\n"


def record(session: str, platform: str = "iOS", user: str = "u1") -> str:
    return f"{user},{session},{platform},2026-01-01T00:00:00Z,view\n"


def settings_of(root: Path, **overrides: Any) -> Settings:
    return load_settings({}, data_root=str(root), threads=2, lock_timeout=0, **overrides)


def deliver(root: Path, drop: str | bytes, content: str) -> None:
    path = Path(root, "datasets", drop if isinstance(drop, str) else drop.decode("utf-8", "surrogateescape"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def run(root: Path, **overrides: Any) -> ConversionReport:
    """Convert, merge and publish, and see that every record is accounted for."""
    settings = settings_of(root, **overrides)
    lake, platforms = open_lake(settings), platform_table(root_of(settings), settings)
    with lake.writing(0):
        report = convert_pending(lake, settings, platforms)
        publish_committed(lake, settings, platforms)
    verify(lake)
    return report


def dying(count: int, action: Callable[[], object]) -> bool:
    """Whether an action died, as it does at the given moment that it passes, counted from 1."""
    left = [count]

    def die(moment: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise moments.Killed(moment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "on_moment", die)
        try:
            action()
        except moments.Killed:
            return True
    return False


def verify(lake: Lake) -> None:
    manifests = lake.manifests()
    assert records_accounted(manifests, read_footers(lake, manifests)).passed
    for check in (session_key_unique, events_accounted):
        with duckdb.connect() as connection:
            if lake.files.remote:
                connection.register_filesystem(filesystem_of(lake.root))
            finding = check(lake, connection)
        assert finding.passed, finding


def ledger(root: Path, **overrides: Any) -> dict[str, DropEntry]:
    settings = settings_of(root, **overrides)
    entries = read_catalogue(open_lake(settings), platform_table(root_of(settings), settings), settings)
    return {entry.drop: entry for entry in entries}


def published(root: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        return warehouse.execute(query).fetchall()
