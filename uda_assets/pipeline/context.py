"""What every step of a run works with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from uda_assets.basics.settings import Settings
from uda_assets.contract.suppliers import Rulebook, rulebook
from uda_assets.engines import Engine, open_engine
from uda_assets.lake import DayRule, Lake
from uda_assets.pipeline.rules import Rules, rules_of
from uda_assets.warehouse.database import Connect, plain_database


class Run(NamedTuple):
    """A run, which holds the lock of its data root.

    Attributes:
        lake: The data root.
        settings: The settings of the run.
        book: The platform table and the suppliers in force.
        engine: The engine that does the heavy work.
        connect: Opens database files.
        days: How leaderboards of days are made, if not by the N and the excluded users of these settings.
    """

    lake: Lake
    settings: Settings
    book: Rulebook
    engine: Engine
    connect: Connect = plain_database
    days: DayRule | None = None

    @property
    def day_rule(self) -> DayRule:
        """How leaderboards of days are made."""
        return self.days or DayRule.of(self.settings)

    @property
    def rules(self) -> Rules:
        """The rules of the run."""
        return rules_of(self.settings, self.book)


@contextmanager
def open_run(lake: Lake, settings: Settings) -> Iterator[Run]:
    """Take the lock of a data root, and open the engine that the settings choose.

    Raises:
        UdaError: Another writer holds the lock, or the data root cannot be written.
        ClusterFault: The cluster cannot be reached.
    """
    with lake.writing(settings.lock_timeout), open_engine(settings) as engine:
        yield Run(lake, settings, rulebook(lake.root, settings), engine)
