"""README and docs are true: tables are current, links lead somewhere, commands do what they are there for."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from uda_assets.cli.program import app
from uda_assets_tests.documentation import PAGES, Block, blocks, inline_commands, renewed
from uda_assets_tests.support.places import PROJECT

NAMES = [str(page.relative_to(PROJECT)) for page in PAGES]
DEPLOYED = "uda_assets_tests/integration/test_postgres.py"
BY_TEST = r"(?:UDA_TEST_\w+=\d+ )*uv run pytest .*uda_assets_tests/.*"
ELSEWHERE = {
    r"uv run uda dev": "uda_assets_tests/integration/test_ui.py",
    r"uv run pytest": ".ci/run",
    BY_TEST: "uda_assets_tests",
    r"(?:uv run (?:--group bench )?)?python -m benchmarks.*": "uda_assets_tests/test_benchmarks.py",
    r"uv run python -m uda_assets_tests\.screenshots docs/pictures": "uda_assets_tests/integration/test_screenshots.py",
    r"uv run --with atheris python -m .*guided_fuzz .*": "uda_assets_tests/ingest/test_guided_fuzz.py",
    r"uv run python -m uda_assets_tests\.digests .*": "uda_assets_tests/test_digests.py",
    r"uv run python -m uda_assets_tests\.documentation": "uda_assets_tests/test_documentation.py",
    r"(?:uv run )?uda .*": "uda_assets_tests/cli/test_cli.py",
    r"dask (?:scheduler|worker) ?.*": "uda_assets_tests/test_deployment.py",
    r"dagster instance migrate": "uda_assets_tests/integration/test_postgres.py",
    r"dagster asset materialize.*": "uda_assets_tests/integration/test_materialize_command.py",
    r"pip install uv": ".ci/run",
    r"uv sync --reinstall-package uda-assets": "uda_assets_tests/kernel/test_build.py",
    r"dagster dev.*": "uda_assets_tests/support/dev_server.py",
}
"""Commands within the text of a page, and who runs them."""


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_tables_are_as_the_code_has_them(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert renewed(text) == text, "run: uv run python -m uda_assets_tests.documentation"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_to_what_is_there(page: Path) -> None:
    for target, _, anchor in re.findall(r"\]\(((?!https?:)[^)#]*)(#?)([^)]*)\)", page.read_text(encoding="utf-8")):
        linked = (page.parent / target) if target else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            titles = re.findall(r"(?m)^#+ (.*)$", linked.read_text(encoding="utf-8"))
            assert anchor in {re.sub(r"[^\w -]", "", title.casefold()).replace(" ", "-") for title in titles}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a ``uv`` that runs the programs of this environment, as the real one would after its sync."""
    directory = tmp_path_factory.mktemp("programs")
    uv = directory / "uv"
    uv.write_text('#!/bin/sh\ntest "$1" = run || exit 64\nshift\nexec "$@"\n')
    uv.chmod(0o755)
    return directory


def a_clone(where: Path) -> Path:
    """What a page's commands find: the project with the sample, and nothing computed yet."""
    shutil.copytree(PROJECT / "docs", where / "docs")
    (where / "data/datasets").mkdir(parents=True)
    shutil.copy(PROJECT / "data/datasets/sample.csv", where / "data/datasets")
    for name in ("pyproject.toml", "workspace.yaml", "dagster.yaml"):
        shutil.copy(PROJECT / name, where)
    return where


def script_of(page: Path) -> str:
    """The page's shell and Python blocks, one after the other as a reader would run them."""
    lines = ["set -euo pipefail"]
    for block in blocks(page):
        if block.tested_by:
            continue
        if block.language == "sh":
            lines.append(block.text)
        elif block.language == "python":
            lines.append(f"uv run python - <<'A_BLOCK'\n{block.text}A_BLOCK\n")
    return "\n".join(lines) if len(lines) > 1 else ""


EXPECTED = {
    "README.md": ["platform  users", "results/report.html", "session_count", "the leaderboard is published"],
    "docs/command-line.md": ["platform  users", "results/report.html"],
    "docs/recipes.md": ["reason", "january.csv", "pending", "forgot january.csv"],
    "docs/tutorial.md": ["rejected", "Smart TV", "unknown_platform", "report.html"],
}
"""Pages whose commands are run, in this order and in one clone, with some of what must be seen."""


@pytest.mark.timeout(600)
def test_commands_of_the_pages_run(programs: Path, tmp_path: Path) -> None:
    assert {name for name, page in zip(NAMES, PAGES, strict=True) if script_of(page)} == EXPECTED.keys()
    clone = a_clone(tmp_path)
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("UDA_", "DAGSTER_", "PYTHON"))
    }
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment |= {"PATH": path, "DAGSTER_DISABLE_TELEMETRY": "1"}
    for name, texts in EXPECTED.items():
        done = subprocess.run(
            ["bash", "-c", script_of(PROJECT / name)], cwd=clone, env=environment, capture_output=True, text=True,
            timeout=240, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-3000:]
        for text in texts:
            assert text in said, f"{name}: {said[-3000:]}"


