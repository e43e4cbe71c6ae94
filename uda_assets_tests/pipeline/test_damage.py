"""Files of the data root that are damaged or gone, and drops that change while they are read."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from uda_assets.basics.errors import DropBusy, UdaError
from uda_assets.engines import polars as engine
from uda_assets.ingest.convert import Conversion, DropJob, convert
from uda_assets.lake import open_lake
from uda_assets.lake.integrity import damaged_drops, damaged_sessions, inspect_drops
from uda_assets.lake.raw_files import RawFiles
from uda_assets.lake.root import _memory
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets_tests.cli.test_cli import uda
from uda_assets_tests.support.chain import HEADER, deliver, forget, ledger, published, record, run, settings_of

RESULT = "results/Result_top_n_by_platform.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for drop in ("a.csv", "sub/b.csv"):
        deliver(tmp_path, drop, HEADER + record(drop) + record("shared") + "short\n")
    run(tmp_path)
    return tmp_path


def _spoil(path: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        (found,) = root.glob(path)
        found.write_bytes(b'{"version": 1, "spoi')

    return spoil


def _remove(path: str) -> Callable[[Path], None]:
    def remove(root: Path) -> None:
        found = list(root.glob(path))
        assert found
        for one in found:
            shutil.rmtree(one) if one.is_dir() else one.unlink()

    return remove


def _alter(path: str) -> Callable[[Path], None]:
    """Change a byte in the middle of a file, as a disk that decays does."""

    def alter(root: Path) -> None:
        found = max(root.glob(path))
        content = bytearray(found.read_bytes())
        content[len(content) // 2] ^= 1
        found.write_bytes(content)

    return alter


HARM: dict[str, Callable[[Path], None]] = {
    "a drop's manifest damaged": _spoil("dataset_parquets/a.csv.parquet/_manifest.json"),
    "a drop's manifest gone": _remove("dataset_parquets/a.csv.parquet/_manifest.json"),
    "a part file gone": _remove("dataset_parquets/a.csv.parquet/platform=iOS/part.0.parquet"),
    "a quarantine file gone": _remove("quarantine/sub/b.csv.parquet"),
    "all quarantine gone": _remove("quarantine"),
    "all converted drops gone": _remove("dataset_parquets"),
    "the sessions' manifest damaged": _spoil("sessions/_manifest.json"),
    "a file of the sessions gone": _remove("sessions/platform=iOS/*.parquet"),
    "the sessions gone": _remove("sessions"),
    "the sessions and a part file gone": lambda root: [
        _remove("sessions")(root), _remove("dataset_parquets/a.csv.parquet/platform=iOS/part.0.parquet")(root)
    ][0],
    "the state damaged": _alter(".uda/states/*.state"),
    "all states gone": _remove(".uda/states"),
    "the results gone": _remove("results"),
    "the warehouse gone": _remove("uda.duckdb"),
    "the root damaged": _spoil(".uda/root.json"),
    "the root gone": _remove(".uda/root.json"),
    "the hidden directory gone": _remove(".uda"),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
def test_the_next_run_heals_what_its_source_is_there_for(root: Path, harm: str) -> None:
    before = (root / RESULT).read_bytes()
    HARM[harm](root)
    forget_states()
    for command in ("drops", "quarantine", "leaderboard"):
        done = uda(command, root=root)
        assert done.returncode in {0, 1}
        assert len(done.stderr.splitlines()) == done.returncode, done.stderr
    run(root)
    assert (root / RESULT).read_bytes() == before
    assert published(root, "SELECT session_id, events FROM sessions ORDER BY ALL") == [
        ("a.csv", 1), ("shared", 2), ("sub/b.csv", 1)
    ]  # fmt: skip
    assert published(root, "SELECT count(*) FROM quarantine") == [(2,)]
    assert {entry.status for entry in ledger(root).values()} == {"committed"}


def forget_states() -> None:
    """Read the state from its file, as another process would."""
    _memory.clear()


def _cut(path: str) -> Callable[[Path], None]:
    def cut(root: Path) -> None:
        found = max(root.glob(path))
        found.write_bytes(found.read_bytes()[:-9])

    return cut


ALTERED: dict[str, Callable[[Path], None]] = {
    "a part file altered": _alter("dataset_parquets/a.csv.parquet/platform=iOS/part.0.parquet"),
    "a part file cut off": _cut("dataset_parquets/sub/b.csv.parquet/platform=iOS/part.0.parquet"),
    "a summary altered": _alter("dataset_parquets/a.csv.parquet/_metadata"),
    "a quarantine altered": _alter("quarantine/a.csv.parquet"),
    "a number in a drop's manifest": lambda root: _put_right(root, "dataset_parquets/a.csv.parquet/_manifest.json"),
    "a segment altered": _alter("sessions/platform=iOS/*.parquet"),
    "a segment cut off": _cut("sessions/platform=iOS/*.parquet"),
    "merged sessions altered": _alter("sessions/shared/platform=iOS/*.parquet"),
    "counts altered": _alter("sessions/counts/platform=iOS/*.parquet"),
    "a number in the sessions' manifest": lambda root: _put_right(root, "sessions/_manifest.json"),
    "a result altered": _alter("results/Result_top_n_by_platform.parquet"),
    "the state altered": _alter(".uda/states/*.state"),
}


def _put_right(root: Path, path: str) -> None:
    """Another digit, so that the file is a manifest as before."""
    text = (root / path).read_text()
    (root / path).write_text(re.sub(r'("(?:records|n)": )(\d)', lambda found: f"{found[1]}{9 - int(found[2])}", text))


@pytest.mark.parametrize("harm", ALTERED)
def test_what_is_not_as_it_was_written_is_made_anew(root: Path, harm: str) -> None:
    run(root)
    before, parts = (root / RESULT).read_bytes(), _converted(root)
    ALTERED[harm](root)
    forget_states()
    run(root)
    assert (root / RESULT).read_bytes() == before
    assert _converted(root) == parts
    assert published(root, "SELECT session_id, events FROM sessions ORDER BY ALL") == [
        ("a.csv", 1), ("shared", 2), ("sub/b.csv", 1)
    ]  # fmt: skip
    assert published(root, "SELECT count(*) FROM quarantine") == [(2,)]
    lake = open_lake(settings_of(root))
    assert lake.state().sessions
    assert not damaged_drops(inspect_drops(lake, lake.state()))
    assert not damaged_sessions(lake, lake.state())[0]


def _converted(root: Path) -> dict[str, list[bytes]]:
    """What the files that count hold, by drop; a file that was made anew has another name."""
    lake = open_lake(settings_of(root))
    return {
        drop: [(root / path).read_bytes() for path in (*lake.part_paths(manifest), lake.quarantine_path(manifest))]
        for drop, manifest in lake.state().drops.items()
    }


def test_a_damaged_manifest_without_a_state_and_a_source_is_not_lost_in_silence(root: Path) -> None:
    (root / "datasets/a.csv").unlink()
    manifest = root / "dataset_parquets/a.csv.parquet/_manifest.json"
    manifest.write_text("{")
    before = (root / RESULT).read_bytes()
    run(root)
    assert (root / RESULT).read_bytes() == before, "the state knows what is in it"
    shutil.rmtree(root / ".uda")
    with pytest.raises(UdaError, match=re.escape(f"the state of the data root is gone, and {manifest} is damaged")):
        run(root)
    assert (root / RESULT).read_bytes() == before
    shutil.rmtree(manifest.parent)
    deliver(root, "a.csv", HEADER + record("a.csv") + record("shared") + "short\n")
    run(root)
    assert (root / RESULT).read_bytes() == before


def test_missing_part_files_without_a_source_are_named_where_they_are_needed(root: Path) -> None:
    (root / "datasets/a.csv").unlink()
    shutil.rmtree(root / "dataset_parquets/a.csv.parquet/platform=iOS")
    shutil.rmtree(root / "sessions")
    with pytest.raises(
        UdaError, match=r"converted files of drop 'a\.csv' are missing or damaged .*missing.* deliver it again"
    ):
        run(root)
    forget(open_lake(settings_of(root)), settings_of(root), "a.csv")
    assert published(root, "SELECT count(*) FROM sessions") == [(2,)]


def test_one_error_counts_all_drops_that_a_person_has_to_mend(root: Path) -> None:
    for drop in ("a.csv", "sub/b.csv"):
        (root / "datasets" / drop).unlink()
        shutil.rmtree(root / f"dataset_parquets/{drop}.parquet/platform=iOS")
    shutil.rmtree(root / "sessions")
    with pytest.raises(UdaError, match=r"drop 'a\.csv' .*, as are those of 1 more \(`uda verify` names all\); run"):
        run(root)
    named = uda("verify", root=root).stdout
    assert all(f"{drop}/platform=iOS" in named for drop in ("a.csv", "sub/b.csv"))


def test_a_damaged_state_costs_one_run_and_not_what_was_forgotten(root: Path) -> None:
    forget(open_lake(settings_of(root)), settings_of(root), "a.csv")
    deliver(root, "c.csv", HEADER + record("c"))
    run(root)
    before = (root / RESULT).read_bytes()
    _alter(".uda/states/*.state")(root)
    forget_states()
    assert ledger(root)["a.csv"].status == "forgotten"
    run(root)
    assert (root / RESULT).read_bytes() == before
    assert {drop: entry.status for drop, entry in ledger(root).items()} == {
        "a.csv": "forgotten", "c.csv": "committed", "sub/b.csv": "committed"
    }  # fmt: skip


def _changing(action: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let a drop change as it is read; what was read of it is worth nothing then."""
    left = [times]

    def read(job: DropJob, *arguments: Any) -> Conversion:
        done = convert(job, *arguments)
        if job.drop == "busy.csv" and left[0]:
            left[0] -= 1
            action(job.source)
            raise ValueError("as when a file shrinks")
        return done

    monkeypatch.setattr(engine, "convert", read)


