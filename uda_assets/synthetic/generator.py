"""The generator: activity of any size that a seed reproduces, with a correct answer that is known.

A record is a pure function of two numbers: its session number determines the user and the platform, its event number
the time and the activity. Therefore the records can be made chunk by chunk, in order of time or shuffled, on several
threads, and the correct answer follows from the numbers without reading the file. Memory holds a few chunks, the users,
and the number of sessions of each user.

    session number -> user, platform, session id           Population
    event number   -> session, time, details               Timeline
    both           -> the fields of a record, as text      RecordWriter
    line number    -> event, duplicate or malformed        plan_chunks, ChunkMaker
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.reasons import Reason
from uda_assets.synthetic.chunks import Chunk, ChunkMaker, make_chunks, plan_chunks
from uda_assets.synthetic.config import GeneratorConfig
from uda_assets.synthetic.files import Sink, check_target, opened, written_atomically
from uda_assets.synthetic.malformed import REASONS
from uda_assets.synthetic.population import PLATFORMS, Population
from uda_assets.synthetic.timeline import Timeline, event_order

_HEADER = ",".join(COLUMNS).encode() + b"\n"


@dataclass(frozen=True, eq=False)
class GeneratedTruth:
    """The correct answer to a generated file.

    Attributes:
        config: The configuration of the file.
        records: Records in the file; always ``kept + quarantined``.
        kept: Well-formed records, including duplicates.
        quarantined: Malformed records.
        duplicates: Well-formed records that repeat an earlier one.
        reasons: Malformed records by reason, in order of precedence, without reasons that do not occur.
        sessions: Unique sessions.
        count_sessions: Makes the table of session counts.
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
        """``platform, user_id, session_count``, sorted by platform, then by descending count, then by user.

        The table is made on first use, because sorting hundreds of thousands of names takes as long as writing a
        million records.
        """
        return self.count_sessions()

    def write(self, directory: Path) -> None:
        """Write ``truth.json`` and ``session_counts.csv`` into ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        with written_atomically(directory / "session_counts.csv") as temporary:
            self.session_counts.write_csv(temporary)
        summary = {
            "records": self.records,
            "kept": self.kept,
            "quarantined": self.quarantined,
            "duplicates": self.duplicates,
            "reasons": dict(self.reasons),
            "sessions": self.sessions,
            "config": asdict(self.config) | {"start": self.config.start.isoformat()},
        }
        with written_atomically(directory / "truth.json") as temporary:
            temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


class _Tally:
    """Counts records and sessions while the file is written."""

    def __init__(self, config: GeneratorConfig, population: Population) -> None:
        self._config, self._population = config, population
        self._sessions = np.zeros(len(PLATFORMS) * population.users, dtype=np.int64)
        self._reasons = np.zeros(len(REASONS), dtype=np.int64)
        self._originals = 0
        self.records = 0

    def add(self, chunk: Chunk) -> None:
        np.add.at(self._sessions, chunk.owners, 1)
        self._reasons += chunk.reasons
        self._originals += chunk.originals
        self.records += chunk.lines

    def truth(self) -> GeneratedTruth:
        """Return the correct answer; call this after the last chunk."""
        quarantined = int(self._reasons.sum())
        counted = dict(zip(REASONS, self._reasons.tolist(), strict=True))
        return GeneratedTruth(
            config=self._config,
            records=self.records,
            kept=self.records - quarantined,
            quarantined=quarantined,
            duplicates=self.records - quarantined - self._originals,
            reasons={reason.value: counted[reason] for reason in Reason if counted[reason]},
            sessions=int(self._sessions.sum()),
            count_sessions=self._session_counts,
        )

    def _session_counts(self) -> pl.DataFrame:
        users = self._population.users
        owners = np.flatnonzero(self._sessions)
        return pl.DataFrame(
            {
                "platform": pl.Series(PLATFORMS).gather(owners // users),
                "user_id": self._population.names.gather(owners % users),
                "session_count": self._sessions[owners],
            }
        ).sort("platform", "session_count", "user_id", descending=[False, True, False])


def generate(
    path: Path,
    config: GeneratorConfig,
    *,
    truth_dir: Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> GeneratedTruth:
    """Write a file of activity and return the correct answer to it.

    The file gets its name when it is complete and the answer is written; until then it has a temporary name beside it
    that is not the name of a drop. Missing directories are created.

    Args:
        path: The file to write; its suffix, one of ``SUFFIXES``, determines the compression.
        config: What to generate.
        truth_dir: Where to write the correct answer: ``truth.json`` and ``session_counts.csv``.
        on_progress: Called now and then with the number of records written so far.

    Raises:
        UsageError: The file's name has none of the suffixes.
        OSError: A file cannot be written.
    """
    suffix = check_target(path)
    for directory in [path.parent] if truth_dir is None else [path.parent, truth_dir]:
        directory.mkdir(parents=True, exist_ok=True)
    with written_atomically(path) as temporary:
        with opened(temporary, suffix) as sink:
            truth = _write(sink, config, on_progress)
        if truth_dir is not None:
            truth.write(truth_dir)
    return truth


def _write(sink: Sink, config: GeneratorConfig, on_progress: Callable[[int], None] | None) -> GeneratedTruth:
    population, timeline = Population(config), Timeline(config)
    tally = _Tally(config, population)
    sink.write(_HEADER)
    plans = plan_chunks(config, event_order(config, timeline))
    with closing(make_chunks(ChunkMaker(config, population, timeline), plans)) as chunks:
        for chunk in chunks:
            for page in chunk.pages:
                sink.write(page)
            tally.add(chunk)
            if on_progress is not None:
                on_progress(tally.records)
    return tally.truth()
