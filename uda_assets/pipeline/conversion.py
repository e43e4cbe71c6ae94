"""Converting the pending drops, several at once, and committing them in batches."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from uda_assets.basics.errors import DropBusy, DropRejected, DropUnreadable
from uda_assets.basics.progress import Advance, OnAdvance, Progress
from uda_assets.basics.settings import ErrorMode
from uda_assets.contract.advice import advice_about_records
from uda_assets.ingest.convert import CONVERTER_VERSION, Conversion, DropJob
from uda_assets.lake import DropManifest, Rejection, Stage, StagedDrop, Version
from uda_assets.pipeline.archive import restore_archived
from uda_assets.pipeline.batch import Batch, ConversionReport, Converted, Outcome, Rejected, Work
from uda_assets.pipeline.context import Run
from uda_assets.pipeline.rules import Rules
from uda_assets.pipeline.status import drop_ledger, is_settled, pending, take_inventory
from uda_assets.storage import storage_fault


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
    to_convert = pending(drop_ledger(inventory, run.rules))
    if inventory.is_news:
        lake.commit(inventory.state)
    restored = restore_archived(lake, [drop for drop in to_convert if drop not in listed])
    if restored:
        listed = listed | {drop: seen for drop, seen in lake.raw.listing().drops.items() if drop in restored}
    ready = [
        drop
        for drop in to_convert
        if drop in listed and (drop in restored or is_settled(listed[drop], settle_seconds, now))
    ]
    ready.sort(key=lambda drop: (listed[drop].modified, drop))
    chosen = ready[: run.settings.max_drops_per_run or None]
    if progress:
        progress.begin({drop: listed[drop].size for drop in chosen})
    report = convert_drops(run, chosen, progress.advance if progress else None)
    return report._replace(listing=inventory.listing)


def convert_drops(run: Run, drops: Iterable[str], on_advance: OnAdvance | None = None) -> ConversionReport:
    """Convert and commit drops.

    In ``fail_fast`` mode nothing is committed unless every drop is without fault. In ``lenient`` mode drops are
    committed soon after they are done, so that a kill costs the work of a few seconds. A drop that cannot be read, or
    is malformed beyond ``max_reject_ratio``, is noted as rejected. One that vanishes or keeps changing stays pending.

    Raises:
        MalformedRecord, DropRejected, DropBusy: In ``fail_fast`` mode, for the first fault.
    """
    report = ConversionReport([], {}, {}, Work())
    names = list(drops)
    if not names:
        return report
    with run.lake.stage() as stage:
        task = _Task(run, stage, report.work, run.engine.drops_at_once(len(names)), on_advance)
        batch = Batch(run.lake, report)
        if run.settings.error_mode is ErrorMode.FAIL_FAST:
            _convert_all_or_nothing(task, names, batch)
        else:
            _convert_each(task, names, batch)
    order = {drop: number for number, drop in enumerate(names)}
    report.converted.sort(key=lambda manifest: order[manifest.drop])
    return report


class _Task(NamedTuple):
    """What the conversion of any drop of a run needs."""

    run: Run
    stage: Stage
    work: Work
    at_once: int
    on_advance: OnAdvance | None


def _convert_each(task: _Task, drops: list[str], batch: Batch) -> None:
    """Convert drops and commit them in batches, also those that are done when an error stops the others."""

    def convert_one(drop: str) -> tuple[str, Outcome]:
        try:
            return drop, _convert(task, drop)
        except DropBusy as busy:
            return drop, busy

    with ThreadPoolExecutor(task.at_once, thread_name_prefix="uda-convert") as pool:
        done: SimpleQueue[Future[tuple[str, Outcome]]] = SimpleQueue()
        futures = [pool.submit(convert_one, drop) for drop in drops]
        for future in futures:
            future.add_done_callback(done.put)
        try:
            left = len(drops)
            while left:
                with suppress(Empty):
                    batch.add(*done.get(timeout=batch.seconds_left).result())
                    left -= 1
                if batch.seconds_left == 0.0:
                    batch.commit()
        except Exception as error:
            _cancel(futures)
            if not storage_fault(error):
                batch.commit()
            raise
        finally:
            _cancel(futures)
    batch.commit()


def _convert_all_or_nothing(task: _Task, drops: list[str], batch: Batch) -> None:
    """Convert drops, and commit them in one step. The first fault of them, in their order, stops all."""
    with ThreadPoolExecutor(task.at_once, thread_name_prefix="uda-convert") as pool:
        futures = {pool.submit(_convert, task, drop): drop for drop in drops}
        try:
            for future, drop in futures.items():
                outcome = future.result()
                if isinstance(outcome, Rejected):
                    raise DropRejected(f"drop {drop!r}: {outcome.rejection.reason}: {outcome.rejection.advice}")
                batch.add(drop, outcome)
        finally:
            _cancel(futures)
    batch.commit()


def _cancel(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        future.cancel()


def _convert(task: _Task, drop: str) -> Converted | Rejected:
    """Convert a drop, up to its commit. A file that changes meanwhile is read again, whatever reading it gave.

    Raises:
        DropBusy: The file keeps changing, or has vanished.
    """
    raw, staged = task.run.lake.raw, task.run.lake.staged(task.stage, drop)
    version = task.run.lake.state().raw.get(drop)
    for _ in range(3):
        # In a bucket it was listed a moment ago, and whether it is still the same is asked below.
        if version is None or version.racy or not task.run.lake.files.remote:
            version = raw.version(drop, version)
        try:
            outcome = _convert_version(task, drop, version.content, staged)
        except Exception as error:
            # Reading a file that shrinks can fail in any way.
            if storage_fault(error) or raw.still(drop, version):
                raise
        else:
            if read := version if _is_of(version, outcome) else raw.still(drop, version):
                return _outcome_of(outcome, read, staged)
        version = None
    staged.discard()
    raise DropBusy(f"drop {drop!r} keeps changing while it is read; deliver it under a temporary name, then rename")


def _is_of(version: Version, outcome: tuple[DropManifest, Conversion] | Rejection) -> bool:
    """Return whether what was read is known to be this version of an object in a bucket."""
    return not isinstance(outcome, Rejection) and outcome[1].identity == version.signature.identity


def _outcome_of(
    outcome: tuple[DropManifest, Conversion] | Rejection, version: Version, staged: StagedDrop
) -> Converted | Rejected:
    if isinstance(outcome, Rejection):
        staged.discard()
        return Rejected(outcome, version)
    return Converted(*outcome, version, staged)


def _convert_version(
    task: _Task, drop: str, content: str, staged: StagedDrop
) -> tuple[DropManifest, Conversion] | Rejection:
    run = task.run
    rules, settings = run.rules, run.settings
    try:
        done = run.engine.convert(
            DropJob(
                run.lake.source(drop), drop, staged.outputs(), run.book.platforms_of(drop),
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
    return _manifest(done, drop, content, rules), done


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
