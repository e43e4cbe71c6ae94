"""The command line, as a process: exit codes, streams, and what is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[1] / "data/datasets/sample.csv"


def uda(*arguments: str | Path, root: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"UDA_DATA_ROOT": str(root)} if root else {})
    command = [sys.executable, "-m", "uda_assets", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def test_inspector_gives_the_same_bytes_for_csv_and_its_parquet(tmp_path: Path) -> None:
    done = uda("--op", "converter", "--filepath", SAMPLE, "--output", tmp_path / "sample.parquet", root=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "sample.parquet")
    answers = []
    for mode, path in [("csv", SAMPLE), ("parquet", tmp_path / "sample.parquet")]:
        output = tmp_path / f"{mode}.csv"
        done = uda("inspector", "--filepath", path, "--mode", mode, "--n", "5", "--output", output, root=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        answers.append(output.read_bytes())
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"platform,user_id,session_count\nAndroid,")


def test_generator_and_supplier_as_operators(tmp_path: Path) -> None:
    done = uda("--op=generator", "--filepath", tmp_path / "g.csv", "--mode", "csv", "--n", "300")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "g.csv").read_bytes().splitlines()) == 301
    done = uda("--op", "supplier", "--filepath", tmp_path / "in", "--drops", "3", "--interval", "0", "--n", "50")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "in").rglob("*.csv"))) == 3
    assert not [path for path in (tmp_path / "in").rglob("*") if path.name.startswith(".") or path.suffix == ".part"]


def test_drops_quarantine_and_forget(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/a.csv").write_bytes(SAMPLE.read_bytes())
    assert uda("converter", root=tmp_path).returncode == 0
    (ledger,) = json.loads(uda("drops", "--format", "json", root=tmp_path).stdout)
    assert (ledger["drop"], ledger["status"], ledger["records"], ledger["quarantined"]) == (
        "a.csv",
        "committed",
        5000,
        100,
    )
    faults = json.loads(uda("quarantine", "--format", "json", "--drop", "a.csv", root=tmp_path).stdout)
    assert len(faults) == 100
    assert set(faults[0]) == {"drop", "line", "reason", "raw"}
    assert uda("forget", "a.csv", root=tmp_path).returncode == 0
    (ledger,) = json.loads(uda("drops", "--format", "json", root=tmp_path).stdout)
    assert ledger["status"] == "forgotten"
    assert (tmp_path / "results/Result_top_n_by_platform.csv").read_text() == "platform,user_id,session_count\n"


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["inspector", "--filepath", "absent.csv"], 1, "absent.csv does not exist"),
        (["inspector", "--filepath", "."], 1, "is a directory"),
        (["inspector", "--filepath", "empty.csv"], 1, "no header"),
        (["inspector", "--filepath", "empty.csv", "--n", "0"], 2, "n must be at least 1"),
        (["inspector", "--filepath", "empty.csv", "--n", "many"], 2, "--n"),
        (["inspector", "--filepath", "empty.csv", "--mode", "xml"], 2, "xml"),
        (["inspector", "--filepath", "empty.csv", "--format", "xml"], 2, "xml"),
        (["inspector", "--filepath", "empty.csv", "--output", "x.doc"], 2, "x.doc"),
        (["inspector"], 2, "--filepath is missing"),
        (["--op", "nonsense"], 2, "nonsense"),
        (["inspector", "--filepath", "bad.csv", "--error-mode", "fail_fast"], 1, "line 2: too_few_fields"),
        (["inspector", "--filepath", "bad.csv"], 1, "max_reject_ratio"),
        (["drops", "--data-root", "nowhere"], 1, "no data root"),
    ],
)
def test_wrong_use_and_bad_data_are_said_in_one_line(
    tmp_path: Path, arguments: list[str], code: int, complaint: str
) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "bad.csv").write_text("user_id,session_id,platform,activity_time,activity_type\nx\n")
    environment = os.environ | {"UDA_DATA_ROOT": str(tmp_path / "root")}
    done = subprocess.run(
        [sys.executable, "-m", "uda_assets", *arguments],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "empty.csv"]


def test_the_command_line_does_not_import_dagster() -> None:
    code = "import sys; from uda_assets.cli import run; run(['inspector', '--filepath', sys.argv[1]]); " \
           "print([m for m in ('dagster', 'faker', 'dask') if m in sys.modules], file=sys.stderr)"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, SAMPLE], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
