"""Fixtures of the tests of the pipeline."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    """A directory to which nothing can be renamed from the test's own one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        assert Path(path).stat().st_dev != tmp_path.stat().st_dev
        yield Path(path)
