"""Hostile names and links cannot make any command read or write outside the data root.

One data root holds all of them at once, and an oracle in plain Python computes the expected results. A listing of
everything beside the data root shows that nothing was written there, and inotify shows that nothing was read.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import dagster as dg
import duckdb
import pytest
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from uda_assets.cli.program import run as program
from uda_assets.defs.automation import drop_sensor
from uda_assets.defs.resources import LakeResource
from uda_assets_tests.support.chain import HEADER, record, run
from uda_assets_tests.support.definitions import defs

NAMES = [
    # paths
    "x..%2F..%2Foutside%2Fsecret.csv", "%2e%2e/%2e%2e/outside.csv", "x.../x.csv", "a\\..\\..\\outside\\x.csv",
    "~/x.csv", "~root.csv", "file:/etc/passwd.csv", "s3:/bucket/x.csv", "-/--output=x.csv", "-rf.csv", "--help.csv",
    # partition keys, and the names of our own files
    "platform=iOS/x.csv", "platform=..%2F..%2Fx/y.csv", "drop=x=y.csv", "a=.csv", "_manifest.json/x.csv",
    "x.csv.parquet/y.csv",
    # patterns and reserved names
    "*.csv", "**/?.csv", "[!a]{b,c}.csv", "CON.csv", "nul.csv.csv", "COM1/aux.csv", "colon:stream.csv", "dot. .csv",
    # shells, SQL, templates, formulas
    "$(touch pwned).csv", "`touch pwned`.csv", "; touch pwned;.csv", "'; DROP TABLE drops; --.csv",
    "\"; DROP VIEW sessions; --.csv", "' UNION SELECT 1 --.csv", "{{7*7}}{% raw %}.csv", "%s%n${x}.csv", "=1+1.csv",
    # Markdown, HTML, terminals
    "[x](javascript:x).csv", "| a | b |.csv", "**b** `c`.csv", "<script>x<.csv", "<img src=x onerror=x>.csv",
    "&lt;b&gt;.csv", "\x1b[31mred\x1b[0m.csv", "\x1b]0;title\x07.csv", "\x9b2J.csv", "new\nline\r.csv", "\x7f\x08.csv",
    # letters
    "\u202egnp.csv", "\u200b\ufeff.csv", "e\u0301.csv", "\u00e9.csv", "\U000e0041.csv", "x" * 243 + ".csv",
]  # fmt: skip
PLATFORMS = [
    "../../outside/up", "..", ".", "/etc", "platform=x", "a%2Fb", "%2e%2e", "a/b", "\\..\\x", "~", "*", "[x]?",
    "'; DROP TABLE drops; --", '"q", "r"', "<script>x</script>", "$(touch pwned)", "`id`", "CON", "a|b", "-rf", "=1+1",
    "{{7*7}}", "[x](javascript:x)", "日本", "p" * 200,
]  # fmt: skip
LINKS = {
    "link.csv": "../../outside/secret.csv",
    "absolute.csv": "{outside}/secret.csv",
    "chain.csv": "link.csv",
    "packed.csv.gz": "{outside}/secret.csv",
    "feed": "../../outside/feed",
    "up": "../..",
    "sub/through.csv": "../feed/secret.csv",
}
SECRET = "who-was-never-delivered"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the data root ``root``, the target of links ``outside``, and the working directory ``work``."""
    (tmp_path / "work").mkdir()
    (tmp_path / "outside/feed").mkdir(parents=True)
    for name in ("outside/secret.csv", "outside/feed/secret.csv"):
        (tmp_path / name).write_text(HEADER + record("s", user=SECRET))
    for number, name in enumerate(NAMES):
        path = tmp_path / "root/datasets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(HEADER)
            csv.writer(file, lineterminator="\n").writerows(
                [f"u{number % 5}", f"s{number}", platform, "2026-01-01T00:00:00Z", "view"]
                for platform in platforms(number)
            )
            file.write("short\x1b[2J\n")
    for name, target in LINKS.items():
        link = tmp_path / "root/datasets" / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(target.format(outside=tmp_path / "outside"))
    table = "\n".join(f"{json.dumps(platform, ensure_ascii=False)} = []" for platform in PLATFORMS)
    (tmp_path / "root/platforms.toml").write_text(f"[platforms]\n{table}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("UDA_DATA_ROOT", "../root")
    monkeypatch.setenv("UDA_SETTLE_SECONDS", "0")
    return tmp_path


def platforms(place: int) -> list[str]:
    return ["iOS", PLATFORMS[place % len(PLATFORMS)]]


def true_board() -> list[list[str]]:
    counts = Counter((platform, f"u{place % 5}") for place in range(len(NAMES)) for platform in platforms(place))
    ranked = sorted(counts.items(), key=lambda row: (row[0][0], -row[1], row[0][1]))
    return [[platform, user, str(count)] for (platform, user), count in ranked]


def beside(place: Path) -> dict[str, tuple[int, bytes | str]]:
    """Everything beside the data root: its mode, and its content or link target."""
    listing: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if not name.startswith("root/"):
            content = path.read_bytes() if path.is_file() else str(path.readlink()) if path.is_symlink() else ""
            listing[name] = (path.lstat().st_mode, content)
    return listing


@contextmanager
def unopened(outside: Path) -> Iterator[None]:
    """Check by inotify that nothing below a directory is opened during the context."""
    events: Queue[FileSystemEvent] = Queue()

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            events.put(event)

    observer = Observer()
    observer.schedule(Handler(), str(outside), recursive=True)
    observer.start()
    try:
        (outside / "secret.csv").read_bytes()
        assert events.get(timeout=10), "reading is noticed"
        while drain(events):
            pass
        yield
        seen = drain(events)
        assert not seen
    finally:
        observer.stop()
        observer.join(10)


def drain(events: Queue[FileSystemEvent]) -> list[FileSystemEvent]:
    drained = []
    try:
        while True:
            drained.append(events.get(timeout=0.5))
    except Empty:
        return drained


def visible(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


def output_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> str:
    """Run a command, check that its stderr is printable, and return its stdout, or its stderr if it is to fail."""
    capsys.readouterr()
    assert program([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert visible(captured.err)
    assert "Traceback" not in captured.err
    return captured.err if code else captured.out


def rows_of(text: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


def test_hostile_names_are_only_names(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = beside(place)
    with unopened(place / "outside"):
        output_of(capsys, "converter")
        run_the_job()
        check_published(place / "root")
        check_commands(capsys)
    assert beside(place) == before
    assert not list(place.rglob("pwned*"))


def check_published(root: Path) -> None:
    board = true_board()
    with (root / "results/Result_top_n_by_platform.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1:] == board
    with duckdb.connect(root / "uda.duckdb", read_only=True) as warehouse:
        sessions = warehouse.execute("SELECT platform, user_id, session_id, events FROM sessions").fetchall()
        drops = warehouse.execute("SELECT \"drop\", kept, quarantined FROM drops WHERE status = 'committed'").fetchall()
        refused = warehouse.execute("SELECT \"drop\", reason FROM drops WHERE status = 'rejected'").fetchall()
        malformed = warehouse.execute('SELECT "drop", line, reason FROM quarantine').fetchall()
        counts = warehouse.execute("SELECT platform, user_id, session_count FROM session_counts").fetchall()
    assert sorted(sessions) == sorted(
        (platform, f"u{place % 5}", f"s{place}", 1) for place in range(len(NAMES)) for platform in platforms(place)
    )
    assert sorted(drops) == sorted((name, 2, 1) for name in NAMES)
    assert sorted(malformed) == sorted((name, 4, "too_few_fields") for name in NAMES)
    assert sorted([platform, user, str(count)] for platform, user, count in counts) == sorted(board)
    assert sorted(name for name, _ in refused) == [
        "absolute.csv",
        "chain.csv",
        "feed/",
        "link.csv",
        "packed.csv.gz",
        "sub/through.csv",
        "up/",
    ]
    assert all(reason.startswith("link_leads_out: it is a link that leads out of datasets") for _, reason in refused)
    page = (root / "results/report.html").read_text()
    assert SECRET not in page


def check_commands(capsys: pytest.CaptureFixture[str]) -> None:
    ledger = rows_of(output_of(capsys, "drops", "--format", "json"))
    assert {row["drop"]: row["status"] for row in ledger if not row["reason"]} == dict.fromkeys(NAMES, "committed")
    board = rows_of(output_of(capsys, "leaderboard", "--format", "json"))
    assert [[row["platform"], row["user_id"], str(row["session_count"])] for row in board] == true_board()
    as_csv = output_of(capsys, "leaderboard", "--format", "csv")
    assert list(csv.reader(io.StringIO(as_csv)))[1:] == true_board()
    for command in (["drops"], ["quarantine"], ["leaderboard"], ["leaderboard", "--movement"]):
        table = output_of(capsys, *command, "--format", "table")
        assert visible(table), "a table never passes control codes on to a terminal"
        assert visible(output_of(capsys, *command, "--format", "json"))
    for name in NAMES[::6]:
        rows = rows_of(output_of(capsys, "quarantine", f"--drop={name}", "--format", "json"))
        assert rows == [{"drop": name, "line": 4, "reason": "too_few_fields", "raw": "short\x1b[2J"}]
    for platform in PLATFORMS[::6]:
        rows = rows_of(output_of(capsys, "leaderboard", f"--platform={platform}", "--format", "json"))
        assert {row["platform"] for row in rows} == {platform}
    for link in LINKS:
        if link.endswith(".csv") and link != "sub/through.csv":
            message = output_of(capsys, "converter", "--filepath", f"../root/datasets/{link}", code=1)
            assert "leads out of datasets" in message


def run_the_job() -> None:
    """Run the job in Dagster, and check that its UI would show names as plain text."""
    with dg.DagsterInstance.ephemeral() as instance:
        with dg.build_sensor_context(instance=instance, resources={"lake": LakeResource()}) as context:
            asked = drop_sensor(context)
        assert isinstance(asked, dg.RunRequest), asked
        assert all(visible(tag) for tag in asked.tags.values())
        done = defs.resolve_job_def("leaderboard_job").execute_in_process(
            instance=instance, tags=asked.tags, run_config=asked.run_config
        )
        checks = done.get_asset_check_evaluations()
        shown = [event.step_materialization_data.materialization for event in done.get_asset_materialization_events()]
    assert {check.check_name for check in checks if not check.passed} == {"no_rejected_drops", "reject_ratio_low"}
    entries = [dict(materialization.metadata) for materialization in shown] + [dict(check.metadata) for check in checks]
    values = [value.value for metadata in entries for value in metadata.values()]
    texts = [value for value in values if isinstance(value, str)]
    assert all(visible(text) for text in texts)
    assert not [text for text in texts if "<script" in text.replace("\\<", "").replace("`<", "")]
    assert SECRET not in "".join(texts)


def test_names_that_somebody_writes_lead_nowhere_else(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No argument or setting that takes a drop's name or a pattern reaches outside the data root."""
    output_of(capsys, "converter", "--filepath", f"../root/datasets/{NAMES[0]}")
    # The data root of somebody else, with a committed drop of the same name.
    shutil.copytree(place / "root", place / "outside/root", symlinks=True)
    theirs = next((place / "outside/root/dataset_parquets").rglob("_manifest.json")).parent
    before = beside(place)
    with unopened(place / "outside"):
        for name in (
            f"../../outside/root/dataset_parquets/{NAMES[0]}", f"{theirs}".removesuffix(".parquet"),
            f"../datasets/{NAMES[0]}", f"./{NAMES[0]}", "..", "", "../../outside/secret.csv",
        ):  # fmt: skip
            message = output_of(capsys, "quarantine", f"--drop={name}", code=1)
            assert "there is no committed drop" in message
            assert "there is no drop" in output_of(capsys, "forget", "--", name, code=1)
        for pattern in ("../*", "../../outside/*", f"{place}/outside/*", "feed/*"):
            monkeypatch.setenv("UDA_INCLUDE", pattern)
            seen = rows_of(output_of(capsys, "drops", "--format", "json"))
            assert {row["drop"] for row in seen if row["status"] not in ("vanished", "rejected")} == set()
    assert beside(place) == before


def test_archived_drops_stay_below_the_data_root(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = beside(place)
    run(place / "root", clean_source="archive")
    assert beside(place) == before
    archived = {
        str(path.relative_to(place / "root/archive")) for path in (place / "root/archive").rglob("*") if path.is_file()
    }
    assert archived == set(NAMES)
    links = {
        str(path.relative_to(place / "root/datasets"))
        for path in (place / "root/datasets").rglob("*")
        if path.is_symlink()
    }
    assert links == set(LINKS), "only drops are moved"
