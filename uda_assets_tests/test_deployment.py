"""The files of docs/deployment fit together, and name what is there; test_postgres.py runs them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from uda_assets_tests.support.places import PROJECT, SCRIPTS

DEPLOYMENT = PROJECT / "docs/deployment"
UNITS = sorted(DEPLOYMENT.glob("systemd/*.service"))


def load(path: str) -> Any:
    return yaml.safe_load((DEPLOYMENT / path).read_text())


def dask_commands() -> dict[str, list[str]]:
    """Each command line of Dask in the files, by where it stands."""
    services = load("dask/compose.yaml")["services"]
    cluster = load("dask/daskcluster.yaml")["spec"]
    commands = {f"compose, {name}": service["command"] for name, service in services.items()}
    commands["kubernetes, scheduler"] = cluster["scheduler"]["spec"]["containers"][0]["args"]
    # The operator gives the scheduler's address by the environment, the command line wants it as an argument.
    commands["kubernetes, worker"] = [*cluster["worker"]["spec"]["containers"][0]["args"], "tcp://uda-scheduler:8786"]
    script = (DEPLOYMENT / "dask/ssh.sh").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"(?m)^exec (.*)$", script)
    commands["ssh"] = [word if word != "$@" else "host1" for word in shlex.split(line)]
    return commands


@pytest.mark.parametrize("place", dask_commands())
def test_dask_takes_the_command(place: str) -> None:
    program, name, *arguments = dask_commands()[place]
    assert program == "dask"
    (command,) = entry_points(group="dask_cli", name=name)
    # Reads the command line and starts nothing: an option that is unknown, or its value wrong, is an error.
    command.load().make_context(name, arguments)


def test_every_variable_has_its_line_in_the_environment_file() -> None:
    lines = (DEPLOYMENT / "uda.env.example").read_text().splitlines()
    given = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    used = {name for path in UNITS for name in re.findall(r"\$\{(\w+)\}", path.read_text())}
    for path in ("dagster.yaml", "workspace.yaml", "workspace.two-roots.yaml"):
        load(path)
        used |= set(re.findall(r"\{env: (\w+)\}", (DEPLOYMENT / path).read_text()))
    assert len(used) >= 7
    assert used <= given


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_sound_and_listens_on_loopback_only(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    (program,) = re.findall(r"(?m)^ExecStart=(\S+)", text)
    assert entry_points(group="console_scripts", name=Path(program).name)
    assert "-h 127.0.0.1" in text or unit.stem == "uda-daemon", "the daemon listens to nobody"
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze; to run this, apt-get install systemd")
    here = tmp_path / unit.name
    here.write_text(text.replace(program, str(SCRIPTS / Path(program).name)))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", here], capture_output=True, text=True, timeout=60, check=False
    )
    assert verified.returncode == 0, verified.stderr
    assert unit.name not in verified.stderr, "it warns of unknown keys, and goes on"
