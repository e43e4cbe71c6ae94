"""Converting the pending drops. Each drop is committed by its manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import NamedTuple, TypeVar

from uda_assets.basics.errors import DropBusy, DropRejected, DropUnreadable
from uda_assets.basics.progress import Advance, OnAdvance, Progress
from uda_assets.basics.settings import ErrorMode
from uda_assets.contract.advice import advice_about_records
from uda_assets.ingest.convert import CONVERTER_VERSION, Conversion, DropJob
from uda_assets.lake import DropManifest, Lake, Rejection, Stage
from uda_assets.pipeline.archive import restore_archived
from uda_assets.pipeline.arrivals import is_settled, note_examined
from uda_assets.pipeline.context import Run
from uda_assets.pipeline.rules import Rules
from uda_assets.pipeline.status import drop_ledger, pending, take_inventory

T = TypeVar("T")


@dataclass
class Work:
    """What a conversion cost, counted so that a change of the code cannot make it grow unseen.

    Attributes:
        drops: Drops that were read. A drop that changed meanwhile counts again.
        size: Bytes in them, decompressed.
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
    """What a run converted, rejected whole, and put off because it was just changing, and what that cost."""

    converted: list[DropManifest]
    rejected: dict[str, Rejection]
    put_off: dict[str, str]
    work: Work


def convert_pending(run: Run, *, settle_seconds: float = 0.0, progress: Progress | None = None) -> ConversionReport:
    """Convert the pending drops, the oldest first.

    Args:
        run: The run. Its ``max_drops_per_run`` bounds the number of drops; the rest stays pending.
        settle_seconds: Leave drops alone that changed more recently than this.
        progress: Shows how far the work is.

    Raises:
        MalformedRecord, DropRejected, DropBusy: In ``fail_fast`` mode, for the first fault.
    """
    lake, now = run.lake, time.time()
    inventory = take_inventory(lake, check_files=True)
    listed = inventory.listing.drops
    waiting = pending(drop_ledger(inventory, run.rules))
    restored = restore_archived(lake, [drop for drop in waiting if drop not in listed])
    if restored:
        # What arrived meanwhile was not looked at. It must not be noted as examined, and so is left out.
        listed = listed | {drop: seen for drop, seen in lake.raw.listing().drops.items() if drop in restored}
    ready = [
        drop
        for drop in waiting
        if drop in listed and (drop in restored or is_settled(listed[drop], settle_seconds, now))
    ]
    ready.sort(key=lambda drop: (listed[drop].modified, drop))
    chosen = ready[: run.settings.max_drops_per_run or None]
    if progress:
        progress.begin({drop: listed[drop].size for drop in chosen})
    report = convert_drops(run, chosen, progress.advance if progress else None)
    left = set(waiting).difference(chosen).union(report.put_off)
    note_examined(lake, run.rules, listed, left, converted=bool(report.converted))
    if report.converted:
        lake.converted.remember()
    return report


def convert_drops(run: Run, drops: Iterable[str], on_advance: OnAdvance | None = None) -> ConversionReport:
    """Convert and commit drops.

    In ``fail_fast`` mode nothing is committed unless every drop is without fault. In ``lenient`` mode each drop is
    committed when it is done. A drop that cannot be read, or is malformed beyond ``max_reject_ratio``, is entered in
    the ledger. A drop that vanishes or keeps changing stays pending.

    Raises:
        MalformedRecord, DropRejected, DropBusy: In ``fail_fast`` mode, for the first fault.
    """
    report = ConversionReport([], {}, {}, Work())
    waiting = list(drops)
    if not waiting:
        return report
    task = _Task(run, report.work, run.engine.drops_at_once(len(waiting)), on_advance)
    is_fail_fast = run.settings.error_mode is ErrorMode.FAIL_FAST
    for drop, outcome in (_convert_all_or_nothing if is_fail_fast else _convert_each)(task, waiting):
        if isinstance(outcome, DropManifest):
            report.converted.append(outcome)
        elif isinstance(outcome, DropBusy):
            report.put_off[drop] = str(outcome)
        else:
            report.rejected[drop] = outcome
    _update_ledger(run.lake, report)
    return report


_Outcome = DropManifest | Rejection | DropBusy


class _Task(NamedTuple):
    """What the conversion of any drop of a run needs."""

    run: Run
    work: Work
    at_once: int
    on_advance: OnAdvance | None


def _convert_each(task: _Task, drops: list[str]) -> Iterator[tuple[str, _Outcome]]:
    converted = task.run.lake.converted

    def convert_one(drop: str) -> tuple[str, _Outcome]:
        with converted.stage() as staged:
            try:
                outcome = _stage(task, drop, staged)
            except DropBusy as busy:
                return drop, busy
            if isinstance(outcome, DropManifest):
                converted.commit(staged, outcome)
            return drop, outcome

    yield from _side_by_side(convert_one, drops, task.at_once)


