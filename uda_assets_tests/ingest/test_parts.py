"""A drop that is converted in parts gives what the reference reader gives, however small the parts are."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uda_assets.contract.reasons import MalformedRecord
from uda_assets_tests.ingest.fast import convert_split, read_slow
from uda_assets_tests.ingest.malformed import CASES, Case
from uda_assets_tests.ingest.strategies import hostile_files, mutated_files, valid_files

EXAMPLES = int(os.environ.get("UDA_TEST_EXAMPLES", "40"))
pytestmark = pytest.mark.timeout(300 + 4 * EXAMPLES)
PARTS = st.sampled_from([1, 7, 40, 150, 600])
BLOCKS = st.sampled_from([1, 37, 200, 1 << 20])
agreement = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

HEADER = b"user_id,session_id,platform,activity_time,activity_type\n"
RECORD = b"u,s,iOS,2026-01-01T00:00:00Z,view\n"


@pytest.mark.parametrize("part_bytes", [1, 64])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_table_of_malformed_inputs(case: Case, part_bytes: int) -> None:
    rejection, kept, quarantined = convert_split(case.data, part_bytes=part_bytes, block_bytes=64)
    assert rejection == case.rejection
    assert len(kept) == len(case.kept_lines)
    assert sorted((row[0], row[1]) for row in quarantined) == sorted(case.quarantined)


@given(data=valid_files(), part_bytes=PARTS, block_bytes=BLOCKS)
@agreement
def test_agrees_on_valid_files(data: bytes, part_bytes: int, block_bytes: int) -> None:
    assert convert_split(data, part_bytes=part_bytes, block_bytes=block_bytes) == read_slow(data)


@given(data=mutated_files(), part_bytes=PARTS, block_bytes=BLOCKS, keep_unknown=st.booleans())
@agreement
def test_agrees_on_mutated_files(data: bytes, part_bytes: int, block_bytes: int, keep_unknown: bool) -> None:
    split = convert_split(data, part_bytes=part_bytes, block_bytes=block_bytes, keep_unknown=keep_unknown)
    assert split == read_slow(data, keep_unknown=keep_unknown)


@given(data=hostile_files(), part_bytes=PARTS, block_bytes=BLOCKS)
@agreement
def test_agrees_on_hostile_files(data: bytes, part_bytes: int, block_bytes: int) -> None:
    assert convert_split(data, part_bytes=part_bytes, block_bytes=block_bytes) == read_slow(data)


@given(data=mutated_files(), part_bytes=PARTS)
@agreement
def test_fail_fast_names_the_first_malformed_record_of_the_file(data: bytes, part_bytes: int) -> None:
    rejection, _, quarantined = read_slow(data)
    if rejection or not quarantined:
        return
    with pytest.raises(MalformedRecord) as raised:
        convert_split(data, part_bytes=part_bytes, block_bytes=37, fail_fast=True)
    assert (raised.value.line, raised.value.reason) == min((row[0], row[1]) for row in quarantined)


def test_a_record_longer_than_many_parts_makes_them_vanish() -> None:
    long = b'u,s,iOS,2026-01-01T00:00:00Z,view,"' + b"line\n" * 50 + b'"\n'
    data = HEADER.replace(b"type", b"type,note") + (RECORD[:-1] + b",\n" + long) * 3 + b"bad\n"
    rejection, kept, quarantined = convert_split(data, part_bytes=40, block_bytes=1 << 20)
    assert (rejection, len(kept), quarantined) == (None, 6, [(2 + 3 * 52, "too_few_fields", "bad")])
