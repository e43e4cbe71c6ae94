"""Failures of the machine end a run with one line that says what to do."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from uda_assets.basics import moments
from uda_assets.defs.resources import readable_failures
from uda_assets_tests.support.chain import HEADER, deliver, record
from uda_assets_tests.support.definitions import defs
from uda_assets_tests.support.places import PROJECT


def failure_of(root: Path, monkeypatch: pytest.MonkeyPatch, **conversion: Any) -> str:
    """What the page of the run says first of its failure."""
    monkeypatch.setenv("UDA_DATA_ROOT", str(root))
    done = defs.resolve_job_def("leaderboard_job").execute_in_process(
        run_config={"ops": {"platform_parquet": {"config": conversion}}}, raise_on_error=False
    )
    failure = next(event for event in done.all_events if event.is_step_failure).step_failure_data
    assert failure.error
    kind, _, told = failure.error.message.partition(": ")
    assert kind == "dagster._core.definitions.events.Failure"
    return told


def test_a_fail_fast_run_names_drop_line_reason_and_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(tmp_path, "shop/a.csv", HEADER + record("s1") + record("s2", "fridge"))
    assert failure_of(tmp_path, monkeypatch, error_mode="fail_fast").startswith(
        "drop 'shop/a.csv', line 3: unknown_platform: the platform is not in the platform table; correct it, or add it"
    )


def test_an_unreadable_drop_stops_a_fail_fast_run_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(tmp_path, "a.csv", "user_id,session_id,platform\nu,s,iOS\n")
    told = failure_of(tmp_path, monkeypatch, error_mode="fail_fast")
    assert told.startswith("drop 'a.csv': missing_column: ")
    assert "it must name user_id, session_id, platform, activity_time, activity_type" in told


def test_a_full_disk_names_the_file_and_asks_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(moment: str) -> None:
        if moment == "drop: staged":
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "dataset_parquets/a"))

    deliver(tmp_path, "a.csv", HEADER + record("s"))
    monkeypatch.setattr(moments, "on_moment", full)
    assert failure_of(tmp_path, monkeypatch).startswith(
        f"{tmp_path}/dataset_parquets/a: No space left on device; make room and run again"
    )


def test_wrong_run_config_names_the_setting_and_what_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("s"))
    told = failure_of(tmp_path, monkeypatch, error_mode="strict")
    assert told.startswith("error_mode cannot be 'strict': it takes lenient or fail_fast")


def test_an_error_that_nobody_foresaw_is_one_line_and_keeps_its_cause() -> None:
    said = r"^ValueError: a b; run again, and report it with this log"
    with pytest.raises(dg.Failure, match=said) as raised, readable_failures():
        raise ValueError("a\nb")
    assert isinstance(raised.value.__cause__, ValueError)


def test_too_little_memory_names_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(tmp_path, "a.csv", HEADER + "".join(record(f"s{number}") for number in range(1000)))
    monkeypatch.setenv("UDA_MEMORY_LIMIT", "1KB")
    assert "UDA_MEMORY_LIMIT" in failure_of(tmp_path, monkeypatch)


@pytest.mark.parametrize("error", [MemoryError(), duckdb.OutOfMemoryException("could not allocate")])
def test_every_want_of_memory_is_one_line(error: Exception) -> None:
    with pytest.raises(dg.Failure, match=r"not enough memory; .*UDA_MEMORY_LIMIT"), readable_failures():
        raise error


def test_too_many_open_files_names_the_limit(tmp_path: Path) -> None:
    for number in range(40):
        deliver(tmp_path, f"{number}.csv", HEADER + record(f"s{number}"))
    materialize = "-m dagster asset materialize -m uda_assets.definitions --select '+top_n_by_platform'"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -n 32; exec '{sys.executable}' {materialize}"],
        env=os.environ | {"UDA_DATA_ROOT": str(tmp_path), "UDA_THREADS": "16"},
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.search(
        r"Failure: /.*: Too many open files; raise the limit \(ulimit -n\), or lower UDA_THREADS\n", done.stderr
    )


def test_a_footer_that_cannot_be_opened_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("s"))

    def full(path: Path) -> None:
        raise OSError(errno.EMFILE, f"Failed to open local file '{path}'. Detail: [errno 24] Too many open files")

    monkeypatch.setattr(pq, "read_metadata", full)
    assert re.search(r"/[^/ ]+\.parquet: Too many open files; raise the limit", failure_of(tmp_path, monkeypatch))


def test_a_run_without_a_free_file_is_one_line() -> None:
    with pytest.raises(dg.Failure, match=r"Too many open files; raise the limit \(ulimit -n\)"), readable_failures():
        raise OSError(errno.EMFILE, "Too many open files", "/data/x")
