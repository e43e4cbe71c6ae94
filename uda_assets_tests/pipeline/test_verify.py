"""`uda verify`: what changes without its stat changing, which no run can see, is found, named and then mended."""

from __future__ import annotations

import json
import time
from datetime import date
from pathlib import Path

import msgspec
import polars as pl
import pytest

from uda_assets.basics.errors import UdaError
from uda_assets.lake import Lake, SessionsManifest, integrity, open_lake
from uda_assets.lake.converted import ConvertedDrops
from uda_assets.lake.sealed import sealed
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.days import publish_days
from uda_assets.pipeline.verification import Verified, verify
from uda_assets.storage import Signature
from uda_assets_tests.cli.test_cli import uda
from uda_assets_tests.support.chain import HEADER, deliver, ledger, published, record, run, settings_of

RESULT = "results/Result_top_n_by_platform.csv"
PART = "dataset_parquets/{}.parquet/platform=iOS/part.0.parquet"
SESSIONS = [("a.csv", 1), ("shared", 2), ("sub/b.csv", 1)]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two drops, and nothing so young that a run would read it again anyway."""
    monkeypatch.setattr(integrity, "RACY_NANOSECONDS", 0)
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
    manifests, lookup = lake.converted.manifests(), lake.converted.signature_lookup()
    noted = lake.notes.read("footers", dict[str, integrity.DropFiles])
    assert noted
    keys = {drop: integrity._key_of(lake, manifests[drop], lookup)[0] for drop in noted}
    lake.notes.write("footers", {drop: msgspec.structs.replace(held, key=keys[drop]) for drop, held in noted.items()})
    sessions = lake.notes.read("sessions", dict[str, Signature])
    assert sessions
    lake.notes.write("sessions", {path: lake.files.signature(lake.sessions / path) for path in sessions})
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
    from uda_assets.pipeline.arrivals import arrivals

    time.sleep(0.01)
    settings = settings_of(root, settle_seconds=0)
    assert (arrivals(settings).pending, arrivals(settings).unpublished) == ([], False)
    decay(root, PART.format("a.csv"))
    assert arrivals(settings).pending == []
    assert len(verified(root).damage) == 1
    assert (arrivals(settings).pending, arrivals(settings).unpublished) == (["a.csv"], True)


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
    (root / "sessions/_manifest.json").write_text("{")
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
    assert mended.pop(changed[-1]) == "materialize daily_top_n_by_platform for that day"
    assert set(mended.values()) == {"the next run"}
    run(root)
    assert published(root, "SELECT * FROM daily_top_n_by_platform") == [], "what is damaged is left out"
    with lake.writing(0):
        publish_days(lake, settings, [date(2026, 1, 1)])
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
    with lake.published.publishing() as publishing:
        text = "<title>not made by the charting script, which takes seconds</title>"
        publishing.replacing(lake.results / "report.html").write_text(text)


def test_what_does_not_add_up_is_found_though_every_file_is_sound(root: Path) -> None:
    lake = open_lake(settings_of(root))
    manifest = lake.merged.read()
    assert manifest
    (counts,) = manifest.counts
    path = lake.sessions / counts.path
    pl.read_parquet(path, hive_partitioning=False).with_columns(session_count=pl.lit(9)).write_parquet(path)
    spoilt = msgspec.structs.replace(counts, checksum=lake.files.hash(path))
    _seal(lake, msgspec.structs.replace(manifest, counts=[spoilt]))
    (damage,) = verified(root).damage
    assert damage == (
        "counts", "session counts: 2 rows differ from a recount of the records",
        "remove sessions/, and the next run builds it anew",
    )  # fmt: skip


def _seal(lake: Lake, manifest: SessionsManifest) -> None:
    (lake.sessions / "_manifest.json").write_bytes(sealed(manifest))


def test_a_lost_manifest_is_named_and_does_not_keep_the_rest_from_being_looked_at(root: Path) -> None:
    (root / "datasets/a.csv").unlink()
    (root / "dataset_parquets/a.csv.parquet/_manifest.json").write_text("{")
    (root / "results/_manifest.json").write_text('{"version": 3}')
    found = {one.what: one.mended_by for one in verified(root).damage}
    assert found == {
        "dataset_parquets/a.csv.parquet/_manifest.json":
            "deliver the drop again, or remove dataset_parquets/a.csv.parquet to go on without it",
        "results/_manifest.json": "the next run",
    }  # fmt: skip


def test_what_is_being_written_meanwhile_is_no_damage(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drop is converted anew, and others published, between the look at a manifest and that at its files."""
    real, left = ConvertedDrops.read_all, [1]

    def meanwhile(self: ConvertedDrops) -> object:
        found = real(self)
        if left.pop() if left else 0:
            deliver(root, "a.csv", HEADER + record("other"))
            run(root)
        return found

    monkeypatch.setattr(ConvertedDrops, "read_all", meanwhile)
    assert verified(root).damage == []
    assert left == []
