"""The supplier delivers whole drops, in the number, at the pace and with the irregularities that are configured."""

from __future__ import annotations

import gzip
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from uda_assets.cli import run
from uda_assets.synthetic import SupplierConfig, supply
from uda_assets_tests.ingest import reference


def never(seconds: float) -> None:
    raise AssertionError(f"slept {seconds} seconds")


def files(directory: Path) -> dict[str, bytes]:
    """Return the content of every file by its path below the directory, sorted by path."""
    found = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def drops(directory: Path) -> dict[str, bytes]:
    """Return the content of the files that a pipeline would take for drops."""
    found = {}
    for path in directory.rglob("*.csv*"):
        if not path.name.startswith(".") and not path.name.endswith((".part", ".tmp")):
            try:
                found[path.relative_to(directory).as_posix()] = path.read_bytes()
            except FileNotFoundError:
                continue
    return found


def supplied(directory: Path, **config: object) -> dict[str, bytes]:
    supply(directory, SupplierConfig(**{"records": 40, "interval": 0, **config}), sleep=lambda _: None)  # type: ignore[arg-type]
    return files(directory)


def sessions(data: bytes) -> set[tuple[str, str, str]]:
    return {(record.platform, record.user_id, record.session_id) for record in reference.read(data).kept}


# --- As configured ----------------------------------------------------------------------------------------------------


def test_it_delivers_the_given_number_of_drops_and_records_then_ends(tmp_path: Path) -> None:
    slept: list[float] = []
    delivered: list[Path] = []
    config = SupplierConfig(drops=3, records=200, interval=7, malformed_ratio=0.1)
    assert supply(tmp_path, config, on_drop=delivered.append, sleep=slept.append) == 3
    assert slept == [7, 7], "between the drops, not before the first or after the last"
    assert delivered == [tmp_path / f"feed/2026-01-01/drop-{number:06}.csv" for number in (1, 2, 3)]
    assert {tmp_path / name for name in files(tmp_path)} == set(delivered)
    for data in files(tmp_path).values():
        reading = reference.read(data)
        assert (reading.records, len(reading.quarantined)) == (200, 20)


def test_zero_drops_deliver_nothing(tmp_path: Path) -> None:
    assert supply(tmp_path / "in", SupplierConfig(drops=0), sleep=never) == 0
    assert files(tmp_path) == {}


