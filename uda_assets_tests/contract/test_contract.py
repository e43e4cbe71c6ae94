"""The contract: the reasons and their precedence, and the platform table with what a user adds to it."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda_assets.basics.bounds import DEFAULT_BOUNDS
from uda_assets.basics.errors import UdaError
from uda_assets.contract.columns import COLUMNS, WHITE_SPACE
from uda_assets.contract.platforms import ContractError, Platforms, normalise_platform, platforms_from, read_platforms
from uda_assets.contract.reasons import STRUCTURAL, Reason
from uda_assets.ingest import PlatformNames, Source, Wanted, read_batches
from uda_assets_tests.ingest import reference
from uda_assets_tests.ingest.fast import read_fast, untaken

GOOD = {
    "user_id": "u",
    "session_id": "s",
    "platform": "ios",
    "activity_time": "2026-01-31T08:15:00Z",
    "activity_type": "view",
}


def drop_of(*rows: Mapping[str, str]) -> bytes:
    """A drop with these records, each field quoted."""
    lines = [",".join(f'"{value.replace(chr(34), 2 * chr(34))}"' for value in row.values()) for row in rows]
    return "\n".join([",".join(COLUMNS), *lines, ""]).encode()


def reason_of(change: Mapping[str, str], *, keep_unknown: bool = False) -> str | None:
    rejection, kept, quarantined = read_fast(
        drop_of(GOOD | dict(change)), block_bytes=1 << 20, keep_unknown=keep_unknown
    )
    assert (rejection, len(kept) + len({line for line, _, _ in quarantined[:1]})) == (None, 1)
    return str(quarantined[0][1]) if quarantined else None


# --- Reasons ----------------------------------------------------------------------------------------------------------


def test_reasons_and_their_order_are_those_of_the_readme() -> None:
    assert [reason.value for reason in Reason] == [
        "encoding", "unterminated_quote", "bad_quote", "too_few_fields", "too_many_fields", "control_character",
        "missing_user_id", "missing_session_id", "missing_platform", "unknown_platform", "missing_activity_time",
        "bad_activity_time", "missing_activity_type",
    ]  # fmt: skip
    assert {reason.value for reason in STRUCTURAL} == reference.STRUCTURAL
    assert all(reason.explanation and "\n" not in reason.explanation for reason in Reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"user_id": ""}, "missing_user_id"),
        ({"user_id": " \u3000"}, "missing_user_id"),
        ({"session_id": "\t"}, "missing_session_id"),
        ({"platform": "\u00a0"}, "missing_platform"),
        ({"platform": "tv"}, "unknown_platform"),
        ({"activity_time": ""}, "missing_activity_time"),
        ({"activity_time": "yesterday"}, "bad_activity_time"),
        ({"activity_type": ""}, "missing_activity_type"),
        ({"user_id": "u\x00"}, "control_character"),
        ({"activity_type": "a\nb"}, "control_character"),
        ({"session_id": "a\u0085b"}, "control_character"),
        ({"user_id": "\u200b"}, None),
    ],
)
def test_a_reason_for_each_fault(change: dict[str, str], reason: str | None) -> None:
    assert reason_of(change) == reason


FAULTS = {
    Reason.CONTROL_CHARACTER: {"activity_type": "\x07"},
    Reason.MISSING_USER_ID: {"user_id": ""},
    Reason.MISSING_SESSION_ID: {"session_id": ""},
    Reason.MISSING_PLATFORM: {"platform": ""},
    Reason.UNKNOWN_PLATFORM: {"platform": "tv"},
    Reason.MISSING_ACTIVITY_TIME: {"activity_time": ""},
    Reason.BAD_ACTIVITY_TIME: {"activity_time": "never"},
    Reason.MISSING_ACTIVITY_TYPE: {"activity_type": ""},
}


@given(faults=st.sets(st.sampled_from(list(FAULTS)), min_size=1))
@settings(deadline=None)
def test_of_several_faults_the_first_in_order_is_the_reason(faults: set[Reason]) -> None:
    change: dict[str, str] = {}
    for fault in sorted(faults, key=list(Reason).index, reverse=True):
        change |= FAULTS[fault]
    # Of two faults in the same field the earlier one is applied, so the first fault is always present.
    assert reason_of(change) == min(faults, key=list(Reason).index)


def test_spellings_are_counted_by_their_normal_form() -> None:
    rows = [GOOD | {"platform": text} for text in ("iOS", " ios", "ＩＯＳ", "TV", "tv ", "")]
    hopeless = GOOD | {"platform": "fax", "user_id": ""}  # whatever it means, the record is malformed
    data = drop_of(*rows, hopeless)
    source = Source(len(data), lambda length, offset: data[offset : offset + length], DEFAULT_BOUNDS)
    (batch,) = read_batches(source, PlatformNames(Platforms()), Wanted(0), untaken)
    assert batch.spellings == {"ios": 3, "tv": 2}


# --- Platforms --------------------------------------------------------------------------------------------------------


@given(st.text(max_size=8))
def test_a_platform_is_compared_as_the_reference_does(text: str) -> None:
    if not any(unicodedata.category(character) == "Cc" for character in text):
        assert normalise_platform(text) == reference.normalise(text)


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("iOS", "iOS"), ("IOS", "iOS"), ("  ios\u3000", "iOS"), ("ｉＯＳ", "iOS"), ("ⓦⓔⓑ", "Web"),
        ("anDROID", "Android"), ("i-os", None), ("", None), ("ıos", None), ("Android TV", None),
    ],
)  # fmt: skip
def test_built_in_platforms(text: str, platform: str | None) -> None:
    assert Platforms().resolve(text) == platform


def test_unknown_platforms_may_be_kept_under_their_normal_form() -> None:
    keeping = Platforms(keep_unknown=True)
    assert (keeping.resolve(" Smart TV "), keeping.resolve("ios"), keeping.resolve("  ")) == ("smart tv", "iOS", None)
    assert reason_of({"platform": "tv"}, keep_unknown=True) is None
    assert reason_of({"platform": " "}, keep_unknown=True) == "missing_platform"


@pytest.mark.parametrize(
    ("spelling", "kept"),
    [("x" * 246, True), ("x" * 247, False), ("日" * 27, True), ("日" * 28, False), ("/" * 83, False)],
)
def test_an_unknown_platform_is_kept_if_it_can_be_a_directory(spelling: str, kept: bool) -> None:
    assert reference.fits(spelling) is kept
    assert Platforms(keep_unknown=True).resolve(spelling) == (spelling if kept else None)
    if not kept:
        with pytest.raises(ContractError, match="too long"):
            platforms_from({spelling: []})


def test_white_space_is_that_of_unicode() -> None:
    assert set(WHITE_SPACE) == set(reference.WHITE_SPACE)
    for code in (*map(ord, WHITE_SPACE), 0x1C, 0x1F, 0x180E, 0x200B, 0x2060, 0xFEFF):
        expected = "missing_user_id" if chr(code) in WHITE_SPACE else "control_character" if code < 32 else None
        assert reason_of({"user_id": 2 * chr(code)}) == expected


def test_a_users_table_adds_platforms_and_spellings(tmp_path: Path) -> None:
    path = tmp_path / "platforms.toml"
    path.write_text('[platforms]\niOS = ["iPhone OS", "iPadOS"]\n"Smart TV" = ["TV"]\n', encoding="utf-8")
    platforms = read_platforms(path)
    resolved = [platforms.resolve(text) for text in ("IPHONE OS", "ipados", "ios", "tv", "smart tv", "web", "radio")]
    assert resolved == ["iOS", "iOS", "iOS", "Smart TV", "Smart TV", "Web", None]
    assert not platforms.keep_unknown
    path.write_text("keep_unknown = true\n", encoding="utf-8")
    assert read_platforms(path).resolve("radio") == "radio"


def test_no_table_adds_nothing(tmp_path: Path) -> None:
    assert read_platforms(tmp_path / "platforms.toml").fingerprint == Platforms().fingerprint


def test_a_table_saved_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "platforms.toml"
    path.write_bytes(b'\xef\xbb\xbf[platforms]\r\nTV = ["telly"]\r\n')
    assert read_platforms(path).resolve("Telly") == "TV"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[platforms", "Expected ']'"),
        ('[platform]\nTV = ["telly"]', "unknown entry 'platform'"),
        ('iOS = ["iphone os"]', "unknown entry 'iOS'"),
        ('platforms = ["iOS"]', "must be a table"),
        ('[platforms]\nTV = "telly"', "platform 'TV' must have a list of spellings"),
        ("[platforms]\nTV = [1]", "platform 'TV' must have a list of spellings"),
        ('[platforms]\nTV = ["web"]', "'web' is listed under both 'Web' and 'TV'"),
        ("[platforms]\nIOS = []", "'IOS' is listed under both 'iOS' and 'IOS'"),
        ('[platforms]\nA = ["x"]\nB = ["Ｘ "]', "is listed under both 'A' and 'B'"),
        ('[platforms]\n"" = []', "'' must be printable"),
        ('[platforms]\n" TV" = []', "' TV' must be printable"),
        ('[platforms]\n"T\\u0007V" = []', "must be printable"),
        ('keep_unknown = "yes"', "keep_unknown must be true or false"),
        ("\xff", "line 1"),
    ],
)
def test_a_wrong_table_is_named_with_what_is_wrong(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "platforms.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ContractError, match=r"platforms\.toml: ") as caught:
        read_platforms(path)
    assert complaint in str(caught.value)
    assert isinstance(caught.value, UdaError)


def test_a_table_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'[platforms]\nTV = ["t\xe9l\xe9"]\n')
    for path in (tmp_path / "latin.toml", tmp_path):
        with pytest.raises(ContractError, match=path.name):
            read_platforms(path)


def test_run_config_adds_to_a_table() -> None:
    base = platforms_from({"TV": ["telly"]}, keep_unknown=True)
    more = platforms_from({"TV": ["box"], "Radio": []}, base)
    assert [more.resolve(text) for text in ("telly", "BOX", "radio", "web", "fax")] == [
        "TV", "TV", "Radio", "Web", "fax",
    ]  # fmt: skip
    assert not platforms_from({}, base, keep_unknown=False).keep_unknown
    assert base.resolve("box") == "box", "the base stays as it was"


def test_the_fingerprint_follows_the_meaning() -> None:
    table = platforms_from({"TV": ["telly", "box"], "Radio": []})
    same = platforms_from({"Radio": ["RADIO "], "TV": ["Box", "ＴＥＬＬＹ", "telly"]})
    assert table.fingerprint == same.fingerprint
    others = [platforms_from({"TV": ["telly"]}), platforms_from({}), platforms_from({}, keep_unknown=True)]
    assert len({table.fingerprint, *(platforms.fingerprint for platforms in others)}) == 4


def test_normalising_a_platform_again_changes_nothing() -> None:
    """Manifests store normalised spellings, and people copy these into platforms.toml."""
    everything = [
        chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) not in {"Cs", "Cc"}
    ]
    marks = {unicodedata.combining(one): one for one in everything if unicodedata.combining(one)}
    changing = [one for one in everything if normalise_platform(one) != one]
    for spelling in [*everything, *(base + mark for base in changing for mark in marks.values())]:
        normal = normalise_platform(spelling)
        assert normalise_platform(normal) == normal, ascii(spelling)
        assert reference.normalise(spelling) == normal, ascii(spelling)


def test_an_alias_for_a_stored_spelling_means_the_platform() -> None:
    spelling = "tv ß\u0301"
    stored = normalise_platform(spelling)
    assert Platforms().extended({"TV": [stored]}).resolve(spelling) == "TV"
    assert Platforms().extended({"TV": [spelling]}).resolve(stored) == "TV"
