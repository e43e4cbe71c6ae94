"""Names are names: whatever a drop or the data root is called, it is no pattern, no partition and no other drop."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from uda_assets.basics.errors import UdaError
from uda_assets.lake import open_lake
from uda_assets_tests.cli.test_cli import uda
from uda_assets_tests.support.chain import HEADER, deliver, forget, ledger, published, record, run, settings_of

TOGETHER = [
    ["a*.csv", "ab.csv", "a?.csv"],
    ["a[1].csv", "a1.csv", "[!x].csv"],
    ["a\\*.csv", "a\\b.csv", "a%5Cb.csv", "a%255Cb.csv"],
    ["date=2026-01-01/a.csv", "b.csv", "month=1/c.csv"],
    ["platform=Web/a.csv", "user_id=5/b.csv", "drop=x/c.csv", "filename=y/d.csv"],
    ["user_id=5/a.csv"],
    ["a.csv", "a.csv.parquet/b.csv", "a.csv.parquet/platform=iOS/part.0.csv", "a.csv%2Eparquet/b.csv"],
    ["x/_manifest.json/a.csv", "_metadata/a.csv", "a.csv/b.csv"],
    ["A.CSV", "a.csv", "a.csv.gz.csv"],
    ["a'b.csv", 'c"d.csv', "e,f.csv", " g .csv", "-h.csv", "new\nline.csv", "100%.csv", "{a,b}.csv", "~/$X.csv"],
    ["x" * 240 + ".csv"],
]


@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: names[0][:20])
def test_each_drop_counts_once_and_as_itself(tmp_path: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        deliver(tmp_path, name, HEADER + record(f"s{number}") + record(f"s{number}", "Web") + "short\n")
    for _ in range(2):
        run(tmp_path)
        sessions = published(tmp_path, "SELECT platform, user_id, session_id, events FROM sessions")
        assert sorted(sessions) == sorted(
            (platform, "u1", f"s{number}", 1) for platform in ("Web", "iOS") for number in range(len(names))
        )
        quarantined = published(tmp_path, 'SELECT "drop", line, raw FROM quarantine')
        assert sorted(quarantined) == sorted((name, 4, "short") for name in names)
        assert {name: entry.status for name, entry in ledger(tmp_path).items()} == dict.fromkeys(names, "committed")
    deliver(tmp_path, names[0], HEADER + record("other"))
    run(tmp_path)
    found = published(tmp_path, "SELECT session_id FROM sessions WHERE platform = 'iOS'")
    assert sorted(found) == sorted([("other",), *((f"s{number}",) for number in range(1, len(names)))])
    forget(open_lake(settings_of(tmp_path)), settings_of(tmp_path), names[0])
    assert published(tmp_path, "SELECT count(*) FROM sessions") == [(2 * len(names) - 2,)]


@pytest.mark.parametrize("name", ["platform=Web", "user_id=1", "a[1]b", "u*a", "it's"])
def test_the_data_root_may_be_called_anything(tmp_path: Path, name: str) -> None:
    deliver(tmp_path / name, "a.csv", HEADER + record("s1") + "short\n")
    deliver(tmp_path / "a1b", "a.csv", HEADER + record("not this one"))
    run(tmp_path / name)
    assert published(tmp_path / name, "SELECT platform, user_id, session_id FROM sessions") == [("iOS", "u1", "s1")]
    done = uda("inspector", "--mode", "parquet", "--format", "json", "--filepath",
               tmp_path / name / "dataset_parquets/a.csv.parquet")  # fmt: skip
    assert json.loads(done.stdout) == [{"platform": "iOS", "user_id": "u1", "session_count": 1}]


@pytest.mark.parametrize(
    ("name", "shown", "fault"),
    [(b"\xff.csv", "\\xff.csv", "not UTF-8"), (b"x" * 250 + b".csv", "x" * 250 + ".csv", "254 bytes")],
)
def test_a_file_that_cannot_be_named_is_rejected_and_the_others_go_on(
    tmp_path: Path, name: bytes, shown: str, fault: str
) -> None:
    deliver(tmp_path, name, HEADER + record("s1"))
    deliver(tmp_path, "b.csv", HEADER + record("s2"))
    run(tmp_path)
    assert published(tmp_path, "SELECT session_id FROM sessions") == [("s2",)]
    entry = ledger(tmp_path)[shown]
    assert entry.status == "rejected"
    assert entry.reason is not None
    assert fault in entry.reason
    assert "rename it" in entry.reason
    assert published(tmp_path, "SELECT \"drop\" FROM drops WHERE status = 'rejected'") == [(shown,)]


def test_links_pipes_and_directories_are_no_drops_unless_they_lead_to_a_file_of_datasets(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv/inner.csv", HEADER + record("s1"))
    deliver(tmp_path, "kept/elsewhere.csv", HEADER + record("s2"))
    datasets = tmp_path / "datasets"
    (datasets / "link.csv").symlink_to(datasets / "kept/elsewhere.csv")
    (datasets / "chain.csv").symlink_to("link.csv")
    (datasets / "loop.csv").symlink_to("loop.csv")
    (datasets / "broken.csv").symlink_to("nowhere")
    (datasets / "up").symlink_to(datasets)
    os.mkfifo(datasets / "pipe.csv")
    run(tmp_path)
    assert sorted(ledger(tmp_path)) == ["a.csv/inner.csv", "chain.csv", "kept/elsewhere.csv", "link.csv"]
    assert published(tmp_path, "SELECT count(*) FROM sessions") == [(2,)]
    done = uda("converter", "--filepath", datasets / "link.csv", root=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (datasets / "link.csv.parquet").exists(), "a link among the drops is a drop"


@pytest.mark.parametrize("name", ["./a.csv", "sub/../a.csv", "../datasets/a.csv"])
def test_a_drop_has_one_name(tmp_path: Path, name: str) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("s1"))
    (tmp_path / "datasets/sub").mkdir()
    run(tmp_path)
    with pytest.raises(UdaError, match="there is no drop"):
        forget(open_lake(settings_of(tmp_path)), settings_of(tmp_path), name)
    assert ledger(tmp_path)["a.csv"].status == "committed"


@pytest.mark.parametrize("character", ["\\", "?"])
def test_a_data_root_that_duckdb_cannot_address_is_refused(tmp_path: Path, character: str) -> None:
    root = tmp_path / f"back{character}slash"
    (tmp_path / "back").mkdir()
    deliver(root, "a.csv", HEADER + record("s"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UdaError, match=r"the data root .*DuckDB.*rename the directory, or name another data root"):
        run(root)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("character", [*"#%;:\"~$&!@=+,'[]*<>|{}() \t\n", "é", "%2F", "platform=x/"])
def test_a_data_root_may_have_any_other_character(tmp_path: Path, character: str) -> None:
    root = tmp_path / f"a{character}b"
    deliver(root, "a.csv", HEADER + record("s") + "short\n")
    run(root)
    assert published(root, "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM quarantine)") == [(1, 1)]
