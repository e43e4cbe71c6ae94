"""A run on a bucket costs few requests: each of them takes time, and most storages charge for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple

import dagster as dg
import pytest

from uda_assets_tests.storage.root import RESULT, Root, counting, environment
from uda_assets_tests.support.chain import HEADER, record
from uda_assets_tests.support.definitions import defs

DROPS = 20
MOST_PER_DROP = 15
"""Requests of a first run, for each drop. A drop has eight objects or so to put."""
MOST_WHEN_IDLE = 40
"""Requests of a run that finds nothing to do, for its four steps and their checks together."""


class Cost(NamedTuple):
    """The requests of a run by their methods, and of each of its steps."""

    by_method: Counter[str]
    by_step: dict[str, Counter[str]]

    @property
    def total(self) -> int:
        return self.by_method.total()

    def __str__(self) -> str:
        steps = [f"  {step}: {found.total()} {dict(found)}" for step, found in self.by_step.items()]
        return "\n".join([f"{self.total} requests: {dict(self.by_method)}", *steps])


def run(instance: dg.DagsterInstance) -> Cost:
    """Run the job in this process. Its steps follow each other, so that the time of a request tells its step."""
    with counting() as requests:
        result = defs.resolve_job_def("leaderboard_job").execute_in_process(instance=instance)
    assert result.success
    started: list[tuple[float, str]] = [
        (entry.timestamp, str(entry.step_key))
        for entry in instance.all_logs(result.run_id, of_type=dg.DagsterEventType.STEP_START)
    ]
    by_step: dict[str, Counter[str]] = defaultdict(Counter)
    for request in requests:
        before = [step for at, step in started if at <= request.at]
        by_step[before[-1] if before else "before the first step"][request.method] += 1
    return Cost(Counter(request.method for request in requests), dict(by_step))


def test_a_first_run_and_an_idle_run_make_few_requests(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UDA_S3_ENDPOINT", "UDA_DATA_ROOT", "UDA_THREADS"):
        monkeypatch.setenv(name, environment(root)[name])
    for number in range(DROPS):
        root.deliver(f"{number:02}.csv", HEADER + record(f"s{number}") + record(f"s{number}", "web") + "broken\n")
    with dg.DagsterInstance.ephemeral() as instance:
        first = run(instance)
        published = root.read(RESULT)
        idle = run(instance)
    assert f"iOS,u1,{DROPS}\n".encode() in published
    assert root.read(RESULT) == published
    assert first.total <= MOST_PER_DROP * DROPS, f"the first run: {first}"
    assert idle.total <= MOST_WHEN_IDLE, f"the idle run: {idle}"
