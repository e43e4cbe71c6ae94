"""What holds for all tests, and the browser that some of them need."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

# Tests start hundreds of processes, each of which would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# The partitions of the tests depend neither on today's date nor on what is built below data/.
os.environ.setdefault("UDA_DAILY_START", "2020-01-01")

IN_A_BROWSER = ("test_report_page.py", "test_ui.py", "test_first_click.py", "test_the_script_makes_them_anew")
"""What stands in the names of the tests that need one."""
_ready = pytest.StashKey[bool]()


def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Have a browser before the workers start with the tests."""
    have_browser(node.config, ids)


def pytest_collection_finish(session: pytest.Session) -> None:
    """The same without workers."""
    if not hasattr(session.config, "workerinput") and not session.config.option.collectonly:
        have_browser(session.config, [item.nodeid for item in session.items])


def have_browser(config: pytest.Config, tests: Sequence[str]) -> None:
    """Find or install a browser if one of the tests needs it, once a session; without one, the session ends."""
    if _ready in config.stash or not any(part in test for test in tests for part in IN_A_BROWSER):
        return
    from uda_assets_tests.support.browser_finder import NoBrowser, find_browser, ready_driver, run_installer

    def install(*command: str) -> None:
        if terminal := config.pluginmanager.get_plugin("terminalreporter"):
            terminal.ensure_newline()
            terminal.write_line(f"The browser tests lack something; running: {' '.join(command)}")
        run_installer(*command)

    try:
        ready_driver(install)
        find_browser(install)
    except NoBrowser as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
    config.stash[_ready] = True