def test_without_a_number_it_goes_on_until_stopped(tmp_path: Path) -> None:
    slept: list[float] = []

    def stop_in_the_end(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        supply(tmp_path, SupplierConfig(records=10), sleep=stop_in_the_end)
    assert len(files(tmp_path)) == 6


def test_the_seed_decides_every_byte_and_numbering_goes_on(tmp_path: Path) -> None:
    sloppy = {"duplicates": 0.4, "late": 0.4, "half_written": 0.5, "malformed_ratio": 0.1}
    at_once = supplied(tmp_path / "a", drops=16, seed=3, **sloppy)
    assert len(at_once) == 16
    for drops_now in (6, 10):
        in_two = supplied(tmp_path / "b", drops=drops_now, seed=3, **sloppy)
    assert in_two == at_once
    assert set(supplied(tmp_path / "c", drops=16, seed=4, **sloppy).values()).isdisjoint(at_once.values())


@pytest.mark.parametrize(
    ("compression", "suffix", "unpack"),
    [
        ("none", ".csv", bytes),
        ("gz", ".csv.gz", gzip.decompress),
        ("zst", ".csv.zst", lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
    ],
)
def test_drops_are_compressed_as_configured(
    tmp_path: Path, compression: str, suffix: str, unpack: Callable[[bytes], bytes]
) -> None:
    plain = supplied(tmp_path / "plain", drops=2)
    packed = supplied(tmp_path / "packed", drops=2, compression=compression)
    assert {name.removesuffix(suffix) + ".csv": unpack(data) for name, data in packed.items()} == plain


def test_neighbouring_drops_share_sessions(tmp_path: Path) -> None:
    one, two, three = map(sessions, supplied(tmp_path, drops=3, records=400).values())
    assert one & two
    assert two & three
    assert two - one


# --- Irregular drops --------------------------------------------------------------------------------------------------


def test_a_correction_replaces_an_earlier_drop_and_goes_on_with_its_sessions(tmp_path: Path) -> None:
    ((name, before),) = supplied(tmp_path, drops=1, records=400).items()
    ((again, after),) = supplied(tmp_path, drops=1, records=400, corrections=1).items()
    assert again == name
    assert after != before
    assert sessions(after) == sessions(before)


def test_a_copy_comes_under_a_new_name(tmp_path: Path) -> None:
    one, two = supplied(tmp_path, drops=2, duplicates=1).values()
    assert one == two


def test_a_copy_of_a_drop_with_another_compression_stays_readable(tmp_path: Path) -> None:
    ((_, packed),) = supplied(tmp_path, drops=1, compression="gz").items()
    assert supplied(tmp_path, drops=1, duplicates=1) == {
        "feed/2026-01-01/drop-000001.csv.gz": packed,
        "feed/2026-01-01/drop-000002.csv.gz": packed,
    }


def test_late_activity_is_some_days_old(tmp_path: Path) -> None:
    ((name, data),) = supplied(tmp_path, drops=1, late=1).items()
    assert name == "feed/2025-12-29/drop-000001.csv"
    assert {record.activity_time.date().isoformat() for record in reference.read(data).kept} == {"2025-12-29"}


# --- Whole or not at all ----------------------------------------------------------------------------------------------


def test_a_half_written_drop_has_a_name_that_is_not_a_drops(tmp_path: Path) -> None:
    seen: list[dict[str, bytes]] = []
    config = SupplierConfig(drops=2, records=100, half_written=1)
    supply(tmp_path, config, sleep=lambda _: seen.append(files(tmp_path)))
    whole = files(tmp_path)
    first, second = sorted(whole)
    during_first, between, during_second = seen
    assert during_first[f"{first}.part"] == whole[first][: len(whole[first]) // 2]
    assert first not in during_first
    assert between == {first: whole[first]}
    assert during_second[f"{second}.part"] == whole[second][: len(whole[second]) // 2]
    assert second not in during_second


def test_a_watcher_never_sees_a_part_of_a_drop(tmp_path: Path) -> None:
    seen: set[tuple[str, bytes]] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            seen.update(drops(tmp_path).items())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        whole = supplied(tmp_path, drops=12, records=3000, half_written=0.5, duplicates=0.3)
    finally:
        ended.set()
        watcher.join()
    assert len(whole) == 12
    assert seen <= set(whole.items())
    assert seen, "the watcher saw drops arrive"


def test_a_disk_that_fills_up_ends_it_with_the_earlier_drops_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = supplied(tmp_path, drops=1, records=10)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        for half_written in ("0", "1"):
            arguments = ["--filepath", str(tmp_path), "--n", "2000", "--half-written", half_written, "--interval", "0"]
            assert run(["supplier", *arguments]) == 1
            assert "File too large" in capsys.readouterr().err
            assert files(tmp_path) == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_interrupted_within_a_drop_it_leaves_the_earlier_ones_and_continues_later(tmp_path: Path) -> None:
    before = supplied(tmp_path, drops=1)
    command = [
        *(sys.executable, "-m", "uda_assets", "supplier", "--filepath", str(tmp_path), "--n", "40"),
        *("--interval", "600", "--half-written", "1"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("drop-*.part")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert (stdout, "Traceback" in stderr) == ("", False)
    assert files(tmp_path) == before
    assert len(supplied(tmp_path, drops=1)) == 2


def test_what_a_killed_supplier_left_is_written_over(tmp_path: Path) -> None:
    clean = supplied(tmp_path / "clean", drops=1, half_written=1)
    day = tmp_path / "killed/feed/2026-01-01"
    day.mkdir(parents=True)
    for debris in ("drop-000001.csv.part", ".new-drop-000001.csv", "..new-drop-000001.csv.part"):
        (day / debris).write_text("debris")
    assert supplied(tmp_path / "killed", drops=1, half_written=1) == clean


# --- Wrong use --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--drops", "-1"], 2, "drops must be 0 or more, not -1"),
        (["--n", "0"], 2, "records must be from 1"),
        (["--n", "99999999999999999999"], 2, "records must be from 1"),
        (["--interval", "-1"], 2, "interval must be from 0"),
        (["--interval", "nan"], 2, "interval must be from 0"),
        (["--interval", "inf"], 2, "interval must be from 0"),
        (["--seed", "-1"], 2, "seed must be from 0"),
        (["--seed", "9223372036854775808"], 2, "seed must be from 0"),
        (["--malformed-ratio", "1.5"], 2, "malformed_ratio must be from 0 to 1, not 1.5"),
        (["--corrections", "nan"], 2, "corrections must be from 0 to 1, not nan"),
        (["--compression", "rar"], 2, "rar"),
        (["--mode", "parquet"], 2, "csv"),
        (["--filepath", "taken"], 1, "taken is not a directory"),
    ],
)
def test_wrong_use_is_said_in_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], code: int, complaint: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    assert run(["supplier", "--filepath", "in", "--drops", "2", "--interval", "0", *arguments]) == code
    said = capsys.readouterr()
    assert complaint in said.err
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_an_unknown_compression_is_named() -> None:
    with pytest.raises(ValueError, match="compression must be none, gz or zst, not rar"):
        SupplierConfig(compression="rar")
