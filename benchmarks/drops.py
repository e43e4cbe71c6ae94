"""What many drops cost: a thousand that wait, and ten thousand that are done with: one run, one table each.

    uv run python -m benchmarks.drops --drops 1000 --records 1000 --committed 10000

Every tick of the sensor and every run of `leaderboard_job` (all its assets and checks, in one process, an ephemeral
instance) has a process of its own, as with Dagster's daemon: what an earlier one kept in memory helps nobody. Seconds
of a step are from its first event to its last, so that they contain what Dagster does around our work; the rest of a
run is Dagster's own. Each run's Result CSV must hold what was put into the drops.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from uda_assets.definitions import defs
from uda_assets.defs.automation import drop_sensor
from uda_assets.defs.resources import LakeResource
from uda_assets.synthetic import SupplierConfig, supply

_HEADER = "user_id,session_id,platform,activity_time,activity_type\n"
_PLATFORMS = ("iOS", "Android", "Web")
_RESULT = "results/Result_top_n_by_platform.csv"


class Run(NamedTuple):
    """Seconds of a run: of each of its steps, and from start to end."""

    steps: dict[str, float]
    total: float


# -- in a process of its own -----------------------------------------------------------------------------------------


def tick() -> dict[str, Any]:
    """Five evaluations of the sensor: the median of their seconds, and what it asks for each time."""
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, resources={"lake": LakeResource()}) as context,
    ):
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            asked = drop_sensor(context)
            taken.append(time.perf_counter() - began)
    seconds = statistics.median(taken)
    if isinstance(asked, dg.RunRequest):
        return {"seconds": seconds, "drops": int(asked.tags["uda/drops"]), "config": asked.run_config}
    return {"seconds": seconds, "drops": 0, "config": {}}


def run(config: str) -> dict[str, Any]:
    """One run of the job; all must succeed and all checks must pass."""
    job = defs().resolve_job_def("leaderboard_job")
    with dg.DagsterInstance.ephemeral() as instance:
        began = time.perf_counter()
        done = job.execute_in_process(run_config=json.loads(config), instance=instance)
        total = time.perf_counter() - began
        failed = [check.check_name for check in done.get_asset_check_evaluations() if not check.passed]
        assert not failed or failed == ["platforms_known"], failed
        stats = instance.get_run_step_stats(done.run_id)
        (converted,) = done.asset_materializations_for_node("platform_parquet")
    steps = {stat.step_key: (stat.end_time or 0) - (stat.start_time or 0) for stat in stats}
    return {"steps": steps, "total": total, "converted": converted.metadata["converted_now"].value}


def apart(root: Path, *action: str) -> dict[str, Any]:
    """What an action of this module, in a process of its own, has to tell."""
    environment = {"UDA_DATA_ROOT": str(root), "UDA_SETTLE_SECONDS": "0", "DAGSTER_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.drops", *action],
        env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# -- measuring -------------------------------------------------------------------------------------------------------


def tick_and_run(root: Path, drops: int) -> tuple[float, Run]:
    """A tick that asks for one run for so many drops, and that run."""
    asked = apart(root, "tick")
    assert asked["drops"] == drops, asked["drops"]
    done = apart(root, "run", "--config", json.dumps(asked["config"]))
    assert done["converted"] == drops, done["converted"]
    assert apart(root, "tick")["drops"] == 0
    return asked["seconds"], Run(done["steps"], done["total"])


def tiny_drops(datasets: Path, numbers: range) -> None:
    """Drops of three records, of users whose sessions the oracle below counts; one of ten has a malformed one too."""
    datasets.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        lines = [f"u{number % 997},s{number},{platform},2026-01-01T00:00:00Z,view\n" for platform in _PLATFORMS]
        if number % 10 == 0:
            lines.append("u,s,iOS,never,view\n")
        (datasets / f"d{number:06}.csv").write_text(_HEADER + "".join(lines))


def tiny_board(drops: int) -> list[list[str]]:
    """The leaderboard of so many tiny drops, in plain Python."""
    counts: dict[str, int] = defaultdict(int)
    for number in range(drops):
        counts[f"u{number % 997}"] += 1
    top = sorted(counts.items(), key=lambda row: (-row[1], row[0]))[:50]
    return [[platform, user, str(count)] for platform in sorted(_PLATFORMS) for user, count in top]


def board(root: Path) -> list[list[str]]:
    """The published leaderboard."""
    with (root / _RESULT).open(newline="") as file:
        return list(csv.reader(file))[1:]


def waiting(root: Path, drops: int, records: int) -> None:
    """Many drops that wait."""
    supply(root / "datasets", SupplierConfig(drops=drops, records=records, interval=0, seed=1))
    seconds, done = tick_and_run(root, drops)
    print(f"\n{drops} waiting drops of {records} records: a tick takes {seconds * 1000:.0f} ms and asks for one run\n")
    report({"all waiting drops": done, "nothing new": noop(root)})


def committed(root: Path, drops: int) -> None:
    """Many drops that are done with."""
    tiny_drops(root / "datasets", range(drops))
    ticks = {"all pending": apart(root, "tick")["seconds"]}
    _, first = tick_and_run(root, drops)
    assert board(root) == tiny_board(drops)
    ticks["nothing pending"] = apart(root, "tick")["seconds"]
    nothing = noop(root)
    tiny_drops(root / "datasets", range(drops, drops + 1))
    ticks["one pending"], one = tick_and_run(root, 1)
    assert board(root) == tiny_board(drops + 1)
    print(f"\n{drops} committed drops of 3 records; the sensor's tick: ", end="")
    print(", ".join(f"{seconds * 1000:.0f} ms with {what}" for what, seconds in ticks.items()), end="\n\n")
    tiny_drops(root / "few/datasets", range(1))
    tick_and_run(root / "few", 1)
    alone = noop(root / "few")
    report({"all waiting": first, "one new drop": one, "nothing new": nothing, "nothing new, of 1 drop": alone})
    work = sum(nothing.steps.values()) - sum(alone.steps.values())
    print(f"\nA run that finds nothing new takes {work:.2f} s longer than over a single drop.")


def noop(root: Path) -> Run:
    """A run that finds nothing to do."""
    before = board(root)
    done = apart(root, "run", "--config", "{}")
    assert done["converted"] == 0
    assert board(root) == before
    return Run(done["steps"], done["total"])


def report(runs: dict[str, Run]) -> None:
    """Print seconds by step."""
    print(f"| step | {' | '.join(runs)} |")
    print("| --- |" + " --- |" * len(runs))
    first = next(iter(runs.values()))
    rows = {step: [run.steps[step] for run in runs.values()] for step in first.steps}
    rows["all steps"] = [sum(run.steps.values()) for run in runs.values()]
    rows["Dagster around them"] = [run.total - sum(run.steps.values()) for run in runs.values()]
    rows["the run"] = [run.total for run in runs.values()]
    for name, seconds in rows.items():
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in seconds)} |")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", choices=["all", "tick", "run"], default="all", help=argparse.SUPPRESS)
    parser.add_argument("--config", default="{}", help=argparse.SUPPRESS)
    parser.add_argument("--drops", type=int, default=1000, help="drops that wait")
    parser.add_argument("--records", type=int, default=1000, help="records of each")
    parser.add_argument("--committed", type=int, default=10_000, help="tiny drops that are done with")
    parser.add_argument("--work", type=Path, help="where to put the data; default: a temporary directory")
    options = parser.parse_args()
    if options.action != "all":
        print(json.dumps(tick() if options.action == "tick" else run(options.config)))
        return
    print(f"{os.cpu_count()} cores; seconds")
    with tempfile.TemporaryDirectory(dir=options.work) as directory:
        if options.drops:
            waiting(Path(directory) / "waiting", options.drops, options.records)
        if options.committed:
            committed(Path(directory) / "committed", options.committed)


if __name__ == "__main__":
    main()
