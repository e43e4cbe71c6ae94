"""The lines of a file: planned in chunks, and painted on several threads."""

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
from uda_assets.synthetic.order import EventOrder
from uda_assets.synthetic.population import Population
from uda_assets.synthetic.scribe import Scribe
from uda_assets.synthetic.timeline import Timeline
from uda_assets.synthetic.vandal import LAST_LINE, REASONS, Vandal
from uda_assets.synthetic.words import laid_out

_THREADS = 2

_ORIGINAL, _DUPLICATE, _MALFORMED = range(3)


@dataclass(frozen=True)
class _Chunk:
    """The plan of some consecutive lines.

    Attributes:
        number: Counted from 0 over the file.
        lines: How many lines.
        events: The new events, in the order in which they appear.
        before: The event before those, which a duplicate may repeat; empty for the first chunk.
        malformed: Range of the malformed records, counted over the file.
    """

    number: int
    lines: int
    events: I64
    before: I64
    malformed: range


class Painted(NamedTuple):
    """A chunk as it is written, and what there is to count in it.

    Attributes:
        pages: Its lines.
        lines: How many.
        originals: How many of them are neither malformed nor repeat another one.
        owners: Whose the sessions are that begin in it, see :meth:`Population.owners`.
        reasons: How many lines are malformed for which reason.
    """

    pages: list[memoryview]
    lines: int
    originals: int
    owners: I64
    reasons: I64


def plan(config: GeneratorConfig, order: EventOrder) -> Iterator[_Chunk]:
    """Divide the file into chunks of about equal size, each with its share of duplicates and malformed records."""
    count = -(-config.records // CHUNK)
    sound = config.records - config.malformed
    lines = malformed = originals = 0
    before = np.empty(0, dtype=np.int64)
    for number in range(count):
        # All shares are rounded from the file's start, so that they add up. Duplicates are rounded down, so that the
        # first sound record is never one.
        lines_end = config.records * (number + 1) // count
        malformed_end = config.malformed * lines_end // config.records
        sound_end = lines_end - malformed_end
        originals_end = sound_end - (config.duplicates * sound_end // sound if sound else 0)
        events = order.take(originals_end - originals)
        yield _Chunk(number, lines_end - lines, events, before, range(malformed, malformed_end))
        before = events[-1:] if len(events) else before
        lines, malformed, originals = lines_end, malformed_end, originals_end


class Painter:
    """Turns the plan of a chunk into its bytes. Keeps no state, so that chunks can be painted on several threads."""

    def __init__(self, config: GeneratorConfig, population: Population, timeline: Timeline) -> None:
        self._config, self._population, self._timeline = config, population, timeline
        self._scribe = Scribe(config, population, timeline)
        self._vandal = Vandal(config.seed) if config.malformed else None
        # One line for each reason must be there before a whole one is spent on the last line.
        self._last_malformed = config.malformed - 1 if config.malformed >= len(REASONS) else None

    def paint(self, chunk: _Chunk) -> Painted:
        """The lines of a chunk, and what there is to count in it."""
        random = self._random(chunk.number)
        kinds = self._kinds(chunk, random)
        reasons = self._reasons(chunk, random)
        broken = self._malformed(reasons, random)
        return Painted(
            pages=list(self._pages(chunk, broken, self._sources(chunk, kinds, random))),
            lines=chunk.lines,
            originals=len(chunk.events),
            owners=self._population.owners(self._timeline.begun(chunk.events) + self._config.first_session),
            reasons=np.bincount(reasons, minlength=len(REASONS)),
        )

    def _pages(self, chunk: _Chunk, broken: pl.Series, sources: I64) -> Iterator[memoryview]:
        events, lines = np.concatenate([chunk.before, chunk.events]), laid_out(broken)
        done = 0
        for first in range(0, chunk.lines, PAGE):
            chosen = sources[first : first + PAGE]
            malformed = chosen >= len(events)
            fresh = int(np.count_nonzero(malformed))
            yield self._scribe.page(events[chosen[~malformed]], malformed, lines.part(done, done + fresh))
            done += fresh

    def _random(self, number: int) -> np.random.Generator:
        config = self._config
        return np.random.default_rng([config.seed, 3, config.variant, config.first_session, number])

    def _kinds(self, chunk: _Chunk, random: np.random.Generator) -> npt.NDArray[np.int8]:
        """For each line, whether it is an original, a duplicate or malformed."""
        originals = len(chunk.events)
        others = random.choice(chunk.lines, chunk.lines - originals, replace=False)
        kinds = np.full(chunk.lines, _ORIGINAL, dtype=np.int8)
        kinds[others] = _DUPLICATE
        kinds[others[: len(chunk.malformed)]] = _MALFORMED
        if self._last_malformed in chunk.malformed:
            _swap(kinds, chunk.lines - 1, int(np.argmax(kinds == _MALFORMED)))
        if originals and not len(chunk.before):
            # There is nothing yet to repeat.
            _swap(kinds, int(np.argmax(kinds != _MALFORMED)), int(np.argmax(kinds == _ORIGINAL)))
        return kinds

    def _reasons(self, chunk: _Chunk, random: np.random.Generator) -> I64:
        """The reasons of the malformed lines: each as often as any other, in random order."""
        reasons = random.permutation(np.arange(chunk.malformed.start, chunk.malformed.stop) % (len(REASONS) - 1))
        if self._last_malformed in chunk.malformed:
            reasons[-1] = REASONS.index(LAST_LINE)
        return reasons

    def _malformed(self, reasons: I64, random: np.random.Generator) -> pl.Series:
        """Malformed lines, made from records that may as well occur in the file: a reader must not count them."""
        if self._vandal is None:
            return pl.Series([], dtype=pl.Binary)
        events = random.integers(0, max(1, self._config.originals), len(reasons))
        return self._vandal.lines(self._scribe.fields(events), reasons, random)

    def _sources(self, chunk: _Chunk, kinds: npt.NDArray[np.int8], random: np.random.Generator) -> I64:
        """For each line, its place among the event before, the events and the malformed lines, in this order."""
        sound = len(chunk.before) + len(chunk.events)
        latest = len(chunk.before) + np.cumsum(kinds == _ORIGINAL) - 1
        sources = latest.copy()
        repeating, malformed = np.flatnonzero(kinds == _DUPLICATE), np.flatnonzero(kinds == _MALFORMED)
        sources[repeating] = self._repeated(latest[repeating], random)
        sources[malformed] = sound + np.arange(len(malformed))
        return sources

    def _repeated(self, latest: I64, random: np.random.Generator) -> I64:
        """Which event to repeat: soon after it, as when a client retries, or any earlier one in a shuffled file."""
        if self._config.shuffled:
            anywhere: I64 = random.integers(0, latest + 1)
            return anywhere
        return np.maximum(0, latest + 1 - random.geometric(0.05, len(latest)))  # type: ignore[no-any-return]


def _swap(kinds: npt.NDArray[np.int8], one: int, other: int) -> None:
    kinds[one], kinds[other] = kinds[other], kinds[one]


def painted(painter: Painter, chunks: Iterator[_Chunk]) -> Generator[Painted]:
    """Paint the chunks on several threads, a few ahead of the one that is handed out."""
    waiting: deque[Future[Painted]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for chunk in chunks:
            waiting.append(pool.submit(painter.paint, chunk))
            if len(waiting) > _THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
