"""Who may read and write what we make is for the umask to say: as with any file that a program makes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from uda_assets.cli.dev import own_dagster_home
from uda_assets.cli.program import run as program
from uda_assets_tests.support.chain import HEADER, deliver, record, run, settings_of


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o022, 0o077], ids=oct)
def test_the_umask_decides(mask: int, tmp_path: Path) -> None:
    root, beside = tmp_path / "root", tmp_path / "beside"
    with umask(mask):
        beside.mkdir()
        deliver(root, "a.csv", HEADER + record("s1") + record("s2", "Web") + "short\n")
        deliver(root, "sub/b.csv", HEADER + record("s1"))
        run(root)
        deliver(root, "a.csv", HEADER + record("s3"))
        run(root, since="2026-01-01", until="2026-01-02")
        source, data_root = ["--filepath", str(root / "datasets/a.csv")], ["--data-root", str(root)]
        for arguments in (
            ["converter", *source, "--output", str(beside / "a.parquet")],
            ["inspector", *source, "--output", str(beside / "top.csv")],
            ["inspector", *source, "--output", str(beside / "top.parquet")],
            ["leaderboard", *data_root, "--output", str(beside / "board.json")],
            ["report", *data_root],
            ["report", *data_root, "--output", str(beside / "report.html")],
            ["generator", "--filepath", str(beside / "new.csv"), "--n", "100", "--truth", str(beside / "truth")],
            ["supplier", *data_root, "--drops", "1", "--interval", "0", "--n", "100"],
            ["forget", *data_root, "sub/b.csv"],
        ):
            assert program(arguments) == 0, arguments
        own_dagster_home(settings_of(root))
    made = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o7777 for path in tmp_path.rglob("*")}
    for name in ("root/results/Result_top_n_by_platform.csv", "root/uda.duckdb", "root/results/report.html",
                 "root/.uda/root.json", "root/.dagster/dagster.yaml",
                 "beside/board.json", "beside/truth"):  # fmt: skip
        assert name in made
    wrong = {
        name: oct(mode)
        for name, mode in made.items()
        if mode != (0o777 if (tmp_path / name).is_dir() else 0o666) & ~mask
    }
    assert not wrong


def test_a_report_needs_no_write_access(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("s1"))
    run(tmp_path)
    # Nobody can take the lock here, as on a data root of somebody else's.
    (tmp_path / ".uda/lock").unlink()
    (tmp_path / ".uda/lock").mkdir()
    before = visible(tmp_path)
    assert program(["report", "--data-root", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    path = Path(printed.out.strip())
    assert "Sessions" in path.read_text()
    assert tmp_path not in path.parents
    assert "cannot be written" in printed.err
    assert visible(tmp_path) == before


def visible(root: Path) -> list[Path]:
    """All files but those below .uda, where notes may be kept if that is possible."""
    return sorted(path for path in root.rglob("*") if ".uda" not in path.parts)
