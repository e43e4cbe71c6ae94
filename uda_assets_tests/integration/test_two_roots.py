"""Two code locations with two data roots in one deployment, as docs/deployment/workspace.two-roots.yaml has them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import duckdb

from uda_assets_tests.support.chain import HEADER, deliver, record
from uda_assets_tests.support.dev_server import answers, ask, end, free_port, wait, without_home
from uda_assets_tests.support.places import PROJECT, SCRIPTS

WORKSPACE = PROJECT / "docs/deployment/workspace.two-roots.yaml"
LOCATIONS = ("uda_assets", "uda_second")
LOADED = """
{ workspaceOrError { ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename } } } } }"""

RUNS = "{ runsOrError { ... on Runs { results { status repositoryOrigin { repositoryLocationName } } } } }"
RELOAD = "mutation R($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }"


@contextmanager
def process(log: Path, environment: dict[str, str], *command: str) -> Iterator[None]:
    """A program of the deployment, ended with all that it started."""
    with log.open("wb") as file:
        started = subprocess.Popen(
            [str(SCRIPTS / command[0]), *command[1:]], env=environment, stdout=file, stderr=file, start_new_session=True
        )
        try:
            yield
        finally:
            end(started)


@contextmanager
def deployment(home: Path, roots: list[Path]) -> Iterator[str]:
    """The address of a webserver over two code servers, whose sensors and queue a daemon serves."""
    ports = [str(free_port()) for _ in (*roots, home)]
    common = without_home() | {
        "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1",
        "UDA_CODE_PORT": ports[0], "UDA_SECOND_CODE_PORT": ports[1], "UDA_SETTLE_SECONDS": "0",
    }  # fmt: skip
    server = ("dagster", "code-server", "start", "-h", "127.0.0.1", "-m", "uda_assets.definitions")
    first, second = (
        process(root / "code.log", common | {"UDA_DATA_ROOT": str(root)}, *server, "-p", port, "--location-name", name)
        for root, port, name in zip(roots, ports, LOCATIONS, strict=False)
    )
    daemon = ("dagster-daemon", "run", "-w", str(WORKSPACE))
    web = ("dagster-webserver", "-h", "127.0.0.1", "-p", ports[2], "-w", str(WORKSPACE))
    address = f"http://127.0.0.1:{ports[2]}"
    with first, second, process(home / "web.log", common, *web):
        wait(lambda: answers(address), 90)
        wait(lambda: are_loaded(address), 90)
        with process(home / "daemon.log", common, *daemon):
            yield address


def are_loaded(address: str) -> bool:
    """Whether both code servers have answered."""
    entries = ask(address, LOADED)["workspaceOrError"]["locationEntries"]
    found = {entry["name"]: (entry["locationOrLoadError"] or {}).get("__typename") for entry in entries}
    if "PythonError" in found.values():
        # A server that is not up yet is asked again.
        for name in LOCATIONS:
            ask(address, RELOAD, name=name)
    return found == dict.fromkeys(LOCATIONS, "RepositoryLocation")


def successes(address: str) -> set[str]:
    """The locations of which a run has succeeded."""
    found = ask(address, RUNS)["runsOrError"]["results"]
    return {run["repositoryOrigin"]["repositoryLocationName"] for run in found if run["status"] == "SUCCESS"}


def test_two_locations_with_two_data_roots_materialize_side_by_side(tmp_path: Path) -> None:
    roots = [tmp_path / "first", tmp_path / "second"]
    # The drops have the same names, and other records.
    for root, user in zip(roots, ("ann", "ben"), strict=True):
        deliver(root, "a.csv", HEADER + record("s1", user=user) + record("s2", user=user))
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").touch()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert not instance.get_runs(), "the tables are made before several processes ask for them"
    with deployment(home, roots) as address:
        wait(lambda: successes(address) == set(LOCATIONS), 120)
    for root, user in zip(roots, ("ann", "ben"), strict=True):
        with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
            assert warehouse.execute("FROM top_n_by_platform").fetchall() == [("iOS", user, 2)]
