"""The jobs, and what starts them: the sensor for new drops, and the schedules."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from uda_assets.basics.settings import ErrorMode, Settings
from uda_assets.basics.visible import visibly
from uda_assets.defs.common import DEFAULTS, moment_text
from uda_assets.defs.resources import LakeResource, readable_failures
from uda_assets.pipeline.status import Waiting, waiting

PENDING_TAG = "uda/pending"
"""The tag that holds the key of the pending set for which a run was started."""
_ROOT = {"uda/data_root": DEFAULTS.data_root}
"""The tag that tells the runs of this code location from those of another one, with another data root."""

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_BY_HAND = "__ASSET_JOB"
"""Dagster's own job for assets that a user selects in the UI."""
_CHAIN = {
    dg.AssetKey(name)
    for name in ("raw_csv", "platform_parquet", "deduped_sessions", "top_n_by_platform", "leaderboard_report")
}
_ATTEMPTS = 3
_NAMES_SHOWN = 20


def example_config(settings: Settings) -> dict[str, Any]:
    """Return the run config of ``leaderboard_job`` with which the launchpad begins. It also shows the defaults."""
    engine = settings.engine.value
    conversion = {
        "engine": engine,
        "error_mode": settings.error_mode.value,
        "max_reject_ratio": settings.max_reject_ratio,
        "max_drops_per_run": settings.max_drops_per_run,
    }
    window = {"since": moment_text(settings.since), "until": moment_text(settings.until)}
    return _config_of(
        platform_parquet=conversion,
        deduped_sessions={"engine": engine},
        top_n_by_platform={"engine": engine, "n": settings.n, **window},
    )


def _config_of(**assets: dict[str, Any]) -> dict[str, Any]:
    return {"ops": {name: {"config": config} for name, config in assets.items()}}


leaderboard_job = dg.define_asset_job(
    "leaderboard_job",
    selection=dg.AssetSelection.assets("leaderboard_report").upstream(),
    config=example_config(DEFAULTS),
    description="Makes the leaderboard and its report from the drops below `datasets/`. Sensor and schedule start it. "
    "The launchpad begins with the settings in force: edit `n`, `since` and `until` for another leaderboard, or set "
    "`error_mode` to `fail_fast` to stop at the first malformed record.",
    tags=_ROOT,
    # A process for each step would cost more than the steps of most runs.
    executor_def=dg.in_process_executor,
)

daily_leaderboard_job = dg.define_asset_job(
    "daily_leaderboard_job",
    selection=dg.AssetSelection.assets("daily_top_n_by_platform"),
    config=_config_of(daily_top_n_by_platform={"n": DEFAULTS.n}),
    description="Makes the leaderboards of single days from the merged sessions. Any range of days is one run.",
    executor_def=dg.in_process_executor,
)


@dg.sensor(
    job=leaderboard_job,
    description="Starts one run for all new and changed drops, and for those that changed rules affect.",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def drop_sensor(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.RunRequest | dg.SkipReason:
    """Request one run for all drops that are new, changed or affected by changed rules. It only lists directories.

    A set of drops is requested once. If that run failed because of them (`fail_fast`), nothing happens until a drop
    changes. If it failed for another reason, also after converting and before publishing, it is tried again twice.
    """
    return _request(context.instance, lake)


@dg.schedule(
    job=leaderboard_job,
    description="Starts a run for drops that a stopped sensor missed. It skips when nothing is pending.",
    cron_schedule=DEFAULTS.schedule,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def leaderboard_schedule(context: dg.ScheduleEvaluationContext, lake: LakeResource) -> dg.RunRequest | dg.SkipReason:
    """Request a run for drops that a stopped sensor missed, unless a run is under way."""
    request = _request(context.instance, lake)
    if isinstance(request, dg.RunRequest):
        # Dagster knows the run of a schedule by its tick, so that it needs no run key.
        return dg.RunRequest(tags=request.tags, run_config=request.run_config)
    return request


daily_leaderboard_schedule = dg.build_schedule_from_partitioned_job(
    daily_leaderboard_job,
    name="daily_leaderboard_schedule",
    description="Makes the leaderboard of the day before, soon after midnight UTC.",
    hour_of_day=0,
    minute_of_hour=30,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


def _request(instance: dg.DagsterInstance, lake: LakeResource) -> dg.RunRequest | dg.SkipReason:
    # Runs are looked up first. What a run does that ends in between is then seen in the listing.
    running = _under_way(instance)
    with readable_failures():
        settings = lake.settings()
        found = waiting(settings)
    if not found.pending and not found.unpublished:
        unsettled = f"; {len(found.unsettled)} are still changing" if found.unsettled else ""
        problem = f": {found.problem}" if found.problem else ""
        return dg.SkipReason(f"no drops are pending{unsettled}{problem}")
    if running:
        return dg.SkipReason(f"run {running.run_id} is under way; {_what(found)} can wait for the next one")
    earlier = instance.get_runs(dg.RunsFilter(tags=_ROOT | {PENDING_TAG: found.key}), limit=_ATTEMPTS)
    if earlier and settings.error_mode is ErrorMode.FAIL_FAST and _conversion_failed(instance, earlier[0]):
        return dg.SkipReason(f"run {earlier[0].run_id} stopped at one of these drops; mend it and deliver it again")
    if len(earlier) >= _ATTEMPTS:
        return dg.SkipReason(
            f"{_ATTEMPTS} runs for {_what(found)} failed, the last of them {earlier[0].run_id}; read its failure, "
            "then materialize by hand"
        )
    # A drop that begins to change again after this tick stays pending in the run.
    config = _config_of(platform_parquet={"settle_seconds": settings.settle_seconds})
    return dg.RunRequest(run_key=f"{found.key}-{len(earlier)}", tags=_tags(found, len(earlier)), run_config=config)


def _under_way(instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    """Return a run of the chain that is under way, by the job or by assets that a user selected."""
    ours = instance.get_runs(dg.RunsFilter(job_name="leaderboard_job", tags=_ROOT, statuses=_UNDER_WAY), limit=1)
    if ours:
        return ours[0]
    by_hand = instance.get_runs(dg.RunsFilter(job_name=_BY_HAND, statuses=_UNDER_WAY))
    return next((run for run in by_hand if _CHAIN & (run.asset_selection or set())), None)


def _what(found: Waiting) -> str:
    return f"{len(found.pending)} drops" if found.pending else "unpublished drops"


def _conversion_failed(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Return whether a run stopped at a drop. One that was killed, or failed elsewhere, is worth another attempt."""
    failures = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    return any(failure.dagster_event and failure.dagster_event.step_key == "platform_parquet" for failure in failures)


def _tags(found: Waiting, attempt: int) -> dict[str, str]:
    tags = _ROOT | {
        PENDING_TAG: found.key,
        "uda/drops": str(len(found.pending)),
        "uda/drop_names": _names(found.pending),
    }
    if found.is_changed_by_rules:
        tags["uda/because"] = "rules changed"
    elif not found.pending:
        tags["uda/because"] = "an earlier run did not publish"
    return tags | ({"uda/attempt": str(attempt + 1)} if attempt else {})


def _names(drops: Sequence[str]) -> str:
    shown = visibly(", ".join(drops[:_NAMES_SHOWN]))
    return shown if len(drops) <= _NAMES_SHOWN else f"{shown} and {len(drops) - _NAMES_SHOWN} more"
