"""Dagster over PostgreSQL, with the files of docs/deployment as they are: the live sensor test, and the services."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from uda_assets.basics.settings import load_settings
from uda_assets.lake import open_lake
from uda_assets_tests.integration.feed import REPOSITORY, feed_becomes_leaderboard
from uda_assets_tests.integration.postgres import binaries, postgres, rows
from uda_assets_tests.support.dev_server import CHAIN, LAUNCH, answers, ask, end, free_port, wait, without_home
from uda_assets_tests.support.places import PROJECT

DEPLOYMENT = PROJECT / "docs/deployment"
INSTALLED = "/opt/uda_assets/"

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(binaries() is None, reason="there is no PostgreSQL; to run this, apt-get install postgresql"),
]


@pytest.fixture(scope="module")
def database() -> Iterator[dict[str, str]]:
    with postgres() as variables:
        yield variables


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A DAGSTER_HOME with the instance of docs/deployment."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(DEPLOYMENT / "dagster.yaml", home)
    return home


def test_drops_become_leaderboards_by_themselves(tmp_path: Path, database: dict[str, str], home: Path) -> None:
    runs = feed_becomes_leaderboard(tmp_path / "root", DAGSTER_HOME=str(home), **database)
    assert runs
    stored = rows(database, "SELECT run_id FROM runs WHERE pipeline_name = 'leaderboard_job' AND status = 'SUCCESS'")
    assert runs == {run for (run,) in stored}
    materialized = rows(
        database,
        "SELECT DISTINCT run_id FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION' "
        "AND asset_key = '[\"top_n_by_platform\"]'",
    )
    assert runs == {run for (run,) in materialized}
    assert rows(database, "SELECT count(*) FROM job_ticks WHERE type = 'SENSOR' AND status = 'SUCCESS'") >= [(1,)]
    assert not list(home.rglob("*.db")), "nothing is in sqlite"
    assert not (tmp_path / "root/.dagster").exists()


def test_services_run_and_runs_of_one_data_root_come_one_after_the_other(
    tmp_path: Path, database: dict[str, str], home: Path
) -> None:
    root = tmp_path / "root"
    (root / "datasets").mkdir(parents=True)
    shutil.copy(PROJECT / "data/datasets/sample.csv", root / "datasets")
    port = free_port()
    environment = without_home() | database | {
        "DAGSTER_HOME": str(home), "UDA_DATA_ROOT": str(root), "UDA_SCHEDULE": "0 0 29 2 *",
        "UDA_CODE_PORT": str(free_port()), "DAGSTER_WEBSERVER_PORT": str(port),
        "UDA_LOCK_TIMEOUT": "120",
    }  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    with services(environment, tmp_path):
        wait(lambda: answers(address), 90)
        nodes = wait(lambda: ask(address, REPOSITORY)["repositoriesOrError"].get("nodes"), 90)
        assert [(node["name"], node["location"]["name"]) for node in nodes] == [("__repository__", "uda_assets")]
        # While a writer is at work, a run that has started cannot end, and one that waits in the queue does not start.
        with open_lake(load_settings(data_root=str(root))).writing(60):
            launched = {_launch(address, job) for job in ("leaderboard_job", "__ASSET_JOB")}
            wait(lambda: "STARTED" in _statuses(database, launched), 150)
            assert _statuses(database, launched) == {"STARTED", "QUEUED"}
        ended = wait(lambda: _ended(database, launched), 150)

    assert {status for status, _, _ in ended} == {"SUCCESS"}
    assert (root / "results/Result_top_n_by_platform.csv").read_text().startswith("platform,user_id,session_count\n")
    spans = sorted((start, stop) for _, start, stop in ended)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans)), spans


def _launch(address: str, job: str) -> str:
    """Ask for a run of a job; ``__ASSET_JOB`` is what the pages of assets ask for."""
    selector: dict[str, Any] = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "uda_assets",
        "jobName": job,
    }
    if job == "__ASSET_JOB":
        selector["assetSelection"] = [{"path": [name]} for name in CHAIN]
    launched = ask(address, LAUNCH, params={"selector": selector, "runConfigData": {}, "mode": "default"})["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])


def _statuses(database: dict[str, str], runs: set[str]) -> set[str]:
    return {status for status, _, _ in _stored(database, runs)}


def _ended(database: dict[str, str], runs: set[str]) -> list[tuple[Any, ...]]:
    """What the database says of runs, once all of them are over; nothing before."""
    found = [row for row in _stored(database, runs) if None not in row]
    return found if len(found) == len(runs) else []


def _stored(database: dict[str, str], runs: set[str]) -> list[tuple[Any, ...]]:
    names = ", ".join(f"'{run}'" for run in runs)
    return rows(database, f"SELECT status, start_time, end_time FROM runs WHERE run_id IN ({names})")


@contextmanager
def services(environment: dict[str, str], logs: Path) -> Iterator[None]:
    """The systemd units' own commands, from this checkout in place of the installed one."""
    with ExitStack() as stack:
        for name in ("uda-code", "uda-webserver", "uda-daemon"):
            log = stack.enter_context((logs / f"{name}.log").open("wb"))
            server = subprocess.Popen(
                _command(name, environment), env=environment, cwd=PROJECT, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
            stack.callback(end, server)
        yield


def _command(name: str, environment: dict[str, str]) -> list[str]:
    (line,) = re.findall(r"(?m)^ExecStart=(.*)$", (DEPLOYMENT / f"systemd/{name}.service").read_text())
    program, *arguments = shlex.split(re.sub(r"\$\{(\w+)\}", lambda found: environment[found[1]], line))
    assert program.startswith(f"{INSTALLED}.venv/bin/")
    here = [argument.replace(INSTALLED, f"{PROJECT}{os.sep}") for argument in arguments]
    return [str(Path(sys.executable).with_name(Path(program).name)), *here]
