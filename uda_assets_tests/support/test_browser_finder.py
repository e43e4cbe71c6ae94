"""How the tests come by a browser, with programs and installers that are made up."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from uda_assets_tests.conftest import IN_A_BROWSER, have_browser
from uda_assets_tests.support import browser_finder
from uda_assets_tests.support.browser_finder import NoBrowser, find_browser, ready_driver, run_installer
from uda_assets_tests.support.places import PROJECT

NEEDING_ONE = ["uda_assets_tests/integration/test_ui.py::test_it"]


def program(path: Path, status: int = 0) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


class Machine:
    """One without a browser, whose installers put one where they are told to."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch, user: int = 0) -> None:
        self.path, self.system, self.own = directory / "path", directory / "system", directory / "own/chrome"
        self.brought: dict[str, Path] = {}
        self.asked: list[str] = []
        patch.setenv("PATH", str(self.path))
        patch.setattr(os, "defpath", str(self.system))
        patch.setattr(os, "geteuid", lambda: user)
        patch.setattr(browser_finder, "_of_playwright", lambda: str(self.own))
        program(self.path / "apt-get")

    def install(self, *command: str) -> None:
        (name,) = [word for word in command if word in {"update", "install", "install-deps"}]
        kind = "playwright" if "playwright" in command else "apt-get"
        self.asked.append(f"{kind} {name}")
        if path := self.brought.get(self.asked[-1]):
            program(path)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_the_first_on_the_path_that_starts_is_taken(machine: Machine) -> None:
    program(machine.path / "chromium", status=127)
    chrome = program(machine.path / "google-chrome")
    program(machine.own)
    assert find_browser(machine.install) == chrome
    assert machine.asked == []


def test_that_of_playwright_comes_next(machine: Machine) -> None:
    own = program(machine.own)
    assert find_browser(machine.install) == own
    assert machine.asked == []


def test_playwright_is_asked_for_its_own_before_the_distribution(machine: Machine) -> None:
    machine.brought["playwright install"] = machine.own
    assert find_browser(machine.install) == str(machine.own)
    assert machine.asked == ["playwright install"]


def test_the_package_of_the_distribution_is_found_off_the_path(machine: Machine) -> None:
    machine.brought["apt-get install"] = machine.system / "chromium"
    assert find_browser(machine.install) == str(machine.system / "chromium")
    assert machine.asked == ["playwright install", "apt-get update", "apt-get install"]
    assert find_browser() == str(machine.system / "chromium"), "the workers find it and install nothing"


def test_libraries_that_playwrights_own_lacks_come_last(machine: Machine) -> None:
    program(machine.own, status=127)
    machine.brought["playwright install-deps"] = machine.own
    assert find_browser(machine.install) == str(machine.own)
    assert machine.asked[-1] == "playwright install-deps"


def test_only_root_installs_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch, user=1000)
    with pytest.raises(NoBrowser):
        find_browser(machine.install)
    assert machine.asked == ["playwright install"]


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_finder, "MOST_SECONDS", 1)
    late = tmp_path / "late"
    began = time.monotonic()
    run_installer("sh", "-c", f"(sleep 5; touch {late}) & wait")
    assert time.monotonic() - began < 5
    time.sleep(5)
    assert not late.exists()


def test_a_library_that_playwright_itself_lacks_is_installed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = machine.path / "driver"
    monkeypatch.setattr(browser_finder, "_PLAYWRIGHT", (str(driver),))
    with pytest.raises(NoBrowser, match=r"Run: sudo apt-get install libatomic1$"):
        ready_driver(machine.install)
    machine.brought["apt-get install"] = driver
    ready_driver(machine.install)
    assert machine.asked == ["apt-get update", "apt-get install"] * 2
    ready_driver(machine.install)
    assert len(machine.asked) == 4, "what starts needs nothing"


def a_session(finding: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The configuration of a session that finds a browser in a given way."""
    monkeypatch.setattr(browser_finder, "ready_driver", lambda _install: None)
    monkeypatch.setattr(browser_finder, "find_browser", finding)
    return SimpleNamespace(stash=pytest.Stash())


def test_a_session_without_a_browser_ends_with_the_command_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    config = a_session(lambda _install: find_browser(machine.install), monkeypatch)
    with pytest.raises(pytest.exit.Exception, match=r"^[^\n]*Run: uv run playwright install --with-deps chromium$"):
        have_browser(config, NEEDING_ONE)


def test_it_is_looked_for_once_and_only_when_a_test_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def find(install: Any) -> str:
        looked.append(install)
        return "chromium"

    config = a_session(find, monkeypatch)
    have_browser(config, ["uda_assets_tests/cli/test_cli.py::test_it"])
    assert looked == []
    have_browser(config, NEEDING_ONE)
    have_browser(config, NEEDING_ONE)
    assert len(looked) == 1


def test_every_module_that_opens_a_browser_is_known() -> None:
    modules = (PROJECT / "uda_assets_tests").rglob("test_*.py")
    opening = {path.name for path in modules if re.search(r"\bwith [^:]*\bchromium\(\)", path.read_text())}
    assert opening
    assert opening <= set(IN_A_BROWSER)
