"""The reference reader against the hand-written files, and against what can be known about a file without it."""

from __future__ import annotations

import csv
import io
import sys
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda_assets.contract import reasons
from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.reasons import Reason
from uda_assets_tests.ingest import reference
from uda_assets_tests.ingest.malformed import BOM, CASES, GOOD, REST, Case, G, H, N
from uda_assets_tests.ingest.reference import DEFAULT, STRUCTURAL, WHITE_SPACE, Kept, Quarantined, Reading, read
from uda_assets_tests.ingest.strategies import hostile_files, mutated_files, valid_files

EXAMPLES = settings(max_examples=150, deadline=None)
ANY_FILE = st.one_of(valid_files(), mutated_files(), hostile_files())


def physical_lines(data: bytes) -> list[bytes]:
    """The lines without their ends, found in another way than the reference reader's."""
    lines = with_line_ends(data, b"\n").split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def with_line_ends(data: bytes, end: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", end)


def header_line(data: bytes) -> int:
    """The number of the first line that is not blank."""
    lines = physical_lines(data.removeprefix(BOM))
    return next(number for number, line in enumerate(lines, 1) if line.decode("utf-8", "replace").strip())


def outline(reading: Reading) -> tuple[list[int], list[tuple[int, str]], str | None]:
    return (
        [record.line for record in reading.kept],
        [(record.line, record.reason) for record in reading.quarantined],
        reading.rejection,
    )


def only_kept(data: bytes) -> Kept:
    reading = read(data)
    assert (len(reading.kept), reading.records) == (1, 1)
    return reading.kept[0]


# --- The table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hand_written_file(case: Case) -> None:
    assert outline(read(case.data)) == (case.kept_lines, case.quarantined, case.rejection)


def test_the_table_covers_every_reason_and_rejection() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert {reason for case in CASES for _, reason in case.quarantined} == {str(reason) for reason in Reason}
    assert {case.rejection for case in CASES} == {
        None,
        "empty",
        "header_unreadable",
        "missing_column",
        "duplicate_column",
    }


# --- Values -----------------------------------------------------------------------------------------------------------


def test_the_contract_names_the_same_columns_and_structural_reasons() -> None:
    assert reference.COLUMNS == COLUMNS
    assert {str(reason) for reason in reasons.STRUCTURAL} == STRUCTURAL


def test_white_space_is_what_python_knows_but_for_the_four_separators() -> None:
    spaces = {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()}
    assert set(WHITE_SPACE) == spaces - set("\x1c\x1d\x1e\x1f")
    assert len(WHITE_SPACE) == 25


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T08:15:00Z", datetime(2026, 1, 31, 8, 15, tzinfo=UTC)),
        ("2026-01-31 08:15:00", datetime(2026, 1, 31, 8, 15, tzinfo=UTC)),
        ("2026-01-31T08:15:00.5", datetime(2026, 1, 31, 8, 15, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T08:15:00.000001Z", datetime(2026, 1, 31, 8, 15, 0, 1, tzinfo=UTC)),
        ("2026-01-31T08:15:00.0123+00", datetime(2026, 1, 31, 8, 15, 0, 12_300, tzinfo=UTC)),
        ("2026-01-01T00:15:00+01:30", datetime(2025, 12, 31, 22, 45, tzinfo=UTC)),
        ("2026-01-31T23:15:00-0130", datetime(2026, 2, 1, 0, 45, tzinfo=UTC)),
        ("2024-02-28T23:00:00-01", datetime(2024, 2, 29, tzinfo=UTC)),
        ("1969-12-31T23:59:59.999999Z", datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)),
        ("0001-01-01T23:59:00+23:59", datetime.min.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_time(text: str, moment: datetime) -> None:
    time = only_kept(H + f"u1,s1,ios,{text},view\n".encode()).activity_time
    assert (time, time.utcoffset()) == (moment, timedelta(0))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("u1", "u1"),
        (" \t\u00a0u 1\u3000\u0085", "u 1"),
        ('" u1 "', "u1"),
        ('"\r\nu1\n"', "u1"),
        ('"u,""1"""', 'u,"1"'),
        ("\ufeffu1\u200b", "\ufeffu1\u200b"),
        ("'u1'", "'u1'"),
        ("e\u0301", "e\u0301"),  # ids are opaque: no normalisation
        ("U1", "U1"),
    ],
)
def test_ids_are_trimmed_and_otherwise_opaque(field: str, value: str) -> None:
    assert only_kept(H + field.encode() + REST).user_id == value


def test_kept_record() -> None:
    time = datetime(2026, 1, 31, 8, 15, tzinfo=UTC)
    assert read(H + G) == Reading(None, [Kept(2, "u1", "s1", "iOS", time, "view")], [])


def test_unknown_platforms_may_be_kept_under_their_normalised_spelling() -> None:
    data = H + GOOD.replace(b"ios", " \uff34V  Box ".encode())
    assert outline(read(data)) == ([], [(2, "unknown_platform")], None)
    assert [record.platform for record in read(data, keep_unknown=True).kept] == ["tv  box"]


def test_aliases() -> None:
    data = H + G + GOOD.replace(b"ios", b"iPhone") + b"\n" + GOOD.replace(b"ios", b"WEB")
    aliases = {**DEFAULT, "iphone": "iOS", "web": "Browser"}
    assert [record.platform for record in read(data, aliases).kept] == ["iOS", "iOS", "Browser"]
    assert outline(read(data, {"iphone": "iOS"})) == ([3], [(2, "unknown_platform"), (4, "unknown_platform")], None)


@pytest.mark.parametrize(
    ("data", "quarantined"),
    [
        (H + b" u\xff1\xe2\x82,s1 \r\n", [Quarantined(2, "encoding", " u\\xff1\\xe2\\x82,s1 ")]),
        (H + b'"u1\r' + G, [Quarantined(2, "unterminated_quote", '"u1')]),
        (H + b"u\0\\x00" + REST + b"\n", [Quarantined(2, "control_character", "u\0\\x00" + REST.decode())]),
        (
            N + b"\t" + REST + b',"\r\nx\n" \r\n',
            [Quarantined(2, "missing_user_id", "\t" + REST.decode() + ',"\r\nx\n" ')],
        ),
        (N + REST + b',"\n"', [Quarantined(2, "missing_user_id", REST.decode() + ',"\n"')]),
    ],
)
def test_raw_text_of_quarantined_records(data: bytes, quarantined: list[Quarantined]) -> None:
    assert read(data).quarantined == quarantined


# --- Properties of every file -----------------------------------------------------------------------------------------


@EXAMPLES
@given(valid_files(padding=("", " ", "   ")))  # skipinitialspace knows no other white space
def test_valid_files_agree_with_the_csv_module(data: bytes) -> None:
    text = data.decode("utf-8-sig")
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), skipinitialspace=True) if "".join(row).strip()]
    names = [name.strip().lower() for name in rows[0]]
    expected = []
    for row in rows[1:]:
        values = {name: value.strip() for name, value in zip(names, row, strict=True)}
        time = datetime.fromisoformat(values["activity_time"])
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
        platform = unicodedata.normalize("NFKC", values["platform"]).lower()
        expected.append((values["user_id"], values["session_id"], DEFAULT[platform], time, values["activity_type"]))
    reading = read(data)
    assert [record[1:] for record in reading.kept] == expected
    assert (reading.rejection, reading.quarantined) == (None, [])


