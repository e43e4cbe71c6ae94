"""The generator is reproducible, its answer is the one that other readers find, and its files are never partial."""

from __future__ import annotations

import csv
import gzip
import io
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from uda_assets.basics.errors import UsageError
from uda_assets.cli import run
from uda_assets.synthetic import GeneratedTruth, GeneratorConfig, generate
from uda_assets_tests.ingest import reference

HEADER = b"user_id,session_id,platform,activity_time,activity_type\n"
UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".csv": lambda data: data,
    ".csv.gz": gzip.decompress,
    ".csv.zst": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


def generated(config: GeneratorConfig) -> tuple[bytes, GeneratedTruth]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "drop.csv"
        truth = generate(path, config)
        return path.read_bytes(), truth


def counts_by_hand(sessions: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, int]]:
    """Return the session count of each (platform, user), in the order of a leaderboard."""
    counts = Counter((platform, user) for platform, user, _ in set(sessions))
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return [(platform, user, count) for (platform, user), count in ordered]


def sound_lines(data: bytes, reading: reference.Reading) -> list[bytes]:
    lines = data.split(b"\n")
    return [lines[record.line - 1] for record in reading.kept]


@contextmanager
def disk_that_takes(size: int) -> Iterator[None]:
    """Limit the size of files, so that writing fails part-way as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# --- Reproducible -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_seed_decides_every_byte(shuffled: bool) -> None:
    configs = [GeneratorConfig(records=2000, seed=seed, shuffled=shuffled) for seed in (7, 7, 8)]
    (first, truth), (same, _), (other, _) = map(generated, configs)
    assert first == same
    assert first != other
    assert truth.session_counts.equals(generated(configs[1])[1].session_counts)


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "uda_assets", "generator", "--filepath", str(tmp_path / "a/drop.csv"), "--n", "2000"),
        *("--seed", "5", "--users", "40", "--malformed-ratio", "0.1", "--duplicate-ratio", "0.2"),
        *("--truth", str(tmp_path / "truth")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    config = GeneratorConfig(records=2000, seed=5, users=40, malformed_ratio=0.1, duplicate_ratio=0.2)
    data, truth = generated(config)
    assert (tmp_path / "a" / "drop.csv").read_bytes() == data
    truth.write(tmp_path / "again")
    for name in ("truth.json", "session_counts.csv"):
        assert (tmp_path / "truth" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize("suffix", UNPACK)
def test_compression_follows_from_the_name_and_changes_nothing_else(tmp_path: Path, suffix: str) -> None:
    config = GeneratorConfig(records=3000)
    plain, truth = generated(config)
    for name in ("a", "b"):
        packed = generate(tmp_path / f"{name}{suffix}", config)
        assert packed.session_counts.equals(truth.session_counts)
    assert UNPACK[suffix]((tmp_path / f"a{suffix}").read_bytes()) == plain
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert (suffix == ".csv") == ((tmp_path / f"a{suffix}").read_bytes() == plain)


def test_files_that_share_session_numbers_share_sessions() -> None:
    first = GeneratorConfig(records=600, users=30, malformed_ratio=0, duplicate_ratio=0)
    second = GeneratorConfig(
        records=600, users=30, malformed_ratio=0, duplicate_ratio=0, first_session=first.sessions - 50, variant=1
    )
    keys = [{record[2:4] + record[1:2] for record in reference.read(generated(config)[0]).kept}
            for config in (first, second)]  # fmt: skip
    assert len(keys[0] & keys[1]) == 50
    assert len(keys[0] | keys[1]) == first.sessions + second.sessions - 50


# --- The correct answer -----------------------------------------------------------------------------------------------

CONFIGS = st.builds(
    lambda records, ratios, **more: GeneratorConfig(
        records=records, duplicate_ratio=ratios[0], malformed_ratio=ratios[1], **more
    ),
    records=st.integers(1, 300),
    ratios=st.sampled_from(
        [(0.1, 0.005), (0, 0), (0.3, 0.3), (0, 0.2), (0.5, 0), (1, 0), (0, 1), (0.5, 0.5), (0.9, 0.1)]
    ),
    users=st.sampled_from([None, 1, 2, 7, 5000]),
    seed=st.sampled_from([0, 1, 2**63 - 1]),
    shuffled=st.booleans(),
    start=st.sampled_from([datetime(2026, 1, 1, tzinfo=UTC), datetime(1, 1, 4, tzinfo=UTC)]),
    days=st.sampled_from([1 / 24, 0.5, 1, 30]),
    first_session=st.sampled_from([0, 63, 10**12]),
    variant=st.integers(0, 2),
)


@given(config=CONFIGS)
@example(GeneratorConfig(records=13, duplicate_ratio=0, malformed_ratio=1, seed=2**63 - 1, days=1 / 24, variant=2))
@settings(max_examples=70, deadline=None)
def test_truth_is_what_the_reference_reader_counts(config: GeneratorConfig) -> None:
    data, truth = generated(config)
    assert data.startswith(HEADER)
    assert data.count(b"\n") == config.records + 1
    reading = reference.read(data)
    assert reading.rejection is None
    assert (truth.records, truth.kept, truth.quarantined) == (
        config.records, len(reading.kept), len(reading.quarantined),
    )  # fmt: skip
    assert dict(truth.reasons) == Counter(record.reason for record in reading.quarantined)
    keys = [(record.platform, record.user_id, record.session_id) for record in reading.kept]
    assert truth.sessions == len(set(keys))
    assert truth.session_counts.rows() == counts_by_hand(keys)
    repeats = sum(count - 1 for count in Counter(sound_lines(data, reading)).values())
    assert truth.duplicates == repeats
    first, last = config.start, config.start + timedelta(days=config.days)
    assert all(first <= record.activity_time <= last for record in reading.kept)


def test_truth_of_a_file_of_several_chunks_is_what_duckdb_counts(tmp_path: Path) -> None:
    path = tmp_path / "drop.csv"
    config = GeneratorConfig(records=600_000, users=900, malformed_ratio=0, shuffled=True)
    truth = generate(path, config)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE records AS FROM read_csv('{path}', all_varchar = true, quote = '\"')")
        spellings = connection.execute("SELECT DISTINCT platform FROM records").fetchall()
        names = [(text, reference.DEFAULT[reference.normalise(text)]) for (text,) in spellings]
        connection.execute("CREATE TABLE names (spelling VARCHAR, platform VARCHAR)")
        connection.executemany("INSERT INTO names VALUES (?, ?)", names)
        counted = connection.execute("""
            SELECT n.platform, user_id, count(DISTINCT session_id) AS sessions
            FROM records r JOIN names n ON n.spelling = r.platform
            GROUP BY n.platform, user_id ORDER BY n.platform, sessions DESC, user_id""").fetchall()
        distinct = connection.execute(
            "SELECT count(DISTINCT (user_id, session_id, platform, activity_time, activity_type)) FROM records"
        ).fetchall()
    assert truth.session_counts.rows() == counted
    assert distinct == [(config.records - truth.duplicates,)]
    assert truth.duplicates == 60_000


def test_truth_on_disk_is_what_the_csv_module_counts(tmp_path: Path) -> None:
    generate(tmp_path / "drop.csv", GeneratorConfig(records=5000, malformed_ratio=0), truth_dir=tmp_path / "truth")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "drop.csv").read_text("utf-8"), newline="")))
    keys = [(reference.DEFAULT[reference.normalise(row["platform"])], row["user_id"], row["session_id"])
            for row in rows]  # fmt: skip
    with (tmp_path / "truth/session_counts.csv").open(encoding="utf-8", newline="") as file:
        header, *counts = csv.reader(file)
    assert header == ["platform", "user_id", "session_count"]
    assert [(platform, user, int(count)) for platform, user, count in counts] == counts_by_hand(keys)
    summary = json.loads((tmp_path / "truth/truth.json").read_text("utf-8"))
    assert (summary["records"], summary["kept"], summary["sessions"]) == (5000, 5000, len(set(keys)))
    assert summary["config"]["seed"] == 0


# --- As configured ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffled", [False, True])
def test_ratios_are_kept_to_the_record(shuffled: bool) -> None:
    config = GeneratorConfig(records=4000, duplicate_ratio=0.25, malformed_ratio=0.05, shuffled=shuffled)
    data, _ = generated(config)
    reading = reference.read(data)
    lines = sound_lines(data, reading)
    assert len(reading.quarantined) == 200
    assert len(lines) - len(set(lines)) == 1000
    by_reason = Counter(record.reason for record in reading.quarantined)
    assert by_reason.pop("unterminated_quote") == 1, (
        "it would swallow the lines after it, so it can only be the last line"
    )
    assert len(by_reason) == 12
    assert max(by_reason.values()) - min(by_reason.values()) <= 2


def test_in_order_of_time_unless_shuffled() -> None:
    lines, times = [], []
    for shuffled in (False, True):
        data, _ = generated(GeneratorConfig(records=3000, shuffled=shuffled))
        reading = reference.read(data)
        lines.append(sound_lines(data, reading))
        first_seen = dict.fromkeys(zip(lines[-1], (record.activity_time for record in reading.kept), strict=True))
        times.append([moment for _, moment in first_seen])
    assert times[0] == sorted(times[0]), "in order apart from the duplicates"
    assert times[1] != sorted(times[1])
    assert set(lines[0]) == set(lines[1]), "shuffling changes only the order"


def test_sessions_go_over_several_records_of_one_user_and_overlap() -> None:
    data, _ = generated(GeneratorConfig(records=3000, malformed_ratio=0, duplicate_ratio=0))
    spans = defaultdict(list)
    for position, record in enumerate(reference.read(data).kept):
        spans[record.platform, record.user_id, record.session_id].append(position)
    assert max(map(len, spans.values())) > 5
    interleaved = [key for key, positions in spans.items() if positions[-1] - positions[0] >= len(positions)]
    assert len(interleaved) > len(spans) / 4


def test_progress_is_reported_up_to_the_last_record(tmp_path: Path) -> None:
    seen: list[int] = []
    generate(tmp_path / "drop.csv", GeneratorConfig(records=300_000, malformed_ratio=0), on_progress=seen.append)
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert seen[-1] == 300_000


# --- Wrong use --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"records": 0}, "records must be from 1"),
        ({"records": 10**20}, "records must be from 1"),
        ({"users": 0}, "users must be from 1"),
        ({"users": 2**31}, "users must be from 1"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": 2**63}, "seed must be from 0"),
        ({"duplicate_ratio": 1.01}, "duplicate_ratio must be from 0 to 1, not 1.01"),
        ({"malformed_ratio": -0.1}, "malformed_ratio must be from 0 to 1"),
        ({"malformed_ratio": float("nan")}, "malformed_ratio must be from 0 to 1, not nan"),
        ({"duplicate_ratio": 0.6, "malformed_ratio": 0.6}, "must not exceed 1, but it is 1.2"),
        ({"days": 0}, "days must be from"),
        ({"start": datetime(2026, 1, 1)}, "time zone"),
        ({"start": datetime(9999, 12, 30, tzinfo=UTC)}, "years 1 to 9999"),
    ],
)
def test_a_wrong_value_is_named(wrong: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        GeneratorConfig(**wrong)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--users", "0"], 2, "users must be from 1"),
        (["--duplicate-ratio", "1.5"], 2, "duplicate_ratio must be from 0 to 1, not 1.5"),
        (["--n", "99999999999999999999"], 2, "records must be from 1"),
        (["--n", "many"], 2, "--n"),
        (["--mode", "parquet"], 2, "uda converter"),
        (["--filepath", "drop.xlsx"], 2, "drop.xlsx"),
        (["--filepath", "."], 1, ". is a directory"),
        (["--filepath", "taken/drop.csv"], 1, "taken"),
        (["--truth", "taken"], 1, "taken"),
    ],
)
def test_wrong_use_is_said_in_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], code: int, complaint: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    assert run(["generator", "--n", "100", "--filepath", "drop.csv", *arguments]) == code
    said = capsys.readouterr()
    assert complaint in said.err
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_name_that_is_no_drop_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in one of .csv, .csv.gz, .csv.zst"):
        generate(tmp_path / "drop.parquet", GeneratorConfig(records=1))


# --- Whole or not at all ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", UNPACK)
def test_a_full_disk_is_an_error_and_leaves_what_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    path = tmp_path / f"drop{suffix}"
    path.write_bytes(b"earlier")
    with disk_that_takes(100_000):
        assert run(["generator", "--filepath", str(path), "--n", "20000", "--truth", str(tmp_path / "truth")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"uda: {path}: File too large; the file system does not allow larger files"
    ]
    assert path.read_bytes() == b"earlier"
    assert sorted(file.name for file in tmp_path.rglob("*")) == [path.name, "truth"]


def test_the_file_appears_after_its_truth_and_never_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(truth: GeneratedTruth, directory: Path) -> None:
        assert not (tmp_path / "drop.csv").exists()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(GeneratedTruth, "write", fails)
    with pytest.raises(OSError, match="No space left"):
        generate(tmp_path / "drop.csv", GeneratorConfig(records=10), truth_dir=tmp_path / "truth")
    assert [path.name for path in tmp_path.iterdir()] == ["truth"]


def test_interrupted_it_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "drop.csv"
    path.write_bytes(b"earlier")
    command = [sys.executable, "-m", "uda_assets", "generator", "--filepath", str(path), "--n", "50000000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not any(part.stat().st_size for part in tmp_path.glob(".drop.csv*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in stderr
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("drop.csv", b"earlier")]


# --- Memory -----------------------------------------------------------------------------------------------------------

_PEAK = """
import sys
from pathlib import Path
from uda_assets.synthetic import GeneratorConfig, generate
generate(Path(sys.argv[1]), GeneratorConfig(records=int(sys.argv[2]), users=10_000))
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks, sizes = [], []
    path = tmp_path / "drop.csv"
    # Both files have several chunks: a file of one chunk needs less memory.
    for records in (1_000_000, 3_000_000):
        command = [sys.executable, "-c", _PEAK, str(path), str(records)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        # The peak of resident kilobytes, but not that of getrusage, which a process inherits from its parent.
        peaks.append(int(done.stdout))
        sizes.append(path.stat().st_size // 1024)
        path.unlink()
    assert peaks[1] - peaks[0] < 0.75 * (sizes[1] - sizes[0])
