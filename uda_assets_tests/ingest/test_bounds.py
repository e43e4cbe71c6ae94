"""A drop that asks for more than it may is rejected whole, says which setting to raise, and comes back when it is."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uda_assets.basics.errors import DropUnreadable, UsageError
from uda_assets.basics.settings import load_settings
from uda_assets.cli import run as uda
from uda_assets.contract.platforms import Platforms
from uda_assets.ingest import Bounds, PlatformNames, Wanted, bounds_of, open_source, read_batches
from uda_assets_tests.ingest import reference
from uda_assets_tests.ingest.fast import Answer, convert_split, read_fast, read_slow, untaken
from uda_assets_tests.ingest.strategies import hostile_files
from uda_assets_tests.support.chain import ledger, published, run

HEADER = b"user_id,session_id,platform,activity_time,activity_type,note\n"
RECORD = b"u,s,iOS,2026-01-01T00:00:00Z,view,"
MIB = 1 << 20
QUOTE_FAULTS = {"encoding", "unterminated_quote", "bad_quote"}
"""Of such a record nobody knows where it was meant to end, so that it costs its first line whatever its length."""
EXAMPLES = int(os.environ.get("UDA_TEST_EXAMPLES", "30"))


def bounded(data: bytes, most: int) -> Answer:
    """What the reference reader gives, or that a line, or a record of several in sound quotes, is too long."""
    text = data.decode("utf-8", "surrogateescape")
    header: list[str] = []
    resume = 0
    for line in reference.physical_lines(text):
        if len(reference.printable(line.text).encode()) > most:
            return "record_too_long", [], []
        if line.start < resume or reference.is_blank(line.text):
            continue
        if not header:
            header, rejection = reference.read_header(line.text)
            if rejection:
                break
            continue
        record = reference.scan_record(text, line.start)
        extent = text[line.start : record.end]
        reason = reference.structural_reason(extent, record, header)
        ended = record.end + (text.startswith("\r\n", record.end) or 1)
        if (
            reason not in QUOTE_FAULTS
            and record.end > line.start + len(line.text)
            and _size(text[line.start : ended]) > most
        ):
            return "record_too_long", [], []
        if reason is None:
            resume = record.end
    return read_slow(data)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


@given(data=hostile_files(), most=st.integers(50, 400), block_bytes=st.sampled_from([1, 37, 200, 1 << 20]))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_record_is_too_long_exactly_where_the_reference_reads_a_longer_one(
    data: bytes, most: int, block_bytes: int
) -> None:
    bounds = Bounds(record=most)
    assert read_fast(data, block_bytes=block_bytes, bounds=bounds) == bounded(data, most)
    assert convert_split(data, part_bytes=150, block_bytes=block_bytes, bounds=bounds) == bounded(data, most)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize(
    ("long", "line"), [(b'"%s"' % (b"n" * 900), 401), (b'"%s"' % (b"n\n" * 450), 401), (b"\n%s" % (b"n" * 1000), 402)]
)
def test_the_line_and_the_setting_are_named(tmp_path: Path, end: bytes, long: bytes, line: int) -> None:
    path = tmp_path / "drop.csv"
    records = HEADER + (RECORD + b"\n") * 399 + RECORD + long + b"\n" + RECORD + b"\n"
    path.write_bytes(records.replace(b"\n", end))
    message = rf"record_too_long: the record on line {line} is longer than 900 bytes; .*raise UDA_MAX_RECORD_BYTES$"
    for block_bytes in (256, 1 << 20):
        with (
            pytest.raises(DropUnreadable, match=message),
            open_source(path, bounds=Bounds(record=900)) as source,
        ):
            list(read_batches(source, PlatformNames(Platforms()), Wanted(0), untaken, block_bytes=block_bytes))


def test_a_stray_quote_costs_one_record_however_far_the_next_one_is() -> None:
    records = (RECORD + b"\n") * 40
    for stray, reason in [
        (b'"u,s,iOS,2026-01-01T00:00:00Z,view,\n', "unterminated_quote"),
        (b'u"x,"s,iOS,2026-01-01T00:00:00Z,view,\n', "unterminated_quote"),
    ]:
        data = HEADER + records + stray + records
        rejection, kept, quarantined = read_fast(data, block_bytes=300, bounds=Bounds(record=500))
        assert (rejection, kept, quarantined) == read_slow(data)
        assert (len(kept), quarantined[0][:2], len(quarantined)) == (80, (42, reason), 1)


def test_a_field_in_sound_quotes_that_is_too_long_rejects_the_drop_even_where_its_record_is_malformed() -> None:
    records = (RECORD + b"\n") * 40
    stray = b'"u,s,iOS,2026-01-01T00:00:00Z,view,\n'
    data = HEADER + records + stray + records + b'",iOS,2026-01-01T00:00:00Z,view,\n' + records
    assert read_slow(data)[2][0][:2] == (42, "too_few_fields")
    assert read_fast(data, block_bytes=300, bounds=Bounds(record=500)) == ("record_too_long", [], [])


def bomb(path: Path, size: int, members: int = 1) -> None:
    """An archive of ``size`` bytes of sound records, all alike but for the first, in so many members."""
    piece = (RECORD + b"x" * 200 + b"\n") * (MIB // (len(RECORD) + 201))
    pieces = size // len(piece) // members
    with path.open("wb") as file:
        for member in range(members):
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed:
                    packed.write(HEADER if member == 0 else b"")
                    for _ in range(pieces):
                        packed.write(piece)
            else:
                with zstandard.ZstdCompressor(level=1).stream_writer(file, closefd=False) as compressed:
                    compressed.write(HEADER if member == 0 else b"")
                    for _ in range(pieces):
                        compressed.write(piece)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_bombs_are_found_while_they_are_decompressed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"drop.csv{suffix}"
    bomb(path, 70 * MIB, members=10)
    refused = [
        (Bounds(ratio=50), r"compression_too_high: .* more than 50 times .* UDA_MAX_COMPRESSION_RATIO"),
        (Bounds(decompressed=20 * MIB, ratio=1e9), r"decompressed_too_large: .* 20 MiB; .* UDA_MAX_DECOMPRESSED_BYTES"),
    ]
    for bounds, message in refused:
        with pytest.raises(DropUnreadable, match=message), open_source(path, tmp_path, bounds):
            pass
    with open_source(path, tmp_path, Bounds(ratio=1e9)) as source:
        assert source.size > 69 * MIB


def test_the_commands_for_one_file_say_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long, dense = tmp_path / "long.csv", tmp_path / "dense.csv.gz"
    long.write_bytes(HEADER + RECORD + b"n" * 3000 + b"\n")
    bomb(dense, 2 * MIB)
    for path, variable, value, reason in [
        (long, "UDA_MAX_RECORD_BYTES", "2KiB", "record_too_long: the record on line 2"),
        (dense, "UDA_MAX_DECOMPRESSED_BYTES", "1MiB", "decompressed_too_large: it decompresses to more than 1 MiB"),
    ]:
        for command in ("inspector", "converter"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("UDA_DATA_ROOT", str(tmp_path / "root"))
                patch.setenv(variable, value)
                assert uda([command, "--filepath", str(path)]) == 1
            said = capsys.readouterr()
            assert said.out == ""
            assert re.fullmatch(f"uda: {re.escape(str(path))}: {reason}.* raise {variable}\n", said.err)


def test_a_small_archive_may_be_as_dense_as_it_likes(tmp_path: Path) -> None:
    path = tmp_path / "drop.csv.zst"
    bomb(path, 20 * MIB)
    assert 20 * MIB / path.stat().st_size > 1000
    with open_source(path) as source:
        assert source.size > 19 * MIB


def test_a_rejected_drop_comes_back_when_the_bound_is_raised(tmp_path: Path) -> None:
    datasets = tmp_path / "datasets"
    datasets.mkdir()
    (datasets / "long.csv").write_bytes(HEADER + RECORD + b"n" * 3000 + b"\n")
    bomb(datasets / "dense.csv.zst", 70 * MIB)
    tight = {"max_record_bytes": "2KiB"}
    assert len(run(tmp_path, **tight).rejected) == 2
    reasons = {drop: (entry.reason or "").split(":")[0] for drop, entry in ledger(tmp_path, **tight).items()}
    assert reasons == {"dense.csv.zst": "compression_too_high", "long.csv": "record_too_long"}
    assert not run(tmp_path, **tight).rejected, "known, and not read again"
    assert {drop: entry.status for drop, entry in ledger(tmp_path).items()} == {
        "dense.csv.zst": "rejected", "long.csv": "pending",
    }  # fmt: skip
    run(tmp_path)
    run(tmp_path, max_compression_ratio=1e6)
    assert {drop for (drop,) in published(tmp_path, "SELECT drop FROM drops WHERE status = 'committed'")} == set(
        reasons
    )


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("UDA_MAX_RECORD_BYTES", "2GiB", "max_record_bytes must be from 1 byte to 1GiB, not '2GiB'"),
        ("UDA_MAX_RECORD_BYTES", "0", "max_record_bytes must be from 1 byte"),
        ("UDA_MAX_DECOMPRESSED_BYTES", "much", "UDA_MAX_DECOMPRESSED_BYTES cannot be 'much'; write it like 1GiB"),
        ("UDA_MAX_COMPRESSION_RATIO", "0.5", "UDA_MAX_COMPRESSION_RATIO must be at least 1"),
    ],
)
def test_bounds_that_are_none_are_named(name: str, value: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        bounds_of(load_settings({name: value}))
