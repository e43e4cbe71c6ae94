"""`uda verify`: what changes without its stat changing, which no run can see, is found, named and then mended."""

from __future__ import annotations

import json
import shutil
import time
from datetime import date
from pathlib import Path

import duckdb
import msgspec
import polars as pl
import pytest

from uda_assets.basics.errors import UdaError
from uda_assets.lake import Lake, State, integrity, open_lake
from uda_assets.lake.publishing import publishing
from uda_assets.lake.root import StateFiles, _memory
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.days import publish_days
from uda_assets.pipeline.verification import Verified, verify
from uda_assets_tests.cli.test_cli import uda
from uda_assets_tests.support.chain import HEADER, deliver, ledger, published, record, run, settings_of

RESULT = "results/Result_top_n_by_platform.csv"
PART = "dataset_parquets/{}.parquet/platform=iOS/part.0.parquet"
SESSIONS = [("a.csv", 1), ("shared", 2), ("sub/b.csv", 1)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two drops."""
    for drop in ("a.csv", "sub/b.csv"):
        deliver(tmp_path, drop, HEADER + record(drop) + record("shared") + "short\n")
    run(tmp_path)
    run(tmp_path)
    return tmp_path


def decay(root: Path, *patterns: str) -> list[str]:
    """Change a byte of some files, and make what is noted of their stat fit, as if it had not changed."""
    changed = []
    for pattern in patterns:
        path = max(root.glob(pattern))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        changed.append(str(path.relative_to(root)))
    lake = Lake(root)
    with lake.writing(0):
        state, lookup = lake.state(), lake.files.signature_lookup()
        files = {
            drop: msgspec.structs.replace(held, key=integrity.key_of(lake, state.drops[drop], lookup))
            for drop, held in state.files.items()
        }
        lake.commit(state.noting(files=files, seen=integrity.signatures_of(lake, state.seen)))
    return changed


def verified(root: Path) -> Verified:
    settings = settings_of(root)
    return verify(open_lake(settings), settings)


def test_what_no_run_can_see_is_found_and_then_mended(root: Path) -> None:
    before = (root / RESULT).read_bytes()
    assert verified(root).damage == []
    parts = decay(root, PART.format("a.csv"), "quarantine/sub/b.csv.parquet", "sessions/platform=iOS/*.parquet")
    assert run(root).converted == [], "a run looks at stats"
    done = uda("verify", "--format", "json", root=root)
    assert done.returncode == 1
    assert done.stderr.startswith("uda: 3 of "), done.stderr
    assert [tuple(row.values()) for row in json.loads(done.stdout)] == [
        ("a.csv/platform=iOS/part.0.parquet", "not as it was written", "the next run, from datasets/a.csv"),
        ("sub/b.csv, its quarantine", "not as it was written", "the next run, from datasets/sub/b.csv"),
        (parts[2], "not as it was written", "the next run"),
    ]  # fmt: skip
    assert {entry.status for entry in ledger(root).values()} == {"pending"}
    assert sorted(manifest.drop for manifest in run(root).converted) == ["a.csv", "sub/b.csv"]
    assert (root / RESULT).read_bytes() == before
    assert published(root, "SELECT session_id, events FROM sessions ORDER BY ALL") == SESSIONS
    done = uda("verify", root=root)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("all is sound: "), done.stderr
    assert done.stderr.endswith("4 records were counted again\n"), done.stderr


def test_the_sensor_hears_of_what_was_found(root: Path) -> None:
    from uda_assets.pipeline.status import waiting

    time.sleep(0.01)
    settings = settings_of(root, settle_seconds=0)
    assert (waiting(settings).pending, waiting(settings).unpublished) == ([], False)
    decay(root, PART.format("a.csv"))
    assert waiting(settings).pending == []
    assert len(verified(root).damage) == 1
    assert (waiting(settings).pending, waiting(settings).unpublished) == (["a.csv"], True)


def test_an_archived_drop_is_converted_from_there(root: Path) -> None:
    run(root, clean_source="archive")
    assert not (root / "datasets/a.csv").exists()
    run(root)
    decay(root, PART.format("a.csv"))
    assert [one.mended_by for one in verified(root).damage] == ["the next run, from archive/a.csv"]
    assert [manifest.drop for manifest in run(root, clean_source="archive").converted] == ["a.csv"]
    assert (root / "archive/a.csv").exists()
    assert verified(root).damage == []


def test_without_a_raw_file_it_says_what_to_do(root: Path) -> None:
    before = (root / RESULT).read_bytes()
    (root / "datasets/a.csv").unlink()
    run(root)
    decay(root, PART.format("a.csv"))
    assert [one.mended_by for one in verified(root).damage] == ["deliver a.csv again, or `uda forget` it"]
    entry = ledger(root)["a.csv"]
    assert entry.status == "vanished"
    assert entry.reason == (
        "damaged: a.csv/platform=iOS/part.0.parquet: not as it was written; there is no raw file to convert again, "
        "deliver it again or `uda forget` it"
    )
    # What it contributed is in the sessions, too, so that others go on; until these have to be built from it.
    deliver(root, "c.csv", HEADER + record("c", "web"))
    run_without_checks(root)
    assert ("c", 1) in published(root, "SELECT session_id, events FROM sessions")
    shutil.rmtree(root / "sessions")
    with pytest.raises(
        UdaError, match=r"drop 'a\.csv' are missing or damaged .*; run again, .* deliver it again, or `uda forget` it"
    ):
        run(root)
    (root / "datasets/c.csv").unlink()
    deliver(root, "a.csv", HEADER + record("a.csv") + record("shared") + "short\n")
    run(root)
    assert verified(root).damage == []
    assert (root / RESULT).read_bytes().startswith(before.partition(b"iOS")[0])


def run_without_checks(root: Path) -> None:
    from uda_assets.pipeline.conversion import convert_pending
    from uda_assets.pipeline.publishing import publish_committed

    settings = settings_of(root)
    lake = open_lake(settings)
    with open_run(lake, settings) as run:
        convert_pending(run)
        publish_committed(run)


def test_everything_that_is_published_is_read(root: Path) -> None:
    settings = settings_of(root)
    lake = open_lake(settings)
    with lake.writing(0):
        publish_days(lake, settings, [date(2026, 1, 1)])
        _write_a_report(lake)
    assert verified(root).damage == []
    names = [
        RESULT,
        RESULT.replace(".csv", ".parquet"),
        "uda.duckdb",
        "results/report.html",
        "results/history/*.parquet",
    ]
    changed = decay(root, *names, "results/daily/*.parquet")
    damage = verified(root).damage
    assert sorted(one.what for one in damage) == sorted(changed)
    mended = {one.what: one.mended_by for one in damage}
    assert mended.pop("results/report.html") == "`uda report`"
    assert set(mended.values()) == {"the next run"}
    run(root)
    with lake.writing(0):
        _write_a_report(lake)
    assert len(published(root, "SELECT * FROM daily_top_n_by_platform")) == 1
    assert verified(root).damage == []


def test_what_is_sound_stays_sound_however_often_it_is_published(tmp_path: Path) -> None:
    for number in range(4):
        deliver(tmp_path, f"{number}.csv", HEADER + record(f"s{number}"))
        run(tmp_path)
        assert verified(tmp_path).damage == []
    assert len(list((tmp_path / "results/history").iterdir())) == 2


def _write_a_report(lake: Lake) -> None:
    with publishing(lake) as publication:
        text = "<title>not made by the charting script, which takes seconds</title>"
        publication.replacing(lake.results / "report.html").write_text(text)


def test_what_does_not_add_up_is_found_though_every_file_is_sound(root: Path) -> None:
    lake = open_lake(settings_of(root))
    manifest = lake.state().sessions
    assert manifest
    (counts,) = manifest.counts
    path = lake.sessions / counts.path
    pl.read_parquet(path, hive_partitioning=False).with_columns(session_count=pl.lit(9)).write_parquet(path)
    spoilt = msgspec.structs.replace(counts, checksum=lake.files.hash(path))
    with lake.writing(0):
        lake.commit(lake.state().noting(sessions=msgspec.structs.replace(manifest, counts=[spoilt])))
    (damage,) = verified(root).damage
    assert damage == (
        "counts", "session counts: 2 rows differ from a recount of the records",
        "remove sessions/, and the next run builds it anew",
    )  # fmt: skip


def test_a_leaderboard_of_a_day_that_does_not_add_up_is_found(root: Path) -> None:
    with duckdb.connect(root / "uda.duckdb") as warehouse:
        warehouse.execute("UPDATE daily_top_n_by_platform SET session_count = 9")
    lake = open_lake(settings_of(root))
    with lake.writing(0):
        state = lake.state()
        seen = integrity.signatures_of(lake, ["uda.duckdb"])
        checksums = {"uda.duckdb": lake.files.hash(lake.warehouse)}
        lake.commit(state.noting(results=state.results | checksums, seen=state.seen | seen))
    (damage,) = verified(root).damage
    assert damage.damage == "the leaderboards of days: 2 rows differ from a recount of the records"


def test_a_damaged_copy_of_a_manifest_is_named_with_the_rest(root: Path) -> None:
    (root / "datasets/a.csv").unlink()
    (root / "dataset_parquets/a.csv.parquet/_manifest.json").write_text("{")
    (root / RESULT).write_text("?")
    assert {one.what: one.mended_by for one in verified(root).damage} == {
        "a.csv/_manifest.json": "deliver a.csv again, or `uda forget` it",
        RESULT: "the next run",
    }  # fmt: skip


def test_a_damaged_state_is_said(root: Path) -> None:
    (root / "datasets/a.csv").unlink()
    max((root / ".uda/states").iterdir()).write_bytes(b"?")
    _memory.clear()
    (damage,) = verified(root).damage
    assert damage == (".uda/root.json", "not as it was written", "the next run")
    run(root)
    assert verified(root).damage == []


def test_what_is_being_written_meanwhile_is_no_damage(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drop is converted anew, and others published, between the look at a manifest and that at its files."""
    real, left = StateFiles.read, [1]

    def meanwhile(self: StateFiles) -> State:
        found = real(self)
        if left.pop() if left else 0:
            deliver(root, "a.csv", HEADER + record("other"))
            run(root)
        return found

    monkeypatch.setattr(StateFiles, "read", meanwhile)
    assert verified(root).damage == []
    assert left == []
