"""The chain as calls of the kernel, for tests of what it does with unusual files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from uda_assets.basics import moments
from uda_assets.basics.settings import Settings, load_settings
from uda_assets.contract.suppliers import rulebook
from uda_assets.engines import Engine
from uda_assets.lake import Lake, open_lake
from uda_assets.lake.integrity import inspect_drops
from uda_assets.pipeline import forgetting
from uda_assets.pipeline.batch import ConversionReport
from uda_assets.pipeline.checks import events_accounted, records_accounted, session_key_unique
from uda_assets.pipeline.context import Run, open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.publishing import publish_committed
from uda_assets.pipeline.rules import rules_of
from uda_assets.pipeline.status import DropEntry, drop_ledger, take_inventory
from uda_assets.storage import filesystem_of

HEADER = "user_id,session_id,platform,activity_time,activity_type\n"


def record(session: str, platform: str = "iOS", user: str = "u1") -> str:
    return f"{user},{session},{platform},2026-01-01T00:00:00Z,view\n"


def settings_of(root: Path, **overrides: Any) -> Settings:
    return load_settings({}, data_root=str(root), threads=2, lock_timeout=0, **overrides)


def deliver(root: Path, drop: str | bytes, content: str) -> None:
    path = Path(root, "datasets", drop if isinstance(drop, str) else drop.decode("utf-8", "surrogateescape"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@contextmanager
def running(lake: Lake, settings: Settings, engine: Engine | None = None) -> Iterator[Run]:
    """A run by the engine that is given, or by the one that the settings choose."""
    if engine is None:
        with open_run(lake, settings) as opened:
            yield opened
    else:
        with lake.writing(settings.lock_timeout):
            yield Run(lake, settings, rulebook(lake.root, settings), engine)


def build(lake: Lake, settings: Settings, engine: Engine | None = None) -> ConversionReport:
    """Convert, merge and publish."""
    with running(lake, settings, engine) as opened:
        report = convert_pending(opened)
        publish_committed(opened)
        return report


def run(root: Path, **overrides: Any) -> ConversionReport:
    """Convert, merge and publish, and see that every record is accounted for."""
    settings = settings_of(root, **overrides)
    lake = open_lake(settings)
    report = build(lake, settings)
    verify(lake)
    return report


def forget(lake: Lake, settings: Settings, drop: str, engine: Engine | None = None) -> None:
    with running(lake, settings, engine) as opened:
        forgetting.forget(opened, drop)


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
    state = lake.state()
    assert records_accounted(state.drops, inspect_drops(lake, state)).passed
    for check in (session_key_unique, events_accounted):
        with duckdb.connect() as connection:
            if lake.files.remote:
                connection.register_filesystem(filesystem_of(lake.root))
            finding = check(lake, connection)
        assert finding.passed, finding


def statuses(lake: Lake, settings: Settings) -> dict[str, DropEntry]:
    """Where each drop stands."""
    rules = rules_of(settings, rulebook(lake.root, settings))
    return {entry.drop: entry for entry in drop_ledger(take_inventory(lake, check_files=True), rules)}


def ledger(root: Path, **overrides: Any) -> dict[str, DropEntry]:
    settings = settings_of(root, **overrides)
    return statuses(open_lake(settings), settings)


def published(root: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        return warehouse.execute(query).fetchall()
