"""Files of the kinds that suppliers send: each is accepted by an entry that states how it is written.

Without the entry it is rejected, or its records are quarantined, and what is said names the key that helps.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from uda_assets.cli import run as uda
from uda_assets.engines.dask import DaskEngine
from uda_assets.lake import open_lake
from uda_assets_tests.support.chain import build, ledger, published, run, settings_of
from uda_assets_tests.support.cluster import in_process_client

HEADER = "user_id,session_id,platform,activity_time,activity_type"
ROWS = [
    ["u1", "s1", "iOS", "2026-01-01T10:00:00Z", "view"],
    ["u1", "s2", "Android", "2026-01-02T10:00:00Z", "view"],
    ["u2", "s3", "Web", "2026-01-03T10:00:00Z", "view"],
]


def text(
    rows: list[list[str]] | None = None, *, header: str | None = HEADER, delimiter: str = ",", end: str = "\n"
) -> str:
    lines = [header.replace(",", delimiter)] if header else []
    return end.join([*lines, *(delimiter.join(row) for row in rows or ROWS), ""])


def times(*spellings: str) -> list[list[str]]:
    return [[*row[:3], spelling, row[4]] for row, spelling in zip(ROWS, spellings, strict=True)]


class Case(NamedTuple):
    """A file: its content, the entry, what comes of it, and what is said without the entry."""

    name: str
    content: str | bytes
    entry: str
    kept: int = 3
    reasons: dict[str, int] = {}  # noqa: RUF012
    started: str | None = None
    advice: str | None = None
    lines: list[int] = []  # noqa: RUF012
    file: str = "drop.csv"


CASES = [
    Case(
        "epoch_ms", text(times("1767261600000", "1767261601000", "1767261602000")),
        '[supplier.time]\nformats = ["epoch_ms"]', started="2026-01-01T10:00:00Z", advice="time.formats",
    ),
    Case("utc_suffix", text(times("2026-01-01 10:00:00 UTC", "2026-01-02 10:00:00 UTC", "2026-01-03 10:00:00 UTC")), ""),
    Case("nanos", text(times(*(f"2026-01-0{day}T10:00:00.123456789Z" for day in (1, 2, 3)))), "",
         started="2026-01-01T10:00:00.123456Z"),
    Case("semicolon", text(delimiter=";"), 'delimiter = ";"', advice="semicolons; .*delimiter"),
    Case("sep_line", "sep=;\n" + text(delimiter=";"), 'delimiter = ";"\nskip_lines = 1', advice="delimiter and skip_lines"),
    Case(
        "colnames", text(header="distinct_id,session,os,time,event"),
        '[supplier.columns]\nuser_id = "distinct_id"\nsession_id = "session"\nplatform = "os"\n'
        'activity_time = "time"\nactivity_type = "event"', advice="columns",
    ),
    Case(
        "null", text([*ROWS, *([user, "s9", "iOS", "2026-01-01T10:00:00Z", "view"] for user in ("NULL", "\\N", "null"))]),
        'null = ["NULL", "\\\\N", "null"]', reasons={"missing_user_id": 3},
    ),
    Case("repeat_header", 3 * text(), "", kept=9, reasons={"unknown_platform": 2}),
    Case("trailing_comma", text().replace("view\n", "view,\n"), "trailing_delimiter = true", advice="trailing_delimiter"),
    Case("trailing_comma_in_header", text().replace("\n", ",\n"), "trailing_delimiter = true"),
    Case("backslash", text([['"u\\"1"', *ROWS[0][1:]], *ROWS]), 'escape = "\\\\"', kept=4),
    Case("backslash_bare", text([["u\\,1", *ROWS[0][1:]], *ROWS]), 'escape = "\\\\"\nquote = ""', kept=4),
    Case(
        "platforms",
        text([[f"u{i}", f"s{i}", platform, "2026-01-01T10:00:00Z", "view"] for i, platform in enumerate(
            ["iOS 17.2", "iPadOS", "iPhone OS", "android ", "ANDROID", "web-desktop", "Web (mobile)", "iphone",
             "Mac OS X", "Windows"])]),
        '[supplier.platforms]\niOS = ["ios *", "ipados*", "iphone*"]\nWeb = ["web*"]',
        kept=8, reasons={"unknown_platform": 2}, advice="platforms",
    ),
    Case("noheader", text(header=None), f"header = {HEADER.split(',')!r}".replace("'", '"'), advice="header", lines=[1, 2, 3]),
    Case("utf16", text().encode("utf-16"), 'encoding = "utf-16"', advice="encoding"),
    Case("utf16_mark_wins", text().encode("utf-16"), 'encoding = "cp1252"'),
    Case("utf16_le", text().encode("utf-16-le"), 'encoding = "utf-16-le"', advice="encoding"),
    Case("utf16_be", text().encode("utf-16-be"), 'encoding = "utf-16-be"'),
    Case("utf8_mark_wins", b"\xef\xbb\xbf" + text().encode(), 'encoding = "utf-16"'),
    Case("latin1", text([["ü", *row[1:]] for row in ROWS]).encode("latin-1"), 'encoding = "latin-1"', advice="encoding"),
    Case(
        "cp1252_undefined", text([*([["€", *ROWS[0][1:]]] * 3)]).encode("cp1252") + b"u\x81,s,iOS,2026-01-01T10:00:00Z,view\n",
        'encoding = "cp1252"', reasons={"encoding": 1},
    ),
    Case("tabs", text(delimiter="\t"), "", file="drop.tsv"),
    Case("tabs_by_entry", text(delimiter="\t"), 'delimiter = "\\t"', advice="tabs; .*delimiter"),
    Case("epoch_s", text(times("1767261600", "1767261601.5", "1767261602")), '[supplier.time]\nformats = ["epoch_s"]',
         started="2026-01-01T10:00:00Z", advice="time.formats"),
    Case("epoch_us", text(times("1767261600000001", "1767261601000000", "1767261602000000")),
         '[supplier.time]\nformats = ["epoch_us"]', started="2026-01-01T10:00:00.000001Z"),
    Case("european", text(times("01/02/2026 10:00:00", "1/2/2026 11:00:00", "31/12/2026 00:00:00")),
         '[supplier.time]\nformats = ["%d/%m/%Y %H:%M:%S"]', started="2026-02-01T10:00:00Z", advice="time.formats"),
    Case("am_pm", text(times("01/31/2026 12:05 AM", "1/31/2026 12:05 PM", "01/31/2026 01:05 pm")),
         '[supplier.time]\nformats = ["%m/%d/%Y %I:%M %p"]', started="2026-01-31T00:05:00Z"),
    Case("comma_fraction", text(times(*(f'"2026-01-0{day} 10:00:00,123"' for day in (1, 2, 3)))),
         '[supplier.time]\nformats = ["%Y-%m-%d %H:%M:%S,%f"]', started="2026-01-01T10:00:00.123Z"),
    Case("dates", text(times("2026-01-01", "2026-01-02", "2026-01-03")), '[supplier.time]\nformats = ["%Y-%m-%d"]',
         started="2026-01-01T00:00:00Z"),
    Case("several_formats", text(times("2026-01-01T10:00:00Z", "1767261601", "02.01.2026")),
         '[supplier.time]\nformats = ["iso", "epoch_s", "%d.%m.%Y"]', started="2026-01-01T10:00:00Z"),
    Case("summer_time", text(times("2026-03-29 01:59:59", "2026-03-29 03:00:00", "2026-10-25 02:30:00")),
         '[supplier.time]\ntimezone = "Europe/Berlin"', started="2026-03-29T00:59:59Z"),
    Case("skipped_time", text(times("2026-03-29 02:30:00", "2026-03-29 03:00:00", "2026-03-29T02:30:00Z")),
         '[supplier.time]\ntimezone = "Europe/Berlin"', kept=2, reasons={"bad_activity_time": 1}),
    Case("index_column", text([[str(i), *row] for i, row in enumerate(ROWS)], header="," + HEADER), ""),
    Case("comments", "# made by hand\n# on 2 January\n" + text(), "skip_lines = 2"),
    Case("composite", text([["v1", "1", "iOS", "2026-01-01T10:00:00Z", "view"], ["v1", "2", "iOS", "2026-01-01T10:00:00Z", "view"],
                            ["", "2", "iOS", "2026-01-01T10:00:00Z", "view"]], header="visitor,visit,os,ts,event"),
         '[supplier.columns]\nuser_id = "visitor"\nsession_id = ["visitor", "visit"]\nplatform = "os"\n'
         'activity_time = "ts"\nactivity_type = "event"', kept=2, reasons={"missing_user_id": 1}),
    Case("constants", text([[*row[:2], row[3]] for row in ROWS], header="user_id,session_id,activity_time"),
         '[supplier.constants]\nplatform = "Web"\nactivity_type = "visit"', advice="columns or constants"),
    Case("single_quotes", text([["'u,1'", *ROWS[0][1:]], ["'it''s'", *ROWS[1][1:]], ROWS[2]]), 'quote = "\'"'),
    Case("bz2", bz2.compress(text().encode()), "", file="drop.csv.bz2"),
    Case("bz2_of_two", bz2.compress(text().encode()) + bz2.compress(text(header=None).encode()), "", kept=6, file="a.txt.BZ2"),
    Case("xz", lzma.compress(text().encode()), "", file="drop.txt.xz"),
    Case("gz_of_semicolons", gzip.compress(text(delimiter=";").encode()), 'delimiter = ";"', file="drop.csv.gz"),
]  # fmt: skip


def zipped(**members: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return packed.getvalue()


def entry_of(case: Case) -> str:
    return f'[[supplier]]\nname = "acme"\ndrops = ["*"]\n{case.entry}\n'


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_with_its_entry(tmp_path: Path, case: Case) -> None:
    deliver(tmp_path, case)
    if case.entry:
        (tmp_path / "suppliers.toml").write_text(entry_of(case), encoding="utf-8")
    report = run(tmp_path)
    assert not report.rejected
    entry = ledger(tmp_path)[case.file]
    malformed = sum(case.reasons.values())
    assert (entry.records, entry.kept, entry.quarantined) == (case.kept + malformed, case.kept, malformed)
    assert report.converted[0].reasons == case.reasons
    assert entry.supplier == ("acme" if case.entry else None)
    if case.started:
        ((started,),) = published(tmp_path, "SELECT min(started_at) FROM sessions")
        assert started.astimezone(UTC) == datetime.fromisoformat(case.started)
    assert not run(tmp_path).converted, "nothing is left to do"


@pytest.mark.parametrize("case", [case for case in CASES if case.advice], ids=lambda case: case.name)
def test_without_it_the_advice_names_the_key(tmp_path: Path, case: Case) -> None:
    deliver(tmp_path, case)
    report = run(tmp_path)
    (rejection,) = report.rejected.values()
    assert "uda sniff" in rejection.advice
    assert re.search(case.advice or "", rejection.advice), rejection.advice
    assert rejection.advice in (ledger(tmp_path)[case.file].reason or "")


def test_all_at_once_on_a_cluster(tmp_path: Path) -> None:
    """Each is a supplier of its own; drops are divided into the smallest ranges that can be."""
    entries = []
    for case in CASES:
        deliver(tmp_path, case._replace(file=f"{case.name}/{case.file}"))
        if case.entry:
            entries.append(f'[[supplier]]\nname = "{case.name}"\ndrops = ["{case.name}/*"]\n{case.entry}\n')
    (tmp_path / "suppliers.toml").write_text("".join(entries), encoding="utf-8")
    configured = settings_of(tmp_path)
    with in_process_client() as client:
        report = build(open_lake(configured), configured, DaskEngine(client, configured, range_bytes=1))
    assert not report.rejected
    found = {manifest.drop: (manifest.kept, manifest.reasons) for manifest in report.converted}
    assert found == {f"{case.name}/{case.file}": (case.kept, case.reasons) for case in CASES}
    suppliers = {drop: entry.supplier for drop, entry in ledger(tmp_path).items()}
    assert suppliers == {f"{case.name}/{case.file}": case.name if case.entry else None for case in CASES}


def test_the_inspector_takes_a_supplier_by_name_or_by_the_files_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDA_DATA_ROOT", str(tmp_path))
    entry = '[[supplier]]\nname = "acme"\ndrops = ["*_acme.csv", "shop/*"]\ndelimiter = ";"\n'
    (tmp_path / "suppliers.toml").write_text(entry, encoding="utf-8")
    (tmp_path / "datasets/shop").mkdir(parents=True)
    for name, options in [("x_acme.csv", []), ("datasets/shop/x.csv", []), ("other.csv", ["--supplier", "acme"])]:
        (tmp_path / name).write_text(text(delimiter=";"))
        assert uda(["inspector", "--filepath", str(tmp_path / name), "--format", "csv", *options]) == 0
        assert capsys.readouterr().out.splitlines()[1:] == ["Android,u1,1", "Web,u2,1", "iOS,u1,1"]
    assert uda(["inspector", "--filepath", str(tmp_path / "other.csv"), "--supplier", "none"]) == 1
    assert "there is no supplier 'none' in suppliers.toml; there are: acme" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("members", "kept"),
    [({"a.csv": text()}, 3), ({"a.csv": text(), "b.csv": text()}, None), ({"read.me": "x"}, None),
     ({"a.csv": text(), "read.me": "x", "__MACOSX__._a.csv": "x"}, 3)],
)  # fmt: skip
def test_a_zip_holds_one_drop(tmp_path: Path, members: dict[str, str], kept: int | None) -> None:
    deliver(tmp_path, Case("zip", zipped(**members), "", file="drop.zip"))
    report = run(tmp_path)
    if kept:
        assert report.converted[0].kept == kept
    else:
        assert report.rejected["drop.zip"].reason == "not_one_file"


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_a_broken_archive_is_rejected(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    suffix = ".bz2" if pack is bz2.compress else ".xz"
    deliver(tmp_path, Case("broken", pack(text().encode() * 1000)[:-20], "", file=f"drop.csv{suffix}"))
    assert run(tmp_path).rejected[f"drop.csv{suffix}"].reason == "broken_archive"


def deliver(root: Path, case: Case) -> None:
    path = root / "datasets" / case.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
