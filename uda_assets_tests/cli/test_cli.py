"""The command line in a process of its own: exit codes, streams, and the files it writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from uda_assets.cli.output import Format, render, table_of
from uda_assets_tests.support import chain
from uda_assets_tests.support.places import SAMPLE


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
        (["inspector", "--filepath", "empty.csv"], 1, "empty.csv: no_header"),
        (["converter", "--filepath", "empty.csv"], 1, "empty.csv: no_header"),
        (["inspector", "--filepath", "empty.csv", "--n", "0"], 2, "n must be at least 1"),
        (["inspector", "--filepath", "empty.csv", "--n", "many"], 2, "--n"),
        (["inspector", "--filepath", "empty.csv", "--mode", "xml"], 2, "xml"),
        (["inspector", "--filepath", "empty.csv", "--format", "xml"], 2, "xml"),
        (["inspector", "--filepath", "empty.csv", "--output", "x.doc"], 2, "x.doc"),
        (["generator", "--filepath", "a.csv", "--output", "b.csv"], 2, "--filepath and --output"),
        (["inspector"], 2, "--filepath is missing"),
        (["--op", "nonsense"], 2, "nonsense"),
        (["inspector", "--filepath", "bad.csv", "--error-mode", "fail_fast"], 1, "line 2: too_few_fields"),
        (["inspector", "--filepath", "bad.csv"], 1, "max_reject_ratio"),
        (["drops", "--data-root", "nowhere"], 1, "no data root"),
    ],
)
def test_wrong_use_and_bad_data_give_a_message_of_one_line(
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


def _shell(command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    script = command.replace("uda ", f"{sys.executable} -m uda_assets ")
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, cwd=cwd, timeout=60, check=False,
        env=os.environ | {"UDA_DATA_ROOT": str(cwd / "root")} | environment,
    )  # fmt: skip


@pytest.fixture
def odd_files(tmp_path: Path) -> Path:
    shutil.copy(SAMPLE, tmp_path / "s.csv")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "gone.csv").symlink_to("nowhere")
    pl.DataFrame({"platform": ["iOS"], "user_id": [1]}).write_parquet(tmp_path / "other.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "code", "complaint"),
    [
        ("inspector --filepath pipe.csv", 1, "pipe.csv is not a regular file"),
        ("inspector --filepath pipe.csv --mode parquet", 1, "pipe.csv is not a regular file"),
        ("converter --filepath pipe.csv", 1, "pipe.csv is not a regular file"),
        ("converter --filepath loop.csv", 1, "loop.csv does not exist"),
        ("converter --filepath gone.csv", 1, "gone.csv does not exist"),
        ("inspector --filepath s.csv --mode parquet", 1, "s.csv is not a converted drop: "),
        ("inspector --filepath empty --mode parquet", 1, "empty is not a converted drop: "),
        ("inspector --filepath other.parquet --mode parquet", 1, "no column user_id of text"),
        (f"inspector --filepath s.csv --n {2**127}", 2, f"n must be at most {2**63 - 1}"),
        ("inspector --filepath s.csv --output /proc/x.csv", 1, "/proc/x.csv cannot be written"),
        ("inspector --filepath s.csv --output loop.csv", 1, "loop.csv cannot be written"),
        ("inspector --filepath s.csv >&-", 1, "stdout is closed"),
        ("leaderboard --output .csv/", 2, "--output"),
        ("converter --data-root empty", 1, "empty"),
    ],
)
def test_odd_files_and_streams_give_a_message_of_one_line(
    odd_files: Path, command: str, code: int, complaint: str
) -> None:
    before = sorted(odd_files.iterdir())
    done = _shell(f"uda {command}", odd_files)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(odd_files.iterdir()) == before


def test_a_device_or_pipe_is_written_to_and_a_link_stays_one(odd_files: Path) -> None:
    (odd_files / "link.csv").symlink_to("target.csv")
    os.mkfifo(odd_files / "out.csv")
    inspect = "uda inspector --filepath s.csv --n 1 --format csv"
    for command in (
        f"{inspect} --output /dev/stdout",
        f"cat out.csv & {inspect} --output out.csv; wait",
        f"{inspect} --output link.csv; cat target.csv",
    ):
        done = _shell(command, odd_files)
        assert done.stdout.startswith("platform,user_id,session_count\nAndroid,"), (command, done.stderr)
    assert (odd_files / "out.csv").is_fifo()
    assert (odd_files / "link.csv").is_symlink()


def test_messages_never_go_to_stdout(odd_files: Path) -> None:
    done = _shell("uda inspector --filepath absent.csv 2>&-", odd_files)
    assert (done.returncode, done.stdout) == (1, "")
    done = _shell("uda inspector --filepath s.csv --n 1 --format csv 2>&-", odd_files)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 4


def test_a_locale_changes_nothing(odd_files: Path) -> None:
    (odd_files / "ü.csv").write_text("user_id,session_id,platform,activity_time,activity_type\n"
                                     '"ü, ""日本""",s,ios,2026-01-01T00:00:00Z,view\n', encoding="utf-8")  # fmt: skip
    for environment in ({"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}):
        done = subprocess.run(
            [sys.executable, "-m", "uda_assets", "inspector", "--filepath", "ü.csv", "--format", "csv"],
            capture_output=True, cwd=odd_files, env=os.environ | environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode() == 'platform,user_id,session_count\niOS,"ü, ""日本""",1\n'


def test_a_message_says_that_nothing_is_pending(tmp_path: Path) -> None:
    done = uda("converter", root=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "no drops are pending below" in done.stderr


_HEAVY = ("dagster", "pydantic", "typer", "rich", "faker", "dask", "pandas")
_DATA_FRAMES = ("polars", "pyarrow", "numpy")


def _imported(*arguments: str | Path, of: tuple[str, ...]) -> str:
    code = "import sys; from uda_assets.cli import run; code = run(sys.argv[2:]); " \
           "print([m for m in sys.argv[1].split() if m in sys.modules], file=sys.stderr); sys.exit(code)"  # fmt: skip
    command = [sys.executable, "-c", code, " ".join(of), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()[-1]


def test_the_command_line_does_not_import_dagster(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    shutil.copy(SAMPLE, tmp_path / "datasets/a.csv")
    chain.run(tmp_path)
    root = ("--data-root", tmp_path)
    assert _imported("inspector", "--filepath", SAMPLE, of=_HEAVY) == "[]"
    assert _imported(*root, "drops", of=_HEAVY) == "[]"
    # Commands that are run often and answer fast do not even import data frames.
    window = ("--since", "2026-01-10", "--platform", "iOS")
    for command in (["--help"], ["leaderboard", "--n", "7", *window], ["quarantine"], ["query", "FROM drops"]):
        assert _imported(*root, *command, of=_HEAVY + _DATA_FRAMES) in ("[]", "")


@pytest.mark.parametrize("window", [{}, {"since": "2026-01-10"}, {"since": "2026-01-05", "until": "2026-01-06"}])
def test_a_lookup_gives_what_would_be_published(tmp_path: Path, window: dict[str, str]) -> None:
    (tmp_path / "datasets").mkdir()
    lines = SAMPLE.read_bytes().splitlines(keepends=True)
    # Two drops share sessions, and a later one changes counts that are already stored.
    for name, part in {"a.csv": lines[:2500], "b.csv": [lines[0], *lines[2000:4000]]}.items():
        (tmp_path / "datasets" / name).write_bytes(b"".join(part))
    chain.run(tmp_path)
    (tmp_path / "datasets/c.csv").write_bytes(b"".join([lines[0], *lines[4000:4100]]))
    chain.run(tmp_path, n=7, **window)
    published = (tmp_path / "results/Result_top_n_by_platform.csv").read_text()
    flags = [part for name, value in window.items() for part in (f"--{name}", value)]
    assert uda("leaderboard", "--n", "7", *flags, "--format", "csv", root=tmp_path).stdout == published
    header, *rows = published.splitlines(keepends=True)
    for spelling in ("iOS", " IOS"):
        board = uda("leaderboard", "--n", "7", *flags, "--platform", spelling, "--format", "csv", root=tmp_path).stdout
        assert board == header + "".join(row for row in rows if row.startswith("iOS,"))


def test_tables_are_written_as_polars_writes_them() -> None:
    texts = ["plain", "", None, 'a "b", c', "two\nlines", "cr\r", " space ", "日本"]
    moments = [datetime(2026, 1, 2, 3, 4, 5, 6, UTC), None, *[datetime(1, 1, 1, tzinfo=UTC)] * 6]
    schema = {"t,1": pl.String(), "n": pl.Int64(), "m": pl.Datetime("us", "UTC")}
    frame = pl.DataFrame({"t,1": texts, "n": range(8), "m": moments}, schema=schema)
    assert "".join(render(table_of(frame), Format.CSV)) == frame.write_csv()


@pytest.mark.parametrize("home", ["relative", "/nowhere/at/all"])
def test_dev_says_what_is_wrong_with_a_dagster_home(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)
    done = uda("dev", "--port", "1", root=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"uda: DAGSTER_HOME is {home!r}, which is not the absolute path of a directory")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
