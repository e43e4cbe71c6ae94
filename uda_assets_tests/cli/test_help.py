"""The help texts, whose examples are run, and shell completion, which offers only safe names."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path

import click
import pytest

from uda_assets.cli import run
from uda_assets.cli.program import app
from uda_assets_tests.support import chain
from uda_assets_tests.support.chain import HEADER, record
from uda_assets_tests.support.places import SAMPLE


def test_no_help_is_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for columns in ("40", "80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        for arguments in ([], *([name] for name in app.commands)):
            assert run([*arguments, "--help"]) == 0
            output = capsys.readouterr().out
            assert "..." not in output.replace("[ARGS]...", "")
            assert "…" not in output
            assert not arguments or f"  uda {arguments[0]}" in output.split("Examples:")[1]
    for name, command in app.commands.items():
        assert command.help, name
        for option in command.params:
            assert not isinstance(option, click.Option) or option.hidden or option.help, (name, option.name)


def test_every_example_of_every_help_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    chain.deliver(root, "supplier-a/2026-01-31.csv", HEADER + record("s1"))
    chain.deliver(root, "sample.csv", SAMPLE.read_text(errors="surrogateescape").encode("ascii", "replace").decode())
    chain.run(root)
    shutil.copy(SAMPLE, tmp_path / "drop.csv")
    (root / "suppliers.toml").write_text('[[supplier]]\nname = "acme"\ndrops = ["acme/*"]\n')
    (tmp_path / "query.sql").write_text("SELECT count(*) AS drops FROM drops")
    (tmp_path / "dagster").mkdir()
    for name in ("__init__.py", "__main__.py"):
        (tmp_path / "dagster" / name).touch()  # replaces the real one, which would never end
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("UDA_DATA_ROOT", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", shown.append)
    for name, command in app.commands.items():
        for example in command.examples:  # type: ignore[attr-defined]
            program, *arguments = shlex.split(example)
            if "<" in arguments:
                *arguments, _, source = arguments
                monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(source).read_bytes())))
            assert (program, arguments[0]) == ("uda", name)
            capfd.readouterr()
            assert run(arguments) == 0, (example, capfd.readouterr())
    assert shown == [(root / "results/report.html").as_uri()]


@pytest.fixture
def named(tmp_path: Path) -> Path:
    for drop in ("a.csv", "sub/ab.csv", "ü.csv", "$(touch pwned).csv", "a b.csv", "`id`.csv", "-x.csv", "a;b.csv"):
        chain.deliver(tmp_path, drop, HEADER + record("s1") + record("s2", "web"))
    chain.run(tmp_path)
    return tmp_path


def completed(shell: str, line: str, root: Path, **further: str) -> list[str]:
    """The completions offered at the end of a line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    if shell == "fish":
        words["COMP_CWORD"] = line.rsplit(" ", maxsplit=1)[-1]
    environment = os.environ | {"UDA_DATA_ROOT": str(root), "_UDA_COMPLETE": f"{shell}_complete"} | words | further
    command = [sys.executable, "-m", "uda_assets"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def test_names_are_completed_and_only_plain_ones(named: Path) -> None:
    plain = ["a.csv", "sub/ab.csv", "ü.csv"]
    assert completed("bash", "uda forget ", named) == [f"plain,{name}" for name in plain]
    assert completed("bash", "uda quarantine --drop su", named) == ["plain,sub/ab.csv"]
    assert completed("zsh", f"uda --data-root {named} leaderboard --platform ", Path("nowhere")) == [
        "plain", "Web", "_", "plain", "iOS", "_",
    ]  # fmt: skip
    assert completed("fish", "uda leaderboard --platform i", named) == ["plain,iOS"]
    assert "plain,--movement" in completed("bash", "uda leaderboard --", named)
    # If anything is wrong, nothing is offered and no message is printed.
    assert completed("bash", "uda forget ", named / "nowhere") == []
    assert completed("bash", "uda forget ", named, UDA_N="many") == []


def test_bash_completes_with_our_script(named: Path) -> None:
    script = """
        eval "$(_UDA_COMPLETE=bash_source uda)"
        COMP_WORDS=(uda forget s) COMP_CWORD=2
        "$(complete -p uda | sed 's/.*-F \\([^ ]*\\).*/\\1/')" uda
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"UDA_DATA_ROOT": str(named), "PATH": path}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("sub/ab.csv\n", "")
