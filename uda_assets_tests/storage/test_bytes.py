"""A data root in a bucket with a real S3 API gives the same bytes as one in a directory, in every way to use it."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from uda_assets.basics.limits import Workplace
from uda_assets.engines.dask import DaskEngine
from uda_assets.lake import open_lake
from uda_assets.pipeline.status import waiting
from uda_assets.pipeline.units import PartSource, SplitJob, split
from uda_assets.pipeline.verification import verify
from uda_assets.warehouse.lookup import published_movement
from uda_assets_tests.storage.root import DROPS, RESULT, Root, counting, environment, in_a_directory, uda
from uda_assets_tests.support import chain
from uda_assets_tests.support.chain import HEADER, forget, record
from uda_assets_tests.support.cluster import in_process_client


def test_build_increment_and_correction_give_the_bytes_of_a_directory(root: Root, tmp_path: Path) -> None:
    increment = {"later/e.csv": HEADER + record("s6") + record("s2", "web", "u3")}
    correction = {"a.csv": HEADER + record("s9", "web") + record("s1")}
    steps = [DROPS, increment, correction]
    for number, drops in enumerate(steps, start=1):
        for drop, content in drops.items():
            root.deliver(drop, content)
        assert sorted(root.run()) == sorted(drops)
        assert root.read(RESULT) == in_a_directory(tmp_path / str(number), steps[:number])
        root.verify()
    assert root.run() == [], "nothing is converted twice"

    local = tmp_path / "uda.duckdb"
    root.files.get_file(f"{root.base}/uda.duckdb", str(local))
    with duckdb.connect(local, read_only=True) as warehouse:
        warehouse.register_filesystem(root.files)
        assert warehouse.execute('SELECT "drop", line, reason FROM quarantine ORDER BY ALL').fetchall() == [
            ("sub/b [x]*.csv", 4, "unknown_platform")
        ]
        assert warehouse.execute("SELECT sum(events) FROM sessions").fetchall() == [(7,)]

    directory = chain.settings_of(tmp_path / "3")
    moved = published_movement(root.lake(), root.settings()).rows
    assert moved
    assert moved == published_movement(open_lake(directory), directory).rows

    forget(root.lake(), root.settings(), "later/e.csv")
    forget(open_lake(directory), directory, "later/e.csv")
    assert root.read(RESULT) == (tmp_path / "3" / RESULT).read_bytes()
    assert not any("later/e.csv" in name for name in root.names() if not name.startswith("datasets/"))


def test_a_cluster_gives_the_same_bytes_on_a_bucket(root: Root, tmp_path: Path) -> None:
    lines = [record(f"s{number % 900}", user=f"u{number % 70}") for number in range(4_000)]
    drops = DROPS | {"large.csv": HEADER + "".join(lines) + "broken\n" + record("last")}
    increment = {"a.csv": HEADER + record("s9", "web"), "e.csv": HEADER + record("s6")}
    settings = root.settings(buckets=2, lock_timeout=30)
    with in_process_client() as client:
        engine = DaskEngine(client, settings, range_bytes=40_000)
        for number, delivered in enumerate((drops, increment), start=1):
            for drop, content in delivered.items():
                root.deliver(drop, content)
            chain.build(open_lake(settings), settings, engine)
            assert root.read(RESULT) == in_a_directory(tmp_path / str(number), [drops, increment][:number])
            root.verify()
    manifest = root.lake().state().drops["large.csv"]
    assert len(manifest.files) > 1, "it was converted in parts"
    assert not [name for name in root.names() if "/staging/" in name or "/attempts/" in name]
    (fault,) = [row for row in json.loads(uda(root, "quarantine", "--format", "json").stdout) if row["raw"] == "broken"]
    assert (fault["drop"], fault["line"]) == ("large.csv", 4_002)


def test_suppliers_are_those_of_the_bucket(root: Root) -> None:
    drop = (HEADER + record("s1")).replace(",", ";")
    root.deliver("acme/a.csv", drop)
    root.deliver("acme/notes.pdf", "x")
    assert root.run() == []
    entry = '[[supplier]]\nname = "acme"\ndrops = ["acme/*"]\ndelimiter = ";"\n'
    root.files.pipe_file(f"{root.base}/suppliers.toml", entry.encode())
    assert root.run() == ["acme/a.csv"]
    assert root.run() == []
    found = chain.statuses(root.lake(), root.settings())
    assert {drop: (entry.status, entry.supplier) for drop, entry in found.items()} == {
        "acme/a.csv": ("committed", "acme"), "acme/notes.pdf": ("ignored", None),
    }  # fmt: skip


def test_what_lies_below_a_drops_name_in_the_archive_is_not_its_raw_file(root: Root) -> None:
    root.deliver("a.csv", DROPS["a.csv"])
    root.run()
    root.files.mv(f"{root.base}/datasets/a.csv", f"{root.base}/archive/a.csv/notes.pdf")
    (part,) = [name for name in root.names() if name.startswith("dataset_parquets/") and "platform=iOS" in name]
    root.files.rm(f"{root.base}/{part}")
    assert root.run() == []


def test_a_worker_may_spill_to_another_file_system(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.deliver("a.csv", HEADER + "".join(record(f"s{number}", user=f"u{number}") for number in range(40)))
    root.run()
    lake = root.lake()
    sources = [PartSource(lake.parquet_dir("a.csv") / file.path, "a.csv") for file in lake.state().drops["a.csv"].files]

    def elsewhere(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", elsewhere)
    monkeypatch.setattr(os, "replace", elsewhere)
    files_by_bucket = split(SplitJob(sources, 4, lake.root / "split"), Workplace(2, "1GiB", tmp_path))
    assert files_by_bucket.keys() == {0, 1, 2, 3}
    assert {lake.below(path) for files in files_by_bucket.values() for path in files} <= root.names()


def test_what_is_replaced_is_removed(root: Root) -> None:
    root.deliver("a.csv", DROPS["a.csv"])
    root.run()
    before = {name for name in root.names() if name.startswith(("dataset_parquets/", "quarantine/"))}
    (manifest,) = root.lake().state().drops.values()
    quarantine = f"quarantine/{manifest.quarantine}"
    root.deliver("a.csv", HEADER + record("s7"))
    root.run()
    after = {name for name in root.names() if name.startswith(("dataset_parquets/", "quarantine/"))}
    (manifest,) = root.lake().state().drops.values()
    named = {f"dataset_parquets/a.csv.parquet/{file.path}" for file in manifest.files}
    named |= {f"dataset_parquets/a.csv.parquet/{name}" for name in ("_manifest.json", "_metadata", "_common_metadata")}
    assert after == named | {f"quarantine/{manifest.quarantine}", quarantine}
    assert {name for name in before & after if name.endswith(".parquet")} == {quarantine}, "no name is used twice"
    root.deliver("b.csv", HEADER + record("s8"))
    root.run()
    assert quarantine not in root.names(), "it stayed for readers of the warehouse that was published before"
    assert not root.debris()


def test_compressed_large_and_empty_objects(root: Root, tmp_path: Path) -> None:
    import gzip

    lines = [record(f"s{number}", user=f"u{number % 7}") for number in range(40_000)]
    drops = {"large.csv": HEADER + "".join(lines), "empty.csv": "", "head.csv": HEADER}
    for drop, content in drops.items():
        root.deliver(drop, content)
    root.deliver("packed.csv.gz", gzip.compress((HEADER + record("z")).encode()))
    root.deliver("half.csv.part", HEADER + record("no"))
    root.deliver(".hidden/x.csv", HEADER + record("no"))
    root.run(memory_limit="64MiB")
    kept = {manifest.drop: manifest.kept for manifest in root.lake().state().drops.values()}
    assert kept == {"large.csv": 40_000, "head.csv": 0, "packed.csv.gz": 1}
    assert "empty.csv" in root.lake().state().rejections
    root.verify()
    expected = in_a_directory(tmp_path, [drops | {"packed.csv": HEADER + record("z")}])
    assert root.read(RESULT) == expected


def test_the_sensor_tells_arrivals_by_listing_alone(root: Root) -> None:
    settings = root.settings(settle_seconds=0)
    for number in range(5):
        root.deliver(f"{number}.csv", HEADER + record(f"s{number}"))
    assert waiting(settings).pending == [f"{number}.csv" for number in range(5)]
    root.run()
    found = waiting(settings)
    assert (found.pending, found.unpublished) == ([], False)
    root.deliver("3.csv", HEADER + record("other"))
    with counting() as requests:
        assert waiting(settings).pending == ["3.csv"]
    read = [request.key.removeprefix(f"{root.base.partition('/')[2]}/") for request in requests
            if request.method == "GetObject"]  # fmt: skip
    assert {key.partition("/")[0] for key in read} <= {".uda", "platforms.toml", "suppliers.toml"}, requests
    assert len(read) <= 3, requests


@pytest.mark.parametrize(
    ("data_root", "variables", "code", "message"),
    [
        ("s3://no-such-bucket/x", {}, 1, "there is no data root at s3://no-such-bucket/x"),
        ("gs://bucket/x", {}, 2, "cannot be a data root"),
        ("s3://", {}, 2, "cannot be a data root"),
        ("s3://bucket/x", {"UDA_S3_ENDPOINT": "http://127.0.0.1:9"}, 1, "Could not connect"),
    ],
)
def test_what_is_wrong_with_a_data_root_is_said_in_one_line(
    root: Root, data_root: str, variables: dict[str, str], code: int, message: str
) -> None:
    done = uda(root, "drops", **({"UDA_DATA_ROOT": data_root} | variables))
    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_the_command_line_works_on_a_bucket(root: Root) -> None:
    root.deliver("a.csv", DROPS["a.csv"])
    root.run()
    root.deliver("b.csv", HEADER + record("s3"))
    ledger = json.loads(uda(root, "drops", "--format", "json").stdout)
    assert [(entry["drop"], entry["status"]) for entry in ledger] == [("a.csv", "committed"), ("b.csv", "pending")]
    malformed = json.loads(uda(root, "quarantine", "--format", "json").stdout)
    assert [(row["drop"], row["line"], row["raw"]) for row in malformed] == [("a.csv", 4, "broken")]
    board = uda(root, "leaderboard", "--format", "csv").stdout
    assert board.encode() == root.read(RESULT)
    query = "SELECT (SELECT sum(events) FROM sessions), raw FROM quarantine"
    assert uda(root, "query", query, "--format", "csv").stdout.splitlines()[1:] == ["3,broken"]
    root.files.pipe_file(f"{root.base}/secret.csv", b"a,b\n")
    refused = uda(root, "query", f"FROM 's3://{root.base}/sessions/../secret.csv'")
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)
    assert "nothing else" in refused.stderr
    assert uda(root, "report").returncode == 0
    assert b"<title>" in root.read("results/report.html")
    assert uda(root, "converter").returncode == 0
    assert uda(root, "forget", "b.csv").returncode == 0
    assert uda(root, "leaderboard", "--format", "csv").stdout == board


def test_what_is_not_as_it_was_put_is_found_and_mended(root: Root) -> None:
    root.deliver("a.csv", DROPS["a.csv"])
    root.run()
    assert root.run() == []
    before = root.read(RESULT)
    verification = verify(root.lake(), root.settings())
    assert verification.damage == []
    assert verification.records == 3
    (part,) = [name for name in root.names() if "a.csv.parquet/platform=iOS/" in name]
    (segment,) = [name for name in root.names() if name.startswith("sessions/platform=iOS/")]
    for name in (part, segment):
        content = root.read(name)
        root.files.pipe_file(f"{root.base}/{name}", content[:200] + bytes([content[200] ^ 1]) + content[201:])
    damage = verify(root.lake(), root.settings()).damage
    assert [each.mended_by for each in damage] == ["the next run, from datasets/a.csv", "the next run"]
    assert root.run() == ["a.csv"]
    assert root.read(RESULT) == before
    assert verify(root.lake(), root.settings()).damage == []


def test_the_supplier_delivers_to_directories(root: Root) -> None:
    done = uda(root, "supplier", "--drops", "1")
    assert done.returncode == 2
    assert "delivers to a directory, not to s3://" in done.stderr


def test_materialize_and_sensor_on_a_bucket(root: Root, tmp_path: Path) -> None:
    for drop, content in DROPS.items():
        root.deliver(drop, content)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("UDA_S3_ENDPOINT", "UDA_DATA_ROOT", "UDA_THREADS"):
            patch.setenv(name, environment(root)[name])
        from uda_assets.defs.resources import LakeResource
        from uda_assets_tests.support.definitions import defs

        with dg.DagsterInstance.ephemeral() as instance:
            job = defs.resolve_job_def("leaderboard_job")
            assert job.execute_in_process(instance=instance).success
            assert root.read(RESULT) == in_a_directory(tmp_path, [DROPS])
            context = dg.build_sensor_context(instance, resources={"lake": LakeResource()})
            sensor = defs.get_sensor_def("drop_sensor")
            assert "no drops are pending" in str(sensor.evaluate_tick(context).skip_message)
            root.deliver("late.csv", HEADER + record("s77"))
            time.sleep(3)
            (request,) = sensor.evaluate_tick(context).run_requests or ()
            assert request.tags["uda/drop_names"] == "late.csv"
            assert job.execute_in_process(instance=instance, run_config=request.run_config).success
    root.verify()
    late = {"late.csv": HEADER + record("s77")}
    assert root.read(RESULT) == in_a_directory(tmp_path / "later", [DROPS, late])


def test_nothing_is_left_of_a_drop_that_is_rejected(root: Root) -> None:
    root.deliver("a.csv", DROPS["a.csv"])
    root.deliver("bad.csv", HEADER + record("s1") + "broken\n" * 5)
    root.run()
    root.deliver("a.csv", HEADER + record("s1") + "broken\n" * 5)
    root.run()
    assert {drop for drop, entry in chain.statuses(root.lake(), root.settings()).items() if entry.reason} == {
        "a.csv", "bad.csv",
    }  # fmt: skip
    assert not root.debris()
    assert not [name for name in root.names() if "bad.csv" in name and not name.startswith("datasets/")]
