"""A data root that another version of the program wrote, in another format, is refused and left as it is."""

from __future__ import annotations

import json
import re
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
from uda_assets.pipeline.arrivals import arrivals
from uda_assets_tests.support.chain import HEADER, deliver, record, run, settings_of

MANIFESTS = [
    ".uda/format.json", ".uda/examined.json", ".uda/ledger.json", "sessions/_manifest.json", "results/_manifest.json",
    "dataset_parquets/a.csv.parquet/_manifest.json",
]  # fmt: skip
ADVICE = "run the version of uda_assets that wrote it, or use another data root"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    deliver(tmp_path, "a.csv", HEADER + record("a"))
    deliver(tmp_path, "bad.csv", "none\n")
    run(tmp_path)
    # There would be something to do.
    deliver(tmp_path, "b.csv", HEADER + record("b"))
    return tmp_path


def of_format(root: Path, name: str, number: int) -> None:
    """Let a file be of another format, in which a program of today would not even find what it knows."""

    class Later(msgspec.Struct):
        version: int
        what: str

    (root / name).write_bytes(sealed(Later(number, "is not known yet")))


def everything(root: Path) -> dict[str, tuple[bytes, int]]:
    """All files but the lock, which says who last asked for it."""
    files = {path for path in root.rglob("*") if path.is_file()} - {root / ".uda/lock"}
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("number", [FORMAT - 1, FORMAT + 1])
def test_another_format_is_refused_and_nothing_is_changed(root: Path, number: int) -> None:
    for name in MANIFESTS:
        ours = (root / name).read_bytes()
        of_format(root, name, number)
        before = everything(root)
        told = f"{root / name} has format {number}, but this version reads only format {FORMAT}; {ADVICE}"
        with pytest.raises(OtherFormat, match=f"^{re.escape(told)}$"):
            run(root)
        assert everything(root) == before
        (root / name).write_bytes(ours)
    assert [manifest.drop for manifest in run(root).converted] == ["b.csv"]


def test_every_command_says_so_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of_format(root, ".uda/format.json", FORMAT + 1)
    (root / ".uda/lock").unlink()
    before = everything(root)
    monkeypatch.setenv("UDA_DATA_ROOT", str(root))
    for command in (
        ["drops"],
        ["converter"],
        ["leaderboard"],
        ["verify"],
        ["forget", "a.csv"],
        ["report"],
        ["query", "FROM drops"],
    ):
        assert program.run(command) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err == (
            f"uda: {root}/.uda/format.json has format {FORMAT + 1}, but this version reads only format {FORMAT}; "
            f"{ADVICE}\n"
        )
    assert everything(root) == before
    assert not (root / ".uda/lock").exists()


@pytest.mark.parametrize("name", [".uda/format.json", ".uda/examined.json"])
def test_the_sensor_and_the_run_say_so(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of_format(root, name, 99)
    before = everything(root)
    monkeypatch.setenv("UDA_DATA_ROOT", str(root))
    with dg.DagsterInstance.ephemeral() as instance:
        with (
            dg.build_sensor_context(
                instance=instance, resources={"lake": LakeResource(data_root=str(root))}
            ) as context,
            pytest.raises(dg.Failure, match=rf"has format 99, .*; {ADVICE}$"),
        ):
            drop_sensor(context)
        from uda_assets_tests.support.definitions import defs

        done = defs.resolve_job_def("leaderboard_job").execute_in_process(instance=instance, raise_on_error=False)
    assert not done.success
    (failure,) = [event for event in done.all_events if event.is_step_failure and event.step_key == "raw_csv"]
    assert ADVICE in str(failure.step_failure_data.user_failure_data)
    assert everything(root) == before


def test_without_the_note_of_the_format_each_file_still_tells(root: Path) -> None:
    (root / ".uda/format.json").unlink()
    run(root)
    assert json.loads((root / ".uda/format.json").read_text())["version"] == FORMAT
    of_format(root, ".uda/examined.json", 99)
    with pytest.raises(OtherFormat):
        arrivals(settings_of(root))