def every(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def test_each_block_says_what_it_is_and_who_runs_it() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"(?m)^    +(?:uv|uda|dagster|apt-get|systemctl|export) ", text), f"{page}: use a fence"
        for block in blocks(page):
            assert block.language in {"sh", "python", "yaml", "toml", "cron", "csv", "text"}, f"{page}: {block.text}"
            if block.tested_by:
                assert (PROJECT / block.tested_by).exists(), f"{page}: {block.tested_by}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_within_the_text_are_run_by_someone(page: Path) -> None:
    ran = {line.strip() for block in every("sh") for line in block.text.replace("\\\n", " ").splitlines()}
    for command in inline_commands(page):
        if command in ran:
            continue
        found = [test for pattern, test in ELSEWHERE.items() if re.fullmatch(pattern, command)]
        assert found, f"{page.name}: `{command}` is run by no test"
        assert (PROJECT / found[0]).exists()
        check_arguments(command)


def check_arguments(command: str) -> None:
    """What a command names is there: test files, variables, modules, commands and options of the program."""
    words = [re.sub(r"^[A-Z]$", "1", word) for word in shlex.split(command)]
    for word in words:
        if word.startswith("uda_assets_tests/"):
            assert (PROJECT / word.partition("::")[0]).exists(), command
        if word.startswith("UDA_TEST_"):
            assert f'"{word.partition("=")[0]}"' in text_of_tests(), command
        if word.startswith("benchmarks"):
            assert (PROJECT / f"{word.replace('.', '/')}.py").exists() or (PROJECT / word).is_dir(), command
    if "uda" in words[:3]:
        _, name, *arguments = words[words.index("uda") :]
        # Where a command is named alone, it is its arguments that are left out.
        if arguments and name != "--help":
            app.commands[name].make_context(name, arguments)


@cache
def text_of_tests() -> str:
    return "".join(path.read_text() for path in (PROJECT / "uda_assets_tests").rglob("*.py"))


def test_the_workflow_and_the_crontab_run_what_is_run_here() -> None:
    ran = {line.strip() for block in every("sh") for line in block.text.splitlines()}
    workflow = yaml.safe_load((PROJECT / "docs/recipes/leaderboard.yml").read_text())
    steps = [step["run"] for step in workflow["jobs"]["leaderboard"]["steps"] if "run" in step]
    (cron,) = every("cron")
    scheduled = re.search(r"&& (.*?) >>", cron.text)
    assert scheduled
    for command in (*steps, scheduled[1]):
        assert command in ran
    cached = next(
        step["with"]["path"] for step in workflow["jobs"]["leaderboard"]["steps"] if "cache" in step.get("uses", "")
    )
    assert {"data/dataset_parquets", "data/sessions", "data/quarantine", "data/uda.duckdb", "data/.uda"} <= set(
        cached.split()
    )


def test_run_config_in_the_docs_is_taken_by_the_job() -> None:
    import dagster as dg

    from uda_assets_tests.support.definitions import defs

    job = defs.resolve_job_def("leaderboard_job")
    for block in every("yaml"):
        config = yaml.safe_load(block.text)
        if "ops" in config:
            dg.validate_run_config(job, config)


@cache
def messages() -> str:
    """Every text in the code: the constant parts of strings, one a line."""
    nodes = (
        node
        for path in sorted((PROJECT / "uda_assets").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
    )
    texts = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return "\n".join(" ".join(text.split()) for text in texts)


def test_every_reason_to_reject_a_drop_is_explained() -> None:
    explained = (PROJECT / "docs/data-quality.md").read_text(encoding="utf-8")
    raised = {
        str(node.args[0].value)
        for path in (PROJECT / "uda_assets").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "DropUnreadable"
        if isinstance(node.args[0], ast.Constant)
    }
    assert len(raised) >= 9
    assert [reason for reason in raised if f"`{reason}`" not in explained] == []


def test_messages_under_troubleshooting_are_those_of_the_code() -> None:
    text = (PROJECT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    titles = re.findall(r"(?m)^### `(.*)`$", text)
    assert len(titles) >= 15
    for title in titles:
        for part in re.split(r"\s*…\s*", title):
            assert part in messages(), f"no message of ours has {part!r}"


def test_each_promise_has_a_command_that_tests_it_and_what_it_found_last() -> None:
    text = (PROJECT / "docs/guarantees.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    tested = set()
    for promises, command, found in rows:
        assert re.fullmatch(BY_TEST, command.strip("`")), command
        assert re.search(r"\d", found), command
        tested |= set(promises.split(", "))
    promised = {title.casefold() for title in re.findall(r"(?m)^## (.*)$", text)} - {"what the tests found last"}
    assert tested == {title.removesuffix(" for") for title in promised}