@EXAMPLES
@given(valid_files())
def test_every_record_of_a_valid_file_is_kept(data: bytes) -> None:
    reading = read(data)
    assert (reading.rejection, reading.quarantined) == (None, [])


@EXAMPLES
@given(ANY_FILE)
def test_kept_records_obey_the_contract(data: bytes) -> None:
    for record in read(data).kept:
        for value in (record.user_id, record.session_id, record.activity_type):
            assert value
            assert value[0] not in WHITE_SPACE
            assert value[-1] not in WHITE_SPACE
            assert "Cc" not in map(unicodedata.category, value)
        assert record.platform in {"iOS", "Android", "Web"}
        assert record.activity_time.tzinfo is UTC


@EXAMPLES
@given(ANY_FILE)
def test_every_line_is_accounted_for(data: bytes) -> None:
    """Each line of the body is in the extent of exactly one record, or blank."""
    reading = read(data)
    if reading.rejection:
        assert reading.records == 0
        return
    lines = physical_lines(data)
    reasons = {record.line: record.reason for record in reading.quarantined}
    starts = sorted([record.line for record in reading.kept] + list(reasons))
    accounted = list(range(1, header_line(data) + 1))
    for start in starts:
        end = start
        if reasons.get(start) not in STRUCTURAL:  # of sound structure: it ends at the first line that closes its quotes
            while b"".join(lines[start - 1 : end]).count(b'"') % 2:
                end += 1
        accounted += range(start, end + 1)
    assert len(accounted) == len(set(accounted))
    for number in set(range(1, len(lines) + 1)) - set(accounted):
        assert lines[number - 1].decode().strip(WHITE_SPACE) == ""


@EXAMPLES
@given(ANY_FILE)
def test_raw_text_is_in_the_file_at_its_line(data: bytes) -> None:
    lines = physical_lines(data)
    for record in read(data).quarantined:
        raw = physical_lines(record.raw.encode())
        assert len(raw) == 1 or record.reason not in STRUCTURAL
        extent = lines[record.line - 1 : record.line - 1 + len(raw)]
        assert [line.decode("utf-8", "backslashreplace") for line in extent] == [line.decode() for line in raw]


@EXAMPLES
@given(ANY_FILE)
def test_the_kind_of_line_end_changes_nothing(data: bytes) -> None:
    reading = read(data)
    for end in (b"\n", b"\r", b"\r\n"):
        other = read(with_line_ends(data, end))
        assert other.kept == reading.kept
        assert outline(other) == outline(reading)


@EXAMPLES
@given(ANY_FILE)
def test_a_blank_line_before_the_header_moves_every_record_down(data: bytes) -> None:
    reading = read(data)
    moved = read(BOM + b" \n" + data.removeprefix(BOM))
    assert moved.rejection == reading.rejection
    assert moved.kept == [record._replace(line=record.line + 1) for record in reading.kept]
    assert moved.quarantined == [record._replace(line=record.line + 1) for record in reading.quarantined]


@EXAMPLES
@given(ANY_FILE)
def test_after_a_record_of_broken_structure_reading_starts_afresh(data: bytes) -> None:
    reading = read(data)
    lines = physical_lines(data.removeprefix(BOM))
    for broken in [record.line for record in reading.quarantined if record.reason in STRUCTURAL][:3]:
        header = lines[header_line(data) - 1]
        rest = read(b"\n" * (broken - 1) + b"\n".join([header, *lines[broken:], b""]))
        assert rest.kept == [record for record in reading.kept if record.line > broken]
        assert outline(rest)[1] == [(line, reason) for line, reason in outline(reading)[1] if line > broken]
