"""Progress bars, summaries and tables on a terminal, and plain output everywhere else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from uda_assets.basics.progress import Advance, Log, Pace
from uda_assets.lake import open_lake
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets_tests.support import chain
from uda_assets_tests.support.chain import HEADER, record
from uda_assets_tests.support.terminal import in_terminal, without_escapes

GENERATE = ("generator", "--filepath", "g.csv", "--n", "60000")


def test_a_terminal_shows_bars_and_a_table(tmp_path: Path) -> None:
    code, output = in_terminal(*GENERATE, root=tmp_path)
    assert code == 0
    text = without_escapes(output)
    assert re.search(r"generating .*\d+% +[\d,]+ records [\d,]+ records/s", text)
    assert re.search(r"records +60,000\s", text)
    assert "written to g.csv" in text
    assert "\x1b[1m" in output, "there are colours"
    assert output.count("\x1b[?25l") == output.count("\x1b[?25h"), "the cursor is shown again"

    code, output = in_terminal("inspector", "--filepath", "g.csv", "--n", "2", root=tmp_path, NO_COLOR="1")
    text = without_escapes(output)
    assert (code, bool(re.search(r"inspecting .*%.* records/s", text))) == (0, True)
    assert re.search(r"kept +59,7\d\d", text)
    assert re.search(r"quarantined +300 +0\.5%", text)
    assert re.search(r"too_few_fields +\d+", text)
    assert "\x1b[3" not in output, "there are no colours"

    chain.deliver(tmp_path, "b.csv", HEADER + record("s1") + "broken\n")
    for width in (32, 60):
        (tmp_path / "datasets/a.csv").write_bytes((tmp_path / "g.csv").read_bytes() + record(f"w{width}").encode())
        code, output = in_terminal("converter", root=tmp_path, width=width)
        text = without_escapes(output)
        assert code == 0, text
        assert re.search(r"quarantined +30\d", text)
        moved = [line for line in re.split(r"[\r\n]+", text) if re.search(r"\d%.* records/s", line)]
        assert moved
        assert all(len(line) <= width for line in moved), moved


def test_an_interrupted_bar_leaves_one_line(tmp_path: Path) -> None:
    code, output = in_terminal(
        "generator", "--filepath", "g.csv", "--n", "1000000000", root=tmp_path, until=" records/s"
    )
    assert code == 130
    assert output.endswith("\x1b[31m\x1b[1muda: \x1b[0mstopped; nothing is left half-written\r\n")
    assert output.count("\x1b[?25l") == output.count("\x1b[?25h") == 1, "the cursor is shown again"
    assert not list(tmp_path.iterdir())


def test_a_table_fits_the_terminal(tmp_path: Path) -> None:
    chain.deliver(
        tmp_path, f"{'long-' * 20}.csv", HEADER + record("s1", user="日本" * 40) + record("s2", user="e\u0301")
    )
    chain.run(tmp_path)
    code, output = in_terminal("drops", root=tmp_path, width=100)
    header, rule, row = output.splitlines()
    assert (code, header[:4]) == (0, "\x1b[1m")
    assert 98 <= len(rule) <= 100
    assert row.startswith("long-long-") and "… " in row  # noqa: PT018
    code, output = in_terminal("leaderboard", root=tmp_path, width=60, NO_COLOR="1")
    lines = output.splitlines()
    assert (len(lines), lines[1]) == (4, "--------  -----------------------------------  -------------")
    wide = next(line for line in lines if "日" in line)
    assert wide == "iOS       " + "日本" * 8 + "日…" + "              1"
    narrow = next(line for line in lines if "e\u0301" in line)
    assert narrow == "iOS       e\u0301" + " " * 34 + "              1"
    # Nothing is cut in a pipe.
    done = uda("leaderboard", root=tmp_path)
    assert "日本" * 40 in done


def uda(*arguments: str, root: Path) -> str:
    command = [sys.executable, "-m", "uda_assets", "--data-root", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_output_is_plain_without_a_terminal(tmp_path: Path) -> None:
    code, output = in_terminal(*GENERATE, root=tmp_path, TERM="dumb")
    assert (code, output) == (0, "wrote 60000 records to g.csv\r\n")
    command = [sys.executable, "-m", "uda_assets", "inspector", "--filepath", "g.csv", "--format", "csv"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True, env=os.environ | {"FORCE_COLOR": "1"}
    )
    assert done.stdout.startswith("platform,user_id,session_count\nAndroid,")
    assert re.fullmatch(r"g\.csv: 60000 records, 59700 kept, 300 quarantined \([a-z_ 0-9,]+\)\n", done.stderr)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_pace() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.begin({"a": 300, "b": 100})
    assert (pace.records, pace.share, pace.records_per_second, pace.seconds_left) == (0, 0, 0, None)
    clock.now += 10
    pace.advance(Advance("a", 30, 60, 500))
    assert (pace.records, pace.share, pace.records_per_second) == (500, 0.375, 50)
    assert pace.seconds_left == pytest.approx(10 / 0.375 - 10)
    pace.advance(Advance("a", 6, 60, 100))
    assert pace.records == 100, "a file that is read again starts from zero"
    pace.advance(Advance("a", 60, 60, 1000))
    pace.advance(Advance("b", 1, 1, 200))
    assert (pace.records, pace.share, pace.seconds_left) == (1200, 1, 0)


def test_a_log_has_a_line_every_few_seconds(tmp_path: Path) -> None:
    clock, lines = Clock(), list[str]()
    log = Log(lines.append, clock=clock)
    log.begin({"a": 100})
    for done in (20, 40, 60, 80, 100):
        clock.now += 2
        log.advance(Advance("a", done, 100, done * 1000))
    assert lines == ["60,000 records so far, 60%, 10,000 records/s, 4 s left"]
    log.tasks(1, 6)
    clock.now += 5
    log.tasks(2, 6)
    assert lines[1:] == ["2 of 6 tasks done"]

    lines.clear()
    chain.deliver(tmp_path, "a.csv", HEADER + record("s1") + "broken\n")
    settings = chain.settings_of(tmp_path)
    lake = open_lake(settings)
    with open_run(lake, settings) as run:
        convert_pending(run, progress=Log(lines.append, every=0))
    assert lines[-1].startswith("2 records so far, 100%, ")
