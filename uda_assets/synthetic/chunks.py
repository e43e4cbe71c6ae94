"""The lines of a file: planned in chunks, and made on several threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from uda_assets.synthetic.config import CHUNK, PAGE, GeneratorConfig
from uda_assets.synthetic.draws import I64
from uda_assets.synthetic.malformed import LAST_LINE, REASONS, MalformedLines
from uda_assets.synthetic.population import Population
from uda_assets.synthetic.records import RecordWriter
from uda_assets.synthetic.texts import pack
from uda_assets.synthetic.timeline import EventOrder, Timeline

_THREADS = 2

_ORIGINAL, _DUPLICATE, _MALFORMED = range(3)


@dataclass(frozen=True)
class _Plan:
    """The plan of a chunk of consecutive lines.

    Attributes:
        number: Number of the chunk, counted from 0.
        lines: Number of lines.
        events: The new events, in the order in which they appear.
        before: The last event before those, which a duplicate may repeat; empty for the first chunk.
        malformed: Numbers of the chunk's malformed records, counted over the file.
    """

    number: int
    lines: int
    events: I64
    before: I64
    malformed: range


class Chunk(NamedTuple):
    """A chunk of lines, and what must be counted in it.

    Attributes:
        pages: The lines, ready to be written.
        lines: Number of lines.
        originals: Number of lines that are neither malformed nor duplicates.
        owners: Owners of the sessions that begin in the chunk, see :meth:`Population.owners`.
        reasons: Number of malformed lines for each of ``REASONS``.
    """

    pages: list[memoryview]
    lines: int
    originals: int
    owners: I64
    reasons: I64


def plan_chunks(config: GeneratorConfig, order: EventOrder) -> Iterator[_Plan]:
    """Divide the file into chunks of about equal size, each with its share of duplicates and malformed records."""
    count = -(-config.records // CHUNK)
    well_formed = config.records - config.malformed
    lines = malformed = originals = 0
    before = np.empty(0, dtype=np.int64)
    for number in range(count):
        # All shares are rounded from the start of the file, so that they add up. Duplicates are rounded down, so that
        # the first well-formed record is never a duplicate.
        lines_end = config.records * (number + 1) // count
        malformed_end = config.malformed * lines_end // config.records
        well_formed_end = lines_end - malformed_end
        originals_end = well_formed_end - (config.duplicates * well_formed_end // well_formed if well_formed else 0)
        events = order.take(originals_end - originals)
        yield _Plan(number, lines_end - lines, events, before, range(malformed, malformed_end))
        before = events[-1:] if len(events) else before
        lines, malformed, originals = lines_end, malformed_end, originals_end


class ChunkMaker:
    """Makes chunks from their plans. It keeps no state between chunks, so several threads can use it."""

    def __init__(self, config: GeneratorConfig, population: Population, timeline: Timeline) -> None:
        self._config, self._population, self._timeline = config, population, timeline
        self._record_writer = RecordWriter(config, population, timeline)
        self._malformed_lines = MalformedLines(config.seed) if config.malformed else None
        # The reason that is only possible in the last line is used once there is a record for each other reason.
        self._last_malformed = config.malformed - 1 if config.malformed >= len(REASONS) else None

    def make(self, plan: _Plan) -> Chunk:
        """Return the lines of a chunk, and what must be counted in it."""
        config = self._config
        random = np.random.default_rng([config.seed, 3, config.variant, config.first_session, plan.number])
        # The order of these steps determines what each of them draws.
        kinds = self._kinds(plan, random)
        reasons = self._reasons(plan, random)
        malformed_lines = self._malformed(reasons, random)
        sources = self._sources(plan, kinds, random)
        return Chunk(
            pages=list(self._pages(plan, malformed_lines, sources)),
            lines=plan.lines,
            originals=len(plan.events),
            owners=self._population.owners(self._timeline.begun(plan.events) + config.first_session),
            reasons=np.bincount(reasons, minlength=len(REASONS)),
        )

    def _kinds(self, plan: _Plan, random: np.random.Generator) -> npt.NDArray[np.int8]:
        """Return for each line whether it is an original, a duplicate or malformed."""
        originals = len(plan.events)
        others = random.choice(plan.lines, plan.lines - originals, replace=False)
        kinds = np.full(plan.lines, _ORIGINAL, dtype=np.int8)
        kinds[others] = _DUPLICATE
        kinds[others[: len(plan.malformed)]] = _MALFORMED
        if self._last_malformed in plan.malformed:
            _swap(kinds, plan.lines - 1, int(np.argmax(kinds == _MALFORMED)))
        if originals and not len(plan.before):
            # The first well-formed line of the file must be an original, because there is nothing to repeat yet.
            _swap(kinds, int(np.argmax(kinds != _MALFORMED)), int(np.argmax(kinds == _ORIGINAL)))
        return kinds

    def _reasons(self, plan: _Plan, random: np.random.Generator) -> I64:
        """Return the reasons of the malformed lines, spread evenly and in random order."""
        reasons = random.permutation(np.arange(plan.malformed.start, plan.malformed.stop) % (len(REASONS) - 1))
        if self._last_malformed in plan.malformed:
            reasons[-1] = REASONS.index(LAST_LINE)
        return reasons

    def _malformed(self, reasons: I64, random: np.random.Generator) -> pl.Series:
        """Return malformed lines, made from records that may also be in the file: a reader must not count them."""
        if self._malformed_lines is None:
            return pl.Series([], dtype=pl.Binary)
        events = random.integers(0, max(1, self._config.originals), len(reasons))
        return self._malformed_lines.lines(self._record_writer.fields(events), reasons, random)

    def _sources(self, plan: _Plan, kinds: npt.NDArray[np.int8], random: np.random.Generator) -> I64:
        """Return for each line its index into ``before``, ``events`` and the malformed lines, one after the other."""
        events = len(plan.before) + len(plan.events)
        latest = len(plan.before) + np.cumsum(kinds == _ORIGINAL) - 1
        sources = latest.copy()
        duplicates, malformed = np.flatnonzero(kinds == _DUPLICATE), np.flatnonzero(kinds == _MALFORMED)
        sources[duplicates] = self._repeated(latest[duplicates], random)
        sources[malformed] = events + np.arange(len(malformed))
        return sources

    def _repeated(self, latest: I64, random: np.random.Generator) -> I64:
        """Return the event that each duplicate repeats.

        This is a recent event, as when a client retries; in a shuffled file, it is any earlier event.
        """
        if self._config.shuffled:
            anywhere: I64 = random.integers(0, latest + 1)
            return anywhere
        return np.maximum(0, latest + 1 - random.geometric(0.05, len(latest)))  # type: ignore[no-any-return]

    def _pages(self, plan: _Plan, malformed_lines: pl.Series, sources: I64) -> Iterator[memoryview]:
        events, packed = np.concatenate([plan.before, plan.events]), pack(malformed_lines)
        malformed = 0
        for first in range(0, plan.lines, PAGE):
            page_sources = sources[first : first + PAGE]
            is_malformed = page_sources >= len(events)
            malformed_end = malformed + int(np.count_nonzero(is_malformed))
            page_events = events[page_sources[~is_malformed]]
            yield self._record_writer.page(page_events, is_malformed, packed.part(malformed, malformed_end))
            malformed = malformed_end


def _swap(kinds: npt.NDArray[np.int8], first: int, second: int) -> None:
    kinds[first], kinds[second] = kinds[second], kinds[first]


def make_chunks(maker: ChunkMaker, plans: Iterator[_Plan]) -> Generator[Chunk]:
    """Make the chunks on several threads, a few chunks ahead of the one that is yielded."""
    waiting: deque[Future[Chunk]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for plan in plans:
            waiting.append(pool.submit(maker.make, plan))
            if len(waiting) > _THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
