"""Converting all that is pending, drop by drop, each committed by its manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import NamedTuple, TypeVar

from uda_assets.basics.errors import DropBusy, DropRejected, DropUnreadable
from uda_assets.basics.progress import Advance, OnAdvance
from uda_assets.basics.settings import ErrorMode, Settings
from uda_assets.contract.platforms import Platforms
from uda_assets.engines import Engine, running
from uda_assets.ingest import bounds_of
from uda_assets.ingest.convert import CONVERTER_VERSION, Conversion
from uda_assets.ingest.parts import DropJob
from uda_assets.lake import DropManifest, Lake, Rejection, Stage
from uda_assets.pipeline.catalogue import fingerprint

T = TypeVar("T")


@dataclass
class Work:
    """What converting cost, counted: what a change of the code must not let grow unseen.

    Attributes:
        drops: Drops that were read; one that changed meanwhile counts again.
        size: Bytes in them, plain.
        bytes_read: Bytes of them that were read.
        rows_written: Rows in part files and quarantine.

    """

    drops: int = 0
    size: int = 0
    bytes_read: int = 0
    rows_written: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def passes(self) -> float:
        """How often each byte was read, on average."""
        return self.bytes_read / self.size if self.size else 0.0

    def add(self, done: Conversion) -> None:
        """Count a drop."""
        with self._lock:
            self.drops += 1
            self.size += done.size
            self.bytes_read += done.bytes_read
            self.rows_written += done.kept + done.quarantined


class ConversionReport(NamedTuple):
    """What a run converted, what it rejected whole, what it put off because it was just changing, and what it cost."""

    converted: list[DropManifest]
    rejected: dict[str, Rejection]
    put_off: dict[str, str]
    work: Work


def convert_drops(
    lake: Lake,
    drops: Iterable[str],
    platforms: Platforms,
    settings: Settings,
    on_drop: Callable[[str], None] | None = None,
    engine: Engine | None = None,
    on_advance: OnAdvance | None = None,
) -> ConversionReport:
    """Convert and commit drops by an engine, or by the one that the settings choose; the caller holds the lake's lock.

    With ``fail_fast`` nothing is committed unless every drop is without fault; otherwise each drop is committed as it
    is done, what cannot be read or is malformed beyond ``max_reject_ratio`` is entered in the ledger, and what vanishes
    or keeps changing meanwhile stays pending.

    Raises:
        MalformedRecord, DropRejected, DropBusy: In ``fail_fast`` mode, for the first fault.

    """
    run = _convert_all_or_nothing if settings.error_mode is ErrorMode.FAIL_FAST else _convert_each
    converted: list[DropManifest] = []
    rejected: dict[str, Rejection] = {}
    put_off: dict[str, str] = {}
    work, waiting = Work(), list(drops)
    if not waiting:
        return ConversionReport(converted, rejected, put_off, work)
    with running(engine, settings) as opened:
        task = _Task(lake, platforms, settings, work, opened, opened.drops_at_once(len(waiting)), on_advance)
        for drop, outcome in run(task, waiting):
            if isinstance(outcome, DropManifest):
                converted.append(outcome)
            elif isinstance(outcome, DropBusy):
                put_off[drop] = str(outcome)
            else:
                rejected[drop] = outcome
            if on_drop:
                on_drop(drop)
    _update_ledger(lake, converted, rejected)
    return ConversionReport(converted, rejected, put_off, work)


_Outcome = DropManifest | Rejection | DropBusy


class _Task(NamedTuple):
    """What converting any drop of a run needs."""

    lake: Lake
    platforms: Platforms
    settings: Settings
    work: Work
    engine: Engine
    at_once: int
    on_advance: OnAdvance | None


def _convert_each(task: _Task, drops: list[str]) -> Iterator[tuple[str, _Outcome]]:
    def one(drop: str) -> tuple[str, _Outcome]:
        with task.lake.stage() as staged:
            try:
                outcome = _stage(task, drop, staged)
            except DropBusy as busy:
                return drop, busy
            if isinstance(outcome, DropManifest):
                task.lake.commit_drop(staged, outcome)
            return drop, outcome

    yield from _side_by_side(one, drops, task.at_once)


def _convert_all_or_nothing(task: _Task, drops: list[str]) -> Iterator[tuple[str, _Outcome]]:
    with ExitStack() as stages:
        staging = {drop: stages.enter_context(task.lake.stage()) for drop in drops}

        def one(drop: str) -> tuple[str, DropManifest | Rejection]:
            return drop, _stage(task, drop, staging[drop])

        ready: list[tuple[Stage, DropManifest]] = []
        for drop, outcome in _side_by_side(one, drops, task.at_once):
            if isinstance(outcome, Rejection):
                raise DropRejected(f"drop {drop!r}: {outcome.reason}: {outcome.advice}")
            ready.append((staging[drop], outcome))
        for staged, manifest in ready:
            task.lake.commit_drop(staged, manifest)
            yield manifest.drop, manifest


def _side_by_side(work: Callable[[str], T], drops: list[str], at_once: int) -> Iterator[T]:
    """The results in the order of the drops; after an error the rest is not begun."""
    with ThreadPoolExecutor(at_once, thread_name_prefix="uda-convert") as pool:
        futures = [pool.submit(work, drop) for drop in drops]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _stage(task: _Task, drop: str, staged: Stage) -> DropManifest | Rejection:
    """Convert a drop below ``staged``; a file that changes meanwhile is read again, whatever reading it gave.

    Raises:
        DropBusy: It keeps changing, or has vanished.

    """
    for _ in range(3):
        version = task.lake.version(drop)
        try:
            outcome = _stage_version(task, drop, version.content, staged)
        except Exception:
            # Reading a file that shrinks can fail in any way.
            if task.lake.is_still(drop, version):
                raise
        else:
            if task.lake.is_still(drop, version):
                return outcome
    raise DropBusy(f"drop {drop!r} keeps changing while it is read; deliver it under a temporary name, then rename")


def _stage_version(task: _Task, drop: str, content: str, staged: Stage) -> DropManifest | Rejection:
    mark, settings = fingerprint(content, task.platforms), task.settings
    try:
        done = task.engine.convert(
            DropJob(
                task.lake.source(drop), drop, staged.outputs(drop), staged.shared, staged.scratch, task.platforms,
                fail_fast=settings.error_mode is ErrorMode.FAIL_FAST, beside=task.at_once,
                bounds=bounds_of(settings),
            ),
            task.on_advance,
        )  # fmt: skip
    except DropUnreadable as error:
        return _rejection(content, mark, settings, error.reason, error.advice)
    task.work.add(done)
    if task.on_advance:
        task.on_advance(Advance(drop, 1, 1, done.records))
    if done.reject_ratio > settings.max_reject_ratio:
        return _too_malformed(done, content, mark, settings)
    return _manifest(done, drop, content, mark, task.platforms)


def _manifest(done: Conversion, drop: str, content: str, mark: str, platforms: Platforms) -> DropManifest:
    return DropManifest(
        drop=drop,
        content=content,
        fingerprint=mark,
        converter_version=CONVERTER_VERSION,
        records=done.records,
        kept=done.kept,
        quarantined=done.quarantined,
        reasons=dict(sorted(done.reasons.items())),
        files=done.files,
        checksums=dict(sorted(done.checksums.items())),
        spellings=None if done.spellings is None else dict(sorted(done.spellings.items())),
        meanings={spelling: platforms.resolve(spelling) for spelling in sorted(done.spellings or ())},
        converted_at=datetime.now(UTC),
    )


def _rejection(content: str, mark: str, settings: Settings, reason: str, advice: str) -> Rejection:
    return Rejection(
        content=content,
        fingerprint=mark,
        reason=reason,
        advice=advice,
        rejected_at=datetime.now(UTC),
        max_reject_ratio=settings.max_reject_ratio,
        bound=bounds_of(settings).of_reason(reason),
    )


def _too_malformed(done: Conversion, content: str, mark: str, settings: Settings) -> Rejection:
    reason, count = done.reasons.most_common(1)[0]
    return Rejection(
        content=content,
        fingerprint=mark,
        reason="too_many_malformed",
        advice=(
            f"{done.quarantined} of {done.records} records are malformed ({done.reject_ratio:.0%}, at most "
            f"{settings.max_reject_ratio:.0%} may be), mostly {reason} ({count}); mend and deliver it again, or raise "
            "max_reject_ratio"
        ),
        rejected_at=datetime.now(UTC),
        max_reject_ratio=settings.max_reject_ratio,
        records=done.records,
        quarantined=done.quarantined,
    )


def _update_ledger(lake: Lake, converted: list[DropManifest], rejected: dict[str, Rejection]) -> None:
    ledger = lake.ledger()
    before = (dict(ledger.rejections), dict(ledger.forgotten))
    for manifest in converted:
        ledger.rejections.pop(manifest.drop, None)
        ledger.forgotten.pop(manifest.drop, None)
    ledger.rejections.update(rejected)
    if (ledger.rejections, ledger.forgotten) != before:
        lake.write_ledger(ledger)
