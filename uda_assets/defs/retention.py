"""The history of runs, bounded: Dagster itself keeps each run for ever, with a database and printed lines."""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import dagster as dg

from uda_assets.defs.resources import LakeResource

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
BATCH = 100
"""Runs that a tick removes, at most: a few seconds of work, for which the other sensors wait."""
_NEWEST = 3
"""Of each job, these stay: by as many the drop sensor knows that trying the same drops again is no use."""


@dg.sensor(
    description="Removes finished runs older than UDA_KEEP_RUNS_DAYS, except those that the assets' state is told by.",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def retention_sensor(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SkipReason:
    """Remove some of the runs that ended too long ago; it starts none, and says what it did as the reason."""
    since = kept_since(datetime.now(UTC), lake.settings().keep_runs_days)
    if since is None:
        return dg.SkipReason("all runs are kept: UDA_KEEP_RUNS_DAYS is 0")
    repository, instance = context.repository_def, context.instance
    assert repository is not None, "the daemon gives it"
    location = context.code_location_origin.location_name if context.code_location_origin else None
    jobs = [job.name for job in repository.get_all_jobs()]
    ended = [run for job in jobs for run in _ended_before(instance, job, since)]
    needed = set(_needed(instance, repository, jobs)) if ended else set()
    removed = removable(ended, needed, lambda run: _is_of(instance, run, location), BATCH)
    for run in removed:
        remove_run(instance, run)
    return dg.SkipReason(f"{len(removed)} runs that ended before {since:%Y-%m-%d %H:%M} UTC were removed")


def remove_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove a run and all that was kept of it.

    `DagsterInstance.delete_run` leaves what the run printed, and with SQLite the run's own database of events. The
    run's record goes last, so that what dies in between is done again.
    """
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    events = instance.event_log_storage
    # Only the storage that keeps a SQLite database for each run has this method.
    path_for_shard = getattr(events, "path_for_shard", None)
    database = Path(path_for_shard(run_id)) if path_for_shard else None
    if database is None:
        events.delete_events(run_id)
    elif database.exists():  # else an earlier attempt got beyond it, and the storage would miss its tables
        events.delete_events(run_id)
        for suffix in ("-wal", "-shm", ""):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
    instance.run_storage.delete_run(run_id)


def _ended_before(instance: dg.DagsterInstance, job: str, moment: datetime) -> list[str]:
    """Finished runs of a job, the oldest first."""
    found = instance.get_run_ids(dg.RunsFilter(job_name=job, statuses=_ENDED, updated_before=moment))
    return list(reversed(found))


def _is_of(instance: dg.DagsterInstance, run_id: str, location: str | None) -> bool:
    """Whether a run was started by a code location; one that was started without any, by hand, is taken for ours."""
    run = instance.get_run_by_id(run_id)
    origin = run.remote_job_origin if run else None
    return origin is None or origin.location_name == location


def _needed(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition, jobs: list[str]) -> Iterator[str]:
    """Runs by which the page tells how assets, their partitions, checks and jobs are."""
    for job in jobs:
        yield from instance.get_run_ids(dg.RunsFilter(job_name=job), limit=_NEWEST)
    graph = repository.asset_graph
    for record in instance.get_asset_records(list(graph.get_all_asset_keys())):
        entry = record.asset_entry
        if entry.last_run_id:
            yield entry.last_run_id
        if entry.last_materialization_record:
            yield entry.last_materialization_record.run_id
        yield from _of_partitions(instance, entry.asset_key)
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys))
    yield from (execution.run_id for execution in checks.values())


def _of_partitions(instance: dg.DagsterInstance, asset: dg.AssetKey) -> Iterator[str]:
    """The run of each partition's latest materialization."""
    latest = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION)
    if latest:
        which = dg.AssetRecordsFilter(asset_key=asset, storage_ids=list(latest.values()))
        yield from (record.run_id for record in instance.fetch_materializations(which, limit=len(latest)).records)


def kept_since(now: datetime, days: float) -> datetime | None:
    """The moment from which on finished runs are kept; None for 0 days, or more than the calendar has: all are."""
    try:
        return now - timedelta(days=days) if days else None
    except OverflowError:
        return None


def removable(ended: Iterable[str], needed: Collection[str], is_ours: Callable[[str], bool], limit: int) -> list[str]:
    """The runs to remove now: of those that are past their time, at most ``limit`` to which nothing refers.

    Args:
        ended: Ids of finished runs that are past their time, in the order in which they should go.
        needed: Ids of runs that the state of an asset, a check or a job is told by.
        is_ours: Whether a run is one of this project's; asked only of those that would go.
        limit: So many are enough for once.

    """
    return list(islice((run for run in ended if run not in needed and is_ours(run)), limit))
