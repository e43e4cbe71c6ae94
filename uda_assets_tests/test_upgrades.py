"""Data roots of other versions: an older one is taken over by itself, a newer one is left alone."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import dagster as dg
import msgspec
import pytest

from uda_assets.build import arrivals
from uda_assets.cli import program
from uda_assets.defs.automation import drop_sensor
from uda_assets.defs.resources import LakeResource
from uda_assets.errors import NewerFormat
from uda_assets.lake import FORMAT, open_lake
from uda_assets.lake.manifests import sealed
from uda_assets.verification import verify
from uda_assets_tests.kernel import HEADER, deliver, dying, ledger, published, record, run, settings_of

OLDER = Path(__file__).parent / "lakes/format_2.tar.xz"
"""A data root as the last version without checksums left it: a.csv, sub/b.csv, and gone.csv without its raw file."""
RESULT = "results/Result_top_n_by_platform.csv"
SESSIONS = [("Web", "u2", "w", 1), ("iOS", "u1", "a", 1), ("iOS", "u1", "b", 1), ("iOS", "u1", "shared", 2),
            ("iOS", "u3", "gone", 1)]  # fmt: skip


@pytest.fixture
def older(tmp_path: Path) -> Path:
    with tarfile.open(OLDER) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def assert_taken_over(root: Path, before: bytes) -> None:
    assert (root / RESULT).read_bytes() == before
    found = published(root, "SELECT platform, user_id, session_id, events FROM sessions ORDER BY ALL")
    assert found == SESSIONS
    assert published(root, "SELECT count(*) FROM quarantine") == [(1,)]
    assert {name: entry.status for name, entry in ledger(root).items()} == {
        "a.csv": "committed", "gone.csv": "vanished", "sub/b.csv": "committed"
    }  # fmt: skip
    lake = open_lake(settings_of(root))
    assert {manifest.version for manifest in lake.manifests().values()} == {FORMAT}
    found_ = verify(lake, settings_of(root))
    assert (found_.damage, found_.without_checksum, found_.records) == ([], 0, 6)


def test_an_older_data_root_is_taken_over_without_converting_a_drop(older: Path) -> None:
    before = (older / RESULT).read_bytes()
    settings = settings_of(older)
    found = verify(open_lake(settings), settings)
    assert found.damage == []
    assert found.without_checksum == 7, "there is nothing yet to compare them with"
    assert run(older).converted == []
    assert_taken_over(older, before)
    part = older / "dataset_parquets/gone.csv.parquet/platform=iOS/part.0.parquet"
    part.write_bytes(part.read_bytes().replace(b"gone", b"g0ne"))
    assert "not as it was written" in str(ledger(older)["gone.csv"].reason)


def test_taking_over_survives_dying_anywhere(older: Path) -> None:
    before = (older / RESULT).read_bytes()
    moments: list[str] = []
    for passed in range(1, 40):
        if not dying(passed, lambda: run(older)):
            break
        moments.append(str(passed))
    assert_taken_over(older, before)
    assert len(moments) > 3, "each run got further than the one before"


def test_what_is_damaged_is_not_taken_to_be_as_it_was_written(older: Path) -> None:
    before = (older / RESULT).read_bytes()
    (older / "dataset_parquets/a.csv.parquet/platform=iOS/part.0.parquet").write_bytes(b"PAR1")
    assert [manifest.drop for manifest in run(older).converted] == ["a.csv"]
    assert_taken_over(older, before)


# -- newer -----------------------------------------------------------------------------------------------------------

NEWER = [
    ".uda/format.json", ".uda/examined.json", ".uda/ledger.json", "sessions/_manifest.json", "results/_manifest.json",
    "dataset_parquets/a.csv.parquet/_manifest.json",
]  # fmt: skip


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


def test_a_newer_data_root_is_refused_and_left_as_it_is(root: Path) -> None:
    for name in NEWER:
        ours = (root / name).read_bytes()
        of_format(root, name, 99)
        before = everything(root)
        told = f"{root / name} has format 99, and this version reads formats up to {FORMAT}; upgrade uda_assets"
        with pytest.raises(NewerFormat, match=f"^{re.escape(told)}$"):
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
            f"uda: {root}/.uda/format.json has format {FORMAT + 1}, and this version reads formats up to {FORMAT}; "
            "upgrade uda_assets\n"
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
            pytest.raises(dg.Failure, match=r"has format 99, .*; upgrade uda_assets$"),
        ):
            drop_sensor(context)
        from uda_assets.definitions import defs

        done = defs.resolve_job_def("leaderboard_job").execute_in_process(instance=instance, raise_on_error=False)
    assert not done.success
    (failure,) = [event for event in done.all_events if event.is_step_failure and event.step_key == "raw_csv"]
    assert "upgrade uda_assets" in str(failure.step_failure_data.user_failure_data)
    assert everything(root) == before


def test_without_the_note_of_the_format_each_file_still_tells(root: Path) -> None:
    (root / ".uda/format.json").unlink()
    run(root)
    assert json.loads((root / ".uda/format.json").read_text())["version"] == FORMAT
    of_format(root, ".uda/examined.json", 99)
    with pytest.raises(NewerFormat):
        arrivals(settings_of(root))
