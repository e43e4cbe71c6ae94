"""The fast reader agrees with the reference reader on every input, whatever the size of its blocks."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uda_assets.basics.errors import DropUnreadable, UdaError
from uda_assets.contract.platforms import Platforms
from uda_assets.ingest import PlatformNames, Wanted, open_source, read_batches
from uda_assets_tests.ingest.fast import read_fast, read_slow, untaken
from uda_assets_tests.ingest.malformed import CASES, Case
from uda_assets_tests.ingest.strategies import hostile_files, mutated_files, valid_files

# UDA_TEST_EXAMPLES=8000 makes 24,000 cases of the three properties together.
EXAMPLES = int(os.environ.get("UDA_TEST_EXAMPLES", "250"))
pytestmark = pytest.mark.timeout(300 + EXAMPLES)
BLOCKS = st.sampled_from([1, 37, 200, 1 << 20])
agreement = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

HEADER = b"user_id,session_id,platform,activity_time,activity_type\n"
RECORD = b"u,s,iOS,2026-01-01T00:00:00Z,view\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_table_of_malformed_inputs(case: Case) -> None:
    rejection, kept, quarantined = read_fast(case.data, block_bytes=64)
    assert rejection == case.rejection
    assert len(kept) == len(case.kept_lines)
    assert sorted((row[0], row[1]) for row in quarantined) == sorted(case.quarantined)


@given(data=valid_files(), block_bytes=BLOCKS)
@agreement
def test_agrees_on_valid_files(data: bytes, block_bytes: int) -> None:
    assert read_fast(data, block_bytes=block_bytes) == read_slow(data)


@given(data=mutated_files(), block_bytes=BLOCKS, keep_unknown=st.booleans())
@agreement
def test_agrees_on_mutated_files(data: bytes, block_bytes: int, keep_unknown: bool) -> None:
    fast = read_fast(data, block_bytes=block_bytes, keep_unknown=keep_unknown)
    assert fast == read_slow(data, keep_unknown=keep_unknown)


@given(data=hostile_files(), block_bytes=BLOCKS, threads=st.integers(1, 3))
@agreement
def test_agrees_on_hostile_files(data: bytes, block_bytes: int, threads: int) -> None:
    assert read_fast(data, block_bytes=block_bytes, threads=threads) == read_slow(data)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_drops_read_as_plain_ones(suffix: str) -> None:
    plain = HEADER + RECORD * 2 + b"u,s,iOS,never,view\n" + RECORD
    pack = gzip.compress if suffix == ".gz" else zstandard.compress
    # Archives of several members are legal, and common where files were concatenated.
    packed = pack(plain[:100]) + pack(plain[100:])
    assert read_fast(packed, block_bytes=50, suffix=suffix) == read_slow(plain)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("harm", ["truncated", "garbage"])
def test_a_broken_archive_is_rejected_whole(tmp_path: Path, suffix: str, harm: str) -> None:
    packed = gzip.compress(HEADER + RECORD * 5000) if suffix == ".gz" else zstandard.compress(HEADER + RECORD * 5000)
    path = tmp_path / f"drop.csv{suffix}"
    path.write_bytes(packed[:-20] if harm == "truncated" else b"no archive" * 10)
    with pytest.raises(DropUnreadable, match=r"broken_archive.*deliver the file again"), open_source(path) as source:
        list(read_batches(source, PlatformNames(Platforms()), Wanted(0), untaken))


def test_missing_file_and_directory_are_named(tmp_path: Path) -> None:
    for path, complaint in [(tmp_path / "absent.csv", "does not exist"), (tmp_path, "is a directory")]:
        with pytest.raises(UdaError, match=complaint), open_source(path):
            pass


def test_quotes_that_run_to_the_end_of_a_large_file_cost_one_walk() -> None:
    # Each line ends inside quotes from wherever it is read, so looking ahead from each would take quadratic time.
    data = HEADER + b'x","\n' * 20_000
    rejection, kept, quarantined = read_fast(data, block_bytes=1 << 16, threads=2)
    assert (rejection, kept, len(quarantined)) == (None, [], 20_000)
    assert {row[1] for row in quarantined} == {"unterminated_quote"}