def _convert_all_or_nothing(task: _Task, drops: list[str]) -> Iterator[tuple[str, _Outcome]]:
    converted = task.run.lake.converted
    with ExitStack() as stages:
        staging = {drop: stages.enter_context(converted.stage()) for drop in drops}

        def convert_one(drop: str) -> tuple[str, DropManifest | Rejection]:
            return drop, _stage(task, drop, staging[drop])

        ready: list[tuple[Stage, DropManifest]] = []
        for drop, outcome in _side_by_side(convert_one, drops, task.at_once):
            if isinstance(outcome, Rejection):
                raise DropRejected(f"drop {drop!r}: {outcome.reason}: {outcome.advice}")
            ready.append((staging[drop], outcome))
        for staged, manifest in ready:
            converted.commit(staged, manifest)
            yield manifest.drop, manifest


def _side_by_side(function: Callable[[str], T], drops: list[str], at_once: int) -> Iterator[T]:
    """Yield the results in the order of the drops. After an error the rest is not begun."""
    with ThreadPoolExecutor(at_once, thread_name_prefix="uda-convert") as pool:
        futures = [pool.submit(function, drop) for drop in drops]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _stage(task: _Task, drop: str, staged: Stage) -> DropManifest | Rejection:
    """Convert a drop into a stage. A file that changes meanwhile is read again, whatever reading it gave.

    Raises:
        DropBusy: The file keeps changing, or has vanished.
    """
    raw = task.run.lake.raw
    for _ in range(3):
        version = raw.version(drop)
        try:
            outcome = _stage_version(task, drop, version.content, staged)
        except Exception:
            # Reading a file that shrinks can fail in any way.
            if raw.is_still(drop, version):
                raise
        else:
            if raw.is_still(drop, version):
                return outcome
    raise DropBusy(f"drop {drop!r} keeps changing while it is read; deliver it under a temporary name, then rename")


def _stage_version(task: _Task, drop: str, content: str, staged: Stage) -> DropManifest | Rejection:
    run = task.run
    rules, settings = run.rules, run.settings
    try:
        done = run.engine.convert(
            DropJob(
                run.lake.source(drop), drop, staged.outputs(drop), run.book.platforms_of(drop),
                dialect=run.book.suppliers.dialect_of(drop), bounds=rules.bounds,
                fail_fast=settings.error_mode is ErrorMode.FAIL_FAST,
                staged=staged.shared, scratch=staged.scratch, beside=task.at_once,
            ),
            task.on_advance,
        )  # fmt: skip
    except DropUnreadable as error:
        bound = rules.bounds.exceeded_by(error.reason)
        return _rejection(rules, drop, content, error.reason, error.advice, bound=bound)
    task.work.add(done)
    if task.on_advance:
        task.on_advance(Advance(drop, 1, 1, done.records))
    if done.reject_ratio > rules.max_reject_ratio:
        return _too_malformed(done, rules, drop, content)
    return _manifest(done, drop, content, rules)


def _manifest(done: Conversion, drop: str, content: str, rules: Rules) -> DropManifest:
    platforms = rules.book.platforms_of(drop)
    return DropManifest(
        drop=drop,
        content=content,
        fingerprint=rules.fingerprint(drop, content),
        dialect=rules.book.dialect_key(drop),
        is_marked=done.is_marked,
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


def _rejection(
    rules: Rules,
    drop: str,
    content: str,
    reason: str,
    advice: str,
    *,
    records: int = 0,
    quarantined: int = 0,
    bound: float | None = None,
) -> Rejection:
    return Rejection(
        content=content,
        fingerprint=rules.fingerprint(drop, content),
        reason=reason,
        advice=advice,
        rejected_at=datetime.now(UTC),
        max_reject_ratio=rules.max_reject_ratio,
        records=records,
        quarantined=quarantined,
        bound=bound,
    )


def _too_malformed(done: Conversion, rules: Rules, drop: str, content: str) -> Rejection:
    reason, count = done.reasons.most_common(1)[0]
    advice = (
        f"{done.quarantined} of {done.records} records are malformed ({done.reject_ratio:.0%}, at most "
        f"{rules.max_reject_ratio:.0%} may be), mostly {reason} ({count}); mend and deliver it again, or raise "
        "max_reject_ratio"
    )
    if further := advice_about_records(done.reasons):
        advice += f"; {further}"
    counts = {"records": done.records, "quarantined": done.quarantined}
    return _rejection(rules, drop, content, "too_many_malformed", advice, **counts)


def _update_ledger(lake: Lake, report: ConversionReport) -> None:
    ledger = lake.ledger.load()
    before = (dict(ledger.rejections), dict(ledger.forgotten))
    for manifest in report.converted:
        ledger.rejections.pop(manifest.drop, None)
        ledger.forgotten.pop(manifest.drop, None)
    ledger.rejections.update(report.rejected)
    if (ledger.rejections, ledger.forgotten) != before:
        lake.ledger.write(ledger)