def _grow(source: Path) -> None:
    with source.open("a") as file:
        file.write(record("more"))


@pytest.mark.parametrize("action", [_grow, Path.unlink], ids=["grows", "vanishes"])
def test_a_busy_drop_stays_pending_and_the_others_go_on(
    root: Path, action: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(root, "busy.csv", HEADER + record("busy"))
    deliver(root, "c.csv", HEADER + record("c"))
    with monkeypatch.context() as patch:
        _changing(action, patch, times=9)
        report = run(root)
    assert [manifest.drop for manifest in report.converted] == ["c.csv"]
    assert list(report.put_off) == ["busy.csv"]
    assert ("c",) in published(root, "SELECT session_id FROM sessions")
    if action is _grow:
        assert ledger(root)["busy.csv"].status == "pending"
        run(root)
        assert ledger(root)["busy.csv"].status == "committed"
    else:
        assert "busy.csv" not in ledger(root)


def test_a_drop_that_changed_once_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(root, "busy.csv", HEADER + record("busy"))
    _changing(_grow, monkeypatch, times=1)
    (manifest,) = run(root).converted
    assert manifest.records == 2


def test_a_busy_drop_stops_a_fail_fast_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(root, "busy.csv", HEADER + record("busy"))
    _changing(_grow, monkeypatch, times=9)
    with pytest.raises(DropBusy, match=r"'busy\.csv' keeps changing"):
        run(root, error_mode="fail_fast")


def test_a_drop_that_cannot_be_read_is_rejected_and_its_earlier_version_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RawFiles._version

    def refuse(self: RawFiles, drop: str, *arguments: Any) -> object:
        if drop == "a.csv":
            raise PermissionError(13, "Permission denied")
        return real(self, drop, *arguments)

    deliver(root, "a.csv", HEADER + record("new"))
    deliver(root, "c.csv", HEADER + record("c"))
    monkeypatch.setattr(RawFiles, "_version", refuse)
    run(root)
    assert published(root, "SELECT session_id FROM sessions ORDER BY ALL") == [
        ("a.csv",), ("c",), ("shared",), ("sub/b.csv",)
    ]  # fmt: skip
    entry = ledger(root)["a.csv"]
    assert (entry.status, entry.reason) == (
        "rejected",
        "unreadable: it cannot be read (Permission denied); make it readable, or deliver it again",
    )


def test_a_directory_that_cannot_be_listed_is_named_and_the_others_go_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, harm = os.scandir, {"locked": PermissionError(13, "Permission denied"), "gone": FileNotFoundError()}

    def refuse(path: str | int) -> object:
        if isinstance(path, int):
            return real(path)
        if error := harm.get(Path(path).name):
            raise error
        return real(path)

    for name in harm:
        (root / "datasets" / name).mkdir()
    deliver(root, "c.csv", HEADER + record("c"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        run(root)
        entries = ledger(root)
    assert {name: entry.status for name, entry in entries.items()} == {
        "a.csv": "committed", "c.csv": "committed", "locked/": "rejected", "sub/b.csv": "committed"
    }  # fmt: skip
    assert entries["locked/"].reason == "unreadable: it cannot be listed (Permission denied); make it readable"


def test_a_raw_file_that_cannot_be_archived_stays(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("s1"))
    run(tmp_path, clean_source="archive")
    deliver(tmp_path, "a.csv/b.csv", HEADER + record("s2"))
    deliver(tmp_path, "d.csv/e.csv", HEADER + record("s3"))
    run(tmp_path, clean_source="archive")
    (tmp_path / "datasets/d.csv").rmdir()
    deliver(tmp_path, "d.csv", HEADER + record("s4"))
    run(tmp_path, clean_source="archive")
    assert published(tmp_path, "SELECT count(*) FROM sessions") == [(4,)]
    assert {name: entry.status for name, entry in ledger(tmp_path).items()} == dict.fromkeys(
        ["a.csv", "a.csv/b.csv", "d.csv", "d.csv/e.csv"], "committed"
    )


@pytest.mark.parametrize("selection", [{"exclude": "a.csv"}, {"modified_after": "2100-01-01"}])
def test_an_archived_drop_that_is_not_selected_stays_archived(tmp_path: Path, selection: dict[str, str]) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("a"))
    run(tmp_path, clean_source="archive")
    (tmp_path / "dataset_parquets/a.csv.parquet/platform=iOS/part.0.parquet").unlink()
    settings = settings_of(tmp_path, clean_source="archive", **selection)
    lake = open_lake(settings)
    with open_run(lake, settings) as opened:
        assert convert_pending(opened).converted == []
    assert (tmp_path / "archive/a.csv").exists()
    assert [manifest.drop for manifest in run(tmp_path, clean_source="archive").converted] == ["a.csv"]


def test_the_ledger_adds_up_when_a_new_version_is_rejected(root: Path) -> None:
    deliver(root, "a.csv", HEADER + "short\n" * 3 + record("new"))
    deliver(root, "sub/b.csv", "uid\n")
    deliver(root, "c.csv", HEADER + "short\n" * 3 + record("new"))
    run(root)
    numbers = published(root, "SELECT drop, status, records, kept, quarantined FROM drops ORDER BY drop")
    assert numbers == [
        ("a.csv", "rejected", 3, 2, 1), ("c.csv", "rejected", None, None, None), ("sub/b.csv", "rejected", 3, 2, 1)
    ]  # fmt: skip
    assert published(root, "SELECT sum(events) - (SELECT sum(kept) FROM drops) FROM sessions") == [(0,)]
    assert published(root, "SELECT count(*) - (SELECT sum(quarantined) FROM drops) FROM quarantine") == [(0,)]
