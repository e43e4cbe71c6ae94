"""A disk that is full, fails, or writes less than it was given, at any call that changes a file of the data root.

After each failed run what was published is as before or wholly new, one line says which file and why, and the next run
on a sound disk ends in the exact answer and leaves nothing behind. At every fourth call, in each of three ways:

    UDA_TEST_EVERY_CALL=4 uv run pytest -n 0 -s -m heavy uda_assets_tests/failing
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from uda_assets_tests.failing.walk import Case
from uda_assets_tests.support.places import PROJECT

EVERY = int(os.environ.get("UDA_TEST_EVERY_CALL", "16"))
SOURCE = Path(__file__).with_name("disk.c")


def walk(directory: Path, **orders: int) -> list[Case]:
    library = directory / "disk.so"
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc",
         "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE, "-ldl"],
        check=True,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "uda_assets_tests.failing.walk",
         msgspec.json.encode({"library": str(library), "root": str(directory / "data"), **orders}).decode()],
        cwd=PROJECT, env=os.environ | {"LD_PRELOAD": str(library)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [msgspec.json.decode(line, type=Case) for line in done.stdout.splitlines()]


def assert_borne(cases: list[Case], root: Path) -> None:
    """Nothing is lost, and who has to do something is told what."""
    for case in cases:
        assert not case.wrong, f"{case.kind} at call {case.call}, a {case.what}: {case.wrong}\n{case.told}"
        if case.told and "are missing or damaged" in case.told:
            # What cannot be read when sessions are merged is no different to a run than what was lost.
            assert case.kind == "unreadable"
            assert re.fullmatch(r"[^\n]*cannot be read \(Input/output error\)[^\n]*", case.told)
        elif case.told:
            assert re.fullmatch(
                rf".*{re.escape(str(root))}[^\n]*: (No space left on device|Input/output error)[^\n]*", case.told
            ), f"{case.kind} at call {case.call}, a {case.what}: {case.told}"
    assert {case.kind for case in cases if case.told} >= {"full", "faulty"}
    assert not any(case.told for case in cases if case.kind == "short"), "what is written short is written on"


def test_a_failing_disk_loses_nothing(tmp_path: Path) -> None:
    cases = walk(tmp_path, calls=8)
    assert len(cases) >= 8
    assert_borne(cases, tmp_path / "data")


@pytest.mark.heavy
@pytest.mark.timeout(3600)
def test_a_disk_that_fails_at_any_call_loses_nothing(tmp_path: Path) -> None:
    cases = walk(tmp_path, every=EVERY, seed=int(os.environ.get("UDA_TEST_SEED", "1")))
    assert_borne(cases, tmp_path / "data")
    failed = Counter(case.what for case in cases if case.told)
    told = ", ".join(f"{what} {count}" for what, count in failed.most_common())
    print(f"\n{len(cases)} runs on a failing disk, losses 0; {failed.total()} failed ({told}), the others got done")
