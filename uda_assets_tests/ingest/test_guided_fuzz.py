"""The reader against the reference with atheris to lead the way, which uv brings for the run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from uda_assets_tests.support.places import PROJECT

SECONDS = int(os.environ.get("UDA_TEST_SECONDS", "60"))


@pytest.mark.heavy
@pytest.mark.timeout(SECONDS + 300)
def test_guided_by_coverage_no_difference_is_found(tmp_path: Path) -> None:
    uv = shutil.which("uv")
    assert uv, "uv starts the tests"
    module = "uda_assets_tests.ingest.guided_fuzz"
    done = subprocess.run(
        [uv, "run", "--project", PROJECT, "--with", "atheris", "python", "-m", module,
         f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (runs,) = [line for line in done.stderr.splitlines() if line.startswith("Done ")]
    print(f"\n{runs}, differences: 0")
