"""A browser for the tests: one that is there, else one that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

from playwright.sync_api import sync_playwright

from uda_assets_tests.support.dev_server import end

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MOST_SECONDS = 300
"""How long one installing command may take."""

Install = Callable[..., None]
"""Runs a command, given word by word. Whether it helped is seen by what is there afterwards."""
_PLAYWRIGHT = (sys.executable, "-m", "playwright")


class NoBrowser(Exception):
    """None can be had. The message is one line with the command that helps."""


def ready_driver(install: Install) -> None:
    """See that Playwright itself starts: its Node.js needs a library that the smallest systems lack.

    Raises:
        NoBrowser: It does not.
    """
    if not starts(*_PLAYWRIGHT):
        _install_package(install, "libatomic1")
        if not starts(*_PLAYWRIGHT):
            raise NoBrowser(
                "The browser tests need Playwright, which does not start. Run: sudo apt-get install libatomic1"
            )


def find_browser(install: Install = lambda *_: None) -> str:
    """The path of a browser that starts. Nothing is installed unless it is said how to.

    Raises:
        NoBrowser: There is none.
    """
    for path in _candidates(install):
        if starts(path):
            return path
    raise NoBrowser(
        "The browser tests need Chromium or Chrome, and none could be found or installed. "
        "Run: uv run playwright install --with-deps chromium"
    )


def run_installer(*command: str) -> None:
    """Run a command without its output, and end it when it takes too long."""
    quiet = subprocess.DEVNULL
    environment = environment_with_defaults() | {"DEBIAN_FRONTEND": "noninteractive"}
    with (
        suppress(subprocess.TimeoutExpired),
        subprocess.Popen(
            command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True, env=environment
        ) as process,
    ):
        try:
            process.wait(MOST_SECONDS)
        finally:
            end(process)


def starts(*program: str) -> bool:
    """Whether a program is there, with all the libraries that it needs."""
    command = [*program, "--version"]
    try:
        asked = subprocess.run(command, env=environment_with_defaults(), capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def environment_with_defaults() -> dict[str, str]:
    """The environment with the system's programs on the PATH; a distribution's browser is a script that calls some."""
    return {**os.environ, "PATH": f"{os.environ['PATH']}{os.pathsep}{os.defpath}"}


def _candidates(install: Install) -> Iterator[str]:
    """Where a browser may be, each place after what can put it there."""
    yield from _on(os.environ["PATH"])
    own = _of_playwright()
    yield own
    install(*_PLAYWRIGHT, "install", "chromium")
    yield own
    _install_package(install, "chromium")
    # The package is not on the PATH where that is a short one.
    yield from _on(os.defpath)
    if _apt_get():
        # Ubuntu's package needs snap. Playwright's browser may have lacked libraries only.
        install(*_PLAYWRIGHT, "install-deps", "chromium")
        yield own


def _install_package(install: Install, name: str) -> None:
    if apt_get := _apt_get():
        install(apt_get, "update")
        install(apt_get, "install", "--yes", "-o", "DPkg::Lock::Timeout=120", name)


def _apt_get() -> str | None:
    """What installs packages, where we may do so."""
    found = shutil.which("apt-get")
    return found if found and os.geteuid() == 0 else None


def _on(path: str) -> Iterator[str]:
    return filter(None, (shutil.which(name, path=path) for name in NAMES))


def _of_playwright() -> str:
    """Where Playwright's own is, or would be."""
    with sync_playwright() as playwright:
        return playwright.chromium.executable_path
