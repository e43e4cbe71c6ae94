"""``uda sniff`` proposes an entry by which a file is read, and says what it rests on."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from uda_assets.cli import run as uda
from uda_assets_tests.suppliers.test_cases import CASES, Case

BY_A_PERSON = {
    "latin1", "backslash_bare", "composite", "null", "summer_time", "skipped_time", "utf16_mark_wins",
    "several_formats", "cp1252_undefined", "utf8_mark_wins",
}  # fmt: skip
"""What cannot be seen in a file: joined ids, zones, what a null marker is."""


def sniffed(root: Path, case: Case, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, object], str]:
    path = root / case.file
    path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    assert uda(["sniff", "--data-root", str(root), "--check", str(path)]) == 0
    said = capsys.readouterr()
    (entry,) = tomllib.loads(said.out)["supplier"]
    return entry, said.err


@pytest.mark.parametrize("case", [case for case in CASES if case.name not in BY_A_PERSON], ids=lambda case: case.name)
def test_the_proposal_keeps_what_a_persons_entry_keeps(
    tmp_path: Path, case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    entry, said = sniffed(tmp_path, case, capsys)
    malformed = sum(case.reasons.values())
    assert f"of {case.kept + malformed} records it would keep {case.kept}" in said, (entry, said)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("semicolon", "delimiter", ";"), ("sep_line", "skip_lines", 1), ("utf16", "encoding", "utf-16"),
        ("null", "null", ["NULL", "null", "\\N"]), ("trailing_comma", "trailing_delimiter", True),
        ("epoch_ms", "time", {"formats": ["epoch_ms"]}), ("backslash", "escape", "\\"),
        ("am_pm", "time", {"formats": ["%m/%d/%Y %I:%M %p"]}),
        ("noheader", "header", ["user_id", "session_id", "platform", "activity_time", "activity_type"]),
    ],
)  # fmt: skip
def test_each_key_has_its_ground(
    tmp_path: Path, name: str, key: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    (case,) = [case for case in CASES if case.name == name]
    entry, said = sniffed(tmp_path, case, capsys)
    assert entry[key] == value
    assert key in said


def test_a_file_in_the_default_dialect_needs_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (case,) = [case for case in CASES if case.name == "nanos"]
    entry, said = sniffed(tmp_path, case, capsys)
    assert set(entry) == {"name", "drops"}
    assert "needs no entry" in said


def test_what_is_open_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["user_id,session_id,platform,activity_time,activity_type", "u,s,TV,01/02/2026 10:00:00,view"]
    entry, said = sniffed(
        tmp_path, Case("ambiguous", "\n".join(lines) + "\nu,s,Web,01/02/2026 10:00:00,view\n", ""), capsys
    )
    assert entry["time"] == {"formats": ["%d/%m/%Y %H:%M:%S"]}
    assert "to be checked: %m/%d/%Y %H:%M:%S would fit too" in said
    assert "to be checked: unknown platforms: TV" in said


@pytest.mark.parametrize(("content", "complaint"), [(b"", "is empty"), (b"\n\n", "is empty")])
def test_what_cannot_be_sniffed_is_said_in_one_line(
    tmp_path: Path, content: bytes, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "drop.csv").write_bytes(content)
    assert uda(["sniff", str(tmp_path / "drop.csv")]) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
