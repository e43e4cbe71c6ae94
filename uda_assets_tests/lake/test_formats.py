"""A data root that another version of the program wrote, in another format, is refused and left as it is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import msgspec
import pytest

from uda_assets.basics.errors import OtherFormat
from uda_assets.cli import program
from uda_assets.defs.automation import drop_sensor
from uda_assets.defs.resources import LakeResource
from uda_assets.lake import FORMAT
from uda_assets.lake.sealed import sealed
from uda_assets_tests.support.chain import HEADER, deliver, record, run

ROOT = ".uda/root.json"
COPY = "dataset_parquets/a.csv.parquet/_manifest.json"
ADVICE = "run the version of uda_assets that wrote it, or use another data root"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    deliver(tmp_path, "a.csv", HEADER + record("a"))
    deliver(tmp_path, "bad.csv", "none\n")
    run(tmp_path)
    # There would be something to do.
    deliver(tmp_path, "b.csv", HEADER + record("b"))
    return tmp_path


def of_format(root: Path, number: int) -> None:
    """Let the root be of another format, in which a program of today would not even find what it knows."""
    (root / ROOT).write_bytes(msgspec.json.encode({"version": number, "what": "is not known yet"}))


def of_a_later_program(root: Path) -> None:
    of_format(root, 99)


def of_an_older_program(root: Path) -> None:
    """Leave of the root only what a program before the state wrote beside the drops."""

    class Earlier(msgspec.Struct):
        version: int
        drop: str

    shutil.rmtree(root / ".uda")
    (root / COPY).write_bytes(sealed(Earlier(FORMAT - 1, "a.csv")))


def everything(root: Path) -> dict[str, tuple[bytes, int]]:
    files = {path for path in root.rglob("*") if path.is_file()}
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("number", [FORMAT - 1, FORMAT + 1])
def test_another_format_is_refused_and_nothing_is_changed(root: Path, number: int) -> None:
    ours = (root / ROOT).read_bytes()
    of_format(root, number)
    before = everything(root)
    told = f"{root / ROOT} has format {number}, but this version reads only format {FORMAT}; {ADVICE}"
    with pytest.raises(OtherFormat, match=f"^{re.escape(told)}$"):
        run(root)
    assert everything(root) == before
    (root / ROOT).write_bytes(ours)
    assert [manifest.drop for manifest in run(root).converted] == ["b.csv"]


def test_a_root_of_an_older_program_is_refused_and_nothing_is_changed(root: Path) -> None:
    of_an_older_program(root)
    before = everything(root)
    with pytest.raises(OtherFormat, match=rf"{re.escape(COPY)} has format {FORMAT - 1}, .*; {ADVICE}$"):
        run(root)
    assert everything(root) == before


@pytest.mark.parametrize(
    ("age", "file", "number"), [(of_a_later_program, ROOT, 99), (of_an_older_program, COPY, FORMAT - 1)]
)
def test_every_command_says_so_in_one_line(
    root: Path,
    age: Callable[[Path], None],
    file: str,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (root / ".uda/lock").unlink()
    age(root)
    before = everything(root)
    monkeypatch.setenv("UDA_DATA_ROOT", str(root))
    for command in (
        ["drops"],
        ["converter"],
        ["leaderboard"],
        ["quarantine"],
        ["verify"],
        ["forget", "a.csv"],
        ["report"],
        ["query", "FROM drops"],
    ):
        assert program.run(command) == 1, command
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err == (
            f"uda: {root}/{file} has format {number}, but this version reads only format {FORMAT}; {ADVICE}\n"
        )
    assert everything(root) == before


@pytest.mark.parametrize(("age", "number"), [(of_a_later_program, 99), (of_an_older_program, FORMAT - 1)])
def test_the_sensor_and_the_run_say_so(
    root: Path, age: Callable[[Path], None], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(root)
    before = everything(root)
    monkeypatch.setenv("UDA_DATA_ROOT", str(root))
    with dg.DagsterInstance.ephemeral() as instance:
        with (
            dg.build_sensor_context(
                instance=instance, resources={"lake": LakeResource(data_root=str(root))}
            ) as context,
            pytest.raises(dg.Failure, match=rf"has format {number}, .*; {ADVICE}$"),
        ):
            drop_sensor(context)
        from uda_assets_tests.support.definitions import defs

        done = defs.resolve_job_def("leaderboard_job").execute_in_process(instance=instance, raise_on_error=False)
    assert not done.success
    (failure,) = [event for event in done.all_events if event.is_step_failure and event.step_key == "raw_csv"]
    assert ADVICE in str(failure.step_failure_data.user_failure_data)
    assert everything(root) == before
