"""The right answer to a generated file, counted while it is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from uda_assets.contract.reasons import Reason
from uda_assets.synthetic.config import GeneratorConfig
from uda_assets.synthetic.files import written_atomically
from uda_assets.synthetic.painter import Painted
from uda_assets.synthetic.population import PLATFORMS, Population
from uda_assets.synthetic.vandal import REASONS


@dataclass(frozen=True, eq=False)
class GeneratedTruth:
    """The right answer to a generated file.

    Attributes:
        config: What was generated.
        records: Records of the file; always ``kept + quarantined``.
        kept: Records that are sound, duplicates included.
        quarantined: Malformed records.
        duplicates: Sound records that repeat an earlier one.
        reasons: Malformed records by reason, in order of precedence; reasons that do not occur are left out.
        sessions: Unique sessions.
        count_sessions: Makes the table of them.
    """

    config: GeneratorConfig
    records: int
    kept: int
    quarantined: int
    duplicates: int
    reasons: Mapping[str, int]
    sessions: int
    count_sessions: Callable[[], pl.DataFrame] = field(repr=False)

    @cached_property
    def session_counts(self) -> pl.DataFrame:
        """``platform, user_id, session_count``, by platform, falling count, then user.

        Made when it is first asked for, of what was counted while writing: to order hundreds of thousands of names
        takes as long as to write a million records.
        """
        return self.count_sessions()

    def write(self, directory: Path) -> None:
        """Write ``truth.json`` and ``session_counts.csv`` into ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        with written_atomically(directory / "session_counts.csv") as part:
            self.session_counts.write_csv(part)
        with written_atomically(directory / "truth.json") as part:
            part.write_text(json.dumps(self._summary(), indent=2) + "\n", encoding="utf-8")

    def _summary(self) -> dict[str, object]:
        return {
            "records": self.records,
            "kept": self.kept,
            "quarantined": self.quarantined,
            "duplicates": self.duplicates,
            "reasons": dict(self.reasons),
            "sessions": self.sessions,
            "config": asdict(self.config) | {"start": self.config.start.isoformat()},
        }


class Tally:
    """Counts what is written while it is written."""

    def __init__(self, config: GeneratorConfig, population: Population) -> None:
        self._config, self._population = config, population
        self._sessions = np.zeros(len(PLATFORMS) * population.users, dtype=np.int64)
        self._reasons = np.zeros(len(REASONS), dtype=np.int64)
        self._records = self._originals = 0

    def add(self, chunk: Painted) -> None:
        """Count what is in a chunk that is written."""
        np.add.at(self._sessions, chunk.owners, 1)
        self._reasons += chunk.reasons
        self._records += chunk.lines
        self._originals += chunk.originals

    def truth(self) -> GeneratedTruth:
        """The right answer, after the last chunk."""
        quarantined = int(self._reasons.sum())
        counted = dict(zip(REASONS, self._reasons.tolist(), strict=True))
        return GeneratedTruth(
            config=self._config,
            records=self._records,
            kept=self._records - quarantined,
            quarantined=quarantined,
            duplicates=self._records - quarantined - self._originals,
            reasons={reason.value: counted[reason] for reason in Reason if counted[reason]},
            sessions=int(self._sessions.sum()),
            count_sessions=self._session_counts,
        )

    def _session_counts(self) -> pl.DataFrame:
        users = self._population.users
        found = np.flatnonzero(self._sessions)
        return pl.DataFrame(
            {
                "platform": pl.Series(PLATFORMS).gather(found // users),
                "user_id": self._population.names.gather(found % users),
                "session_count": self._sessions[found],
            }
        ).sort("platform", "session_count", "user_id", descending=[False, True, False])
