"""Jobs, and what starts them by itself: the sensor for new drops, the schedules that catch what it missed."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from uda_assets.basics.settings import ErrorMode, Settings
from uda_assets.basics.visible import visibly
from uda_assets.defs.common import DEFAULTS, moment_text
from uda_assets.defs.resources import LakeResource, readable_failures
from uda_assets.pipeline.arrivals import Arrivals, arrivals

PENDING_TAG = "uda/pending"
"""Which pending set a run was started for."""

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_BY_HAND = "__ASSET_JOB"
"""Dagster's own job, for assets that are chosen in the UI."""
_CHAIN = {
    dg.AssetKey(name)
    for name in ("raw_csv", "platform_parquet", "deduped_sessions", "top_n_by_platform", "leaderboard_report")
}
_ATTEMPTS = 3
_NAMES_SHOWN = 20


def example_config(settings: Settings) -> dict[str, Any]:
    """Run config of ``leaderboard_job`` that the launchpad begins with; it says what silence would mean, too."""
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
    description="From the drops that are there to the leaderboard and its report: what sensor and schedule start. The "
    "launchpad begins with the settings in force: edit `n`, `since` and `until` for another leaderboard, or set "
    "`error_mode` to `fail_fast` to stop at the first malformed record.",
    # A process a step costs more than the steps of most runs.
    executor_def=dg.in_process_executor,
)

daily_leaderboard_job = dg.define_asset_job(
    "daily_leaderboard_job",
    selection=dg.AssetSelection.assets("daily_top_n_by_platform"),
    config=_config_of(daily_top_n_by_platform={"n": DEFAULTS.n}),
    description="The leaderboards of single days, from the sessions that are there; any range of days is one run.",
    executor_def=dg.in_process_executor,
)


@dg.sensor(
    job=leaderboard_job,
    description="One run for all drops that are new, changed or affected by changed rules; lists directories only.",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def drop_sensor(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run for all drops that are new, changed or affected by changed rules; lists directories only.

    A set of drops is asked for once. Where that run failed because of them (`fail_fast`), nothing happens until a drop
    changes; where it failed otherwise, before it had published what it converted too, it is tried again a few times.
    """
    return _request(context.instance, lake)


@dg.schedule(
    job=leaderboard_job,
    description="Catches what a stopped sensor missed; skips when nothing is pending.",
    cron_schedule=DEFAULTS.schedule,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def leaderboard_schedule(context: dg.ScheduleEvaluationContext, lake: LakeResource) -> dg.RunRequest | dg.SkipReason:
    """Catch what a stopped sensor missed: a run, unless nothing is pending or a run is under way."""
    request = _request(context.instance, lake)
    if isinstance(request, dg.RunRequest):
        # Without a run key of its own, a schedule's run is known by its tick.
        return dg.RunRequest(tags=request.tags, run_config=request.run_config)
    return request


daily_leaderboard_schedule = dg.build_schedule_from_partitioned_job(
    daily_leaderboard_job,
    name="daily_leaderboard_schedule",
    description="The leaderboard of the day before, soon after midnight UTC.",
    hour_of_day=0,
    minute_of_hour=30,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


def _request(instance: dg.DagsterInstance, lake: LakeResource) -> dg.RunRequest | dg.SkipReason:
    # First, so that what a run does that ends meanwhile is seen to be done.
    running = _under_way(instance)
    with readable_failures():
        settings = lake.settings()
        found = arrivals(settings)
    if not found.pending and not found.unpublished:
        waiting = f"; {len(found.unsettled)} are still changing" if found.unsettled else ""
        return dg.SkipReason(f"no drops are pending{waiting}")
    if running:
        return dg.SkipReason(f"run {running.run_id} is under way; {_what(found)} may wait for the next one")
    earlier = instance.get_runs(dg.RunsFilter(tags={PENDING_TAG: found.key}), limit=_ATTEMPTS)
    if earlier and settings.error_mode is ErrorMode.FAIL_FAST and _conversion_failed(instance, earlier[0]):
        return dg.SkipReason(f"run {earlier[0].run_id} stopped at one of these drops; mend it and deliver it again")
    if len(earlier) >= _ATTEMPTS:
        return dg.SkipReason(
            f"{_ATTEMPTS} runs for {_what(found)} did not get it done, the last is {earlier[0].run_id}; see why there, "
            "then materialize by hand"
        )
    # A drop that began to change again after this tick waits in the run, too.
    config = _config_of(platform_parquet={"settle_seconds": settings.settle_seconds})
    return dg.RunRequest(run_key=f"{found.key}-{len(earlier)}", tags=_tags(found, len(earlier)), run_config=config)


def _under_way(instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    """A run of the chain, by the job or of assets chosen by hand, which holds the lock of the data root at times."""
    ours = instance.get_runs(dg.RunsFilter(job_name="leaderboard_job", statuses=_UNDER_WAY), limit=1)
    if ours:
        return ours[0]
    by_hand = instance.get_runs(dg.RunsFilter(job_name=_BY_HAND, statuses=_UNDER_WAY))
    return next((run for run in by_hand if _CHAIN & (run.asset_selection or set())), None)


def _what(found: Arrivals) -> str:
    return f"{len(found.pending)} drops" if found.pending else "what is not yet published"


def _conversion_failed(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run stopped at a drop; one that was killed, or failed elsewhere, is worth trying again."""
    failures = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    return any(failure.dagster_event and failure.dagster_event.step_key == "platform_parquet" for failure in failures)


def _tags(found: Arrivals, attempt: int) -> dict[str, str]:
    tags = {PENDING_TAG: found.key, "uda/drops": str(len(found.pending)), "uda/drop_names": _names(found.pending)}
    if found.rules_changed:
        tags["uda/because"] = "rules changed"
    elif not found.pending:
        tags["uda/because"] = "an earlier run did not publish"
    return tags | ({"uda/attempt": str(attempt + 1)} if attempt else {})


def _names(drops: Sequence[str]) -> str:
    shown = visibly(", ".join(drops[:_NAMES_SHOWN]))
    return shown if len(drops) <= _NAMES_SHOWN else f"{shown} and {len(drops) - _NAMES_SHOWN} more"
