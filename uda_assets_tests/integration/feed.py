"""A supplier beside `uda dev`, and what must have come of it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from blake3 import blake3

from uda_assets_tests.ingest.reference import read
from uda_assets_tests.support.dev_server import ask, dev_server, wait

DROPS, N = 20, 50
SENSOR = """
query Ticks($selector: SensorSelector!) {
  sensorOrError(sensorSelector: $selector) {
    __typename
    ... on Sensor { sensorState { status ticks(limit: 1) { timestamp status skipReason error { message } } } }
  }
}"""
RUNS = """{
  runsOrError(filter: {pipelineName: "leaderboard_job"}) {
    ... on Runs { results { runId status tags { key value } } }
  }
}"""
CONVERSIONS = """{
  assetOrError(assetKey: {path: ["platform_parquet"]}) {
    ... on Asset {
      assetMaterializations(limit: 100) {
        runId
        metadataEntries { label ... on IntMetadataEntry { intValue } ... on MarkdownMetadataEntry { mdStr } }
      }
    }
  }
}"""
REPOSITORY = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"


def supply(root: Path) -> list[str]:
    """Twenty deliveries, some of them corrections, copies, late or first half-written; the drop of each."""
    command = [sys.executable, "-m", "uda_assets", "supplier", "--data-root", str(root), "--drops", str(DROPS)]
    command += ["--interval", "0.5", "--n", "200", "--seed", "7", "--malformed-ratio", "0.05"]
    command += ["--corrections", "0.2", "--duplicates", "0.15", "--late", "0.2", "--half-written", "0.2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    told = [line.removeprefix("delivered ") for line in done.stderr.splitlines() if line.startswith("delivered ")]
    return [str(Path(path).relative_to(root / "datasets")) for path in told]


def recompute(files: dict[str, bytes]) -> list[list[str]]:
    """The leaderboard by the reference reader and plain Python, from the raw files alone."""
    sessions = {
        (record.platform, record.user_id, record.session_id) for data in files.values() for record in read(data).kept
    }
    counts = Counter((platform, user) for platform, user, _ in sessions)
    boards: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for (platform, user), count in counts.items():
        boards[platform].append((-count, user))
    return [
        [platform, user, str(-count)] for platform in sorted(boards) for count, user in sorted(boards[platform])[:N]
    ]


_FINISHED = {"SUCCESS", "FAILURE", "CANCELED"}


def idle_since(address: str, selector: dict[str, str], moment: float) -> bool:
    """Whether a tick of the sensor that began after ``moment`` found nothing to do."""
    sensor = ask(address, SENSOR, selector=selector)["sensorOrError"]
    assert sensor["__typename"] == "Sensor", sensor
    assert sensor["sensorState"]["status"] == "RUNNING", "by default"
    return any(
        tick["timestamp"] > moment and tick["status"] == "SKIPPED" and tick["skipReason"] == "no drops are pending"
        for tick in sensor["sensorState"]["ticks"]
    )


def runs_of(address: str) -> list[dict[str, Any]]:
    """All runs, with their status and tags."""
    runs: list[dict[str, Any]] = ask(address, RUNS)["runsOrError"]["results"]
    return runs


def conversions(address: str) -> Counter[str]:
    """How often each drop was converted, over all runs."""
    times: Counter[str] = Counter()
    for made in ask(address, CONVERSIONS)["assetOrError"]["assetMaterializations"]:
        metadata: dict[str, Any] = {
            entry["label"]: entry.get("intValue", entry.get("mdStr")) for entry in made["metadataEntries"]
        }
        names = [
            row.split("|")[1].strip(" `").replace("\\", "") for row in metadata["converted_drops"].splitlines()[2:]
        ]
        assert len(names) == metadata["converted_now"]
        times.update(names)
    return times


def feed_becomes_leaderboard(root: Path, **environment: str) -> set[str]:
    """Let a supplier deliver beside `uda dev`, hold what came of it against a recomputation; the ids of the runs."""
    half_written = root / "datasets/feed/half.csv.part"
    half_written.parent.mkdir(parents=True)
    half_written.write_text(
        "user_id,session_id,platform,activity_time,activity_type\n"
        + "".join(f"nobody,{number},iOS,2026-01-01T00:00:00Z,view\n" for number in range(1000))
        + "nobody,100"
    )
    # The hourly schedule would help out at a full hour.
    with dev_server(root, UDA_SCHEDULE="0 0 29 2 *", UDA_N=str(N), **environment) as address:
        (repository,) = ask(address, REPOSITORY)["repositoriesOrError"]["nodes"]
        selector = {
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
            "sensorName": "drop_sensor",
        }
        delivered = Counter(supply(root))
        assert delivered.total() == DROPS
        assert max(delivered.values()) > 1, "the feed has corrections"
        ended = time.time()
        wait(lambda: idle_since(address, selector, ended), 150)
        wait(lambda: all(run["status"] in _FINISHED for run in runs_of(address)), 60)
        runs = runs_of(address)
        converted = conversions(address)

    files = {str(path.relative_to(root / "datasets")): path.read_bytes() for path in root.rglob("feed/*/*.csv")}
    assert files.keys() == delivered.keys()
    with (root / "results/Result_top_n_by_platform.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == recompute(files)

    assert {run["status"] for run in runs} == {"SUCCESS"}
    tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in runs]
    assert {run.get("dagster/sensor_name") for run in tags} == {"drop_sensor"}
    assert len({run["dagster/run_key"] for run in tags}) == len(runs) <= DROPS

    # A drop is committed once for each version of it that a run saw, and its last version is.
    manifests = {
        drop: json.loads((root / f"dataset_parquets/{drop}.parquet/_manifest.json").read_text()) for drop in files
    }
    assert {drop: manifest["content"] for drop, manifest in manifests.items()} == {
        drop: blake3(data).hexdigest() for drop, data in files.items()
    }
    assert converted.keys() == delivered.keys()
    assert all(1 <= converted[drop] <= times for drop, times in delivered.items())
    assert half_written.exists()
    assert not list((root / "dataset_parquets").rglob("half*"))
    return {run["runId"] for run in runs}
