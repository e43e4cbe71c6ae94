"""Removes old runs from Dagster's history, which would otherwise keep each run for ever."""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import dagster as dg

from uda_assets.defs.resources import LakeResource

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
BATCH = 100
"""The most runs that a tick removes. That takes a few seconds, for which the other sensors wait."""
_NEWEST = 3
"""The number of latest runs that are kept of each job. The drop sensor counts its attempts by them."""


@dg.sensor(
    description="Removes finished runs older than UDA_KEEP_RUNS_DAYS, except those that show the state of assets.",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def retention_sensor(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SkipReason:
    """Remove some of the runs that ended too long ago. The sensor starts no run; its skip reason says what it did."""
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
    """Remove a run and everything that was kept of it.

    `DagsterInstance.delete_run` leaves the output of the run, and with SQLite the run's own database of events. The
    record of the run is removed last, so that an interrupted removal is repeated.
    """
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    events = instance.event_log_storage
    # Only the storage that keeps a SQLite database for each run has this method.
    path_for_shard = getattr(events, "path_for_shard", None)
    database = Path(path_for_shard(run_id)) if path_for_shard else None
    if database is None:
        events.delete_events(run_id)
    elif database.exists():  # Otherwise an earlier attempt removed it already.
        events.delete_events(run_id)
        for suffix in ("-wal", "-shm", ""):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
    instance.run_storage.delete_run(run_id)


def _ended_before(instance: dg.DagsterInstance, job: str, moment: datetime) -> list[str]:
    """Return the ids of finished runs of a job, the oldest first."""
    found = instance.get_run_ids(dg.RunsFilter(job_name=job, statuses=_ENDED, updated_before=moment))
    return list(reversed(found))


def _is_of(instance: dg.DagsterInstance, run_id: str, location: str | None) -> bool:
    """Return whether a code location started a run. A run without a code location, started by hand, counts as ours."""
    run = instance.get_run_by_id(run_id)
    origin = run.remote_job_origin if run else None
    return origin is None or origin.location_name == location


def _needed(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition, jobs: list[str]) -> Iterator[str]:
    """Yield the runs from which the UI tells the state of assets, partitions, checks and jobs."""
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
    """Yield the run of each partition's latest materialization."""
    latest = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION)
    if latest:
        which = dg.AssetRecordsFilter(asset_key=asset, storage_ids=list(latest.values()))
        yield from (record.run_id for record in instance.fetch_materializations(which, limit=len(latest)).records)


def kept_since(now: datetime, days: float) -> datetime | None:
    """Return the moment since which finished runs are kept, or None to keep all (0 days, or beyond the calendar)."""
    try:
        return now - timedelta(days=days) if days else None
    except OverflowError:
        return None


def removable(ended: Iterable[str], needed: Collection[str], is_ours: Callable[[str], bool], limit: int) -> list[str]:
    """Return the runs to remove now.

    Args:
        ended: Ids of finished runs that are old enough, in the order in which to remove them.
        needed: Ids of runs that show the state of an asset, a check or a job.
        is_ours: Whether a run belongs to this project. It is asked only about runs that would be removed.
        limit: The most runs to return.
    """
    return list(islice((run for run in ended if run not in needed and is_ours(run)), limit))
