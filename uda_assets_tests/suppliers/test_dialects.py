"""Random dialects with random records, written by Python's csv, codecs and datetime, and read by us.

``UDA_TEST_EXAMPLES=10000 uv run pytest uda_assets_tests/suppliers/test_dialects.py`` takes as many as it says.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.dialects import Dialect
from uda_assets.contract.platforms import Platforms
from uda_assets.contract.suppliers import entries_of
from uda_assets.ingest import PlatformNames, open_source, read_batches
from uda_assets.ingest.convert import CONVERTED, take_converted
from uda_assets.kernel import REASONS
from uda_assets_tests.ingest import reference
from uda_assets_tests.ingest.fast import read_fast, read_slow
from uda_assets_tests.ingest.strategies import mutated_files

EXAMPLES = int(os.environ.get("UDA_TEST_EXAMPLES", "150"))
TIMES: dict[str, Callable[[datetime, str], str]] = {
    "iso": lambda at, offset: at.isoformat() + offset,
    "epoch_s": lambda at, _: str(int(at.timestamp())),
    "epoch_ms": lambda at, _: str(int(at.timestamp()) * 1000 + at.microsecond // 1000),
    "epoch_us": lambda at, _: str(int(at.timestamp()) * 1_000_000 + at.microsecond),
    "%d/%m/%Y %H:%M:%S": lambda at, _: at.strftime("%d/%m/%Y %H:%M:%S"),
    "%m/%d/%Y %I:%M %p": lambda at, _: at.strftime("%m/%d/%Y %I:%M %p"),
    "%d-%b-%Y %H:%M:%S.%f": lambda at, _: at.strftime("%d-%b-%Y %H:%M:%S.%f"),
    "%Y%m%d%H%M%S": lambda at, _: at.strftime("%Y%m%d%H%M%S"),
    "%a, %d %b %y %H:%M:%S %z": lambda at, offset: at.strftime("%a, %d %b %y %H:%M:%S ") + (offset or "+0000"),
    "%Y-%j": lambda at, _: at.strftime("%Y-%j"),
    "%B %d, %Y": lambda at, _: at.strftime("%B %d, %Y"),
}
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
OFFSETS = ["", "", "", "+00:00", "-05:30", "+1400"]


class File(NamedTuple):
    """A file in a dialect, and what it holds."""

    entry: dict[str, object]
    data: bytes
    kept: list[tuple[object, ...]]
    reasons: list[str]


@st.composite
def files(draw: st.DrawFn) -> File:
    quote = draw(st.sampled_from(['"', '"', "'", ""]))
    escape = "\\" if not quote else draw(st.sampled_from(["", "", "\\"]))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|", "^", "\x1f", ":"]))
    encoding = draw(
        st.sampled_from(["utf-8", "utf-8", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1", "shift_jis"])
    )
    zone = draw(st.sampled_from(ZONES))
    form = draw(st.sampled_from(sorted(TIMES)))
    null = draw(st.lists(st.sampled_from(["NULL", "-", "n/a"]), unique=True, max_size=2))
    trailing = draw(st.booleans())
    junk = draw(st.lists(st.sampled_from(["# comment", "sep=;", "", '"']), max_size=2))
    names = draw(st.permutations([*COLUMNS, "note"])) if draw(st.booleans()) else [*COLUMNS]
    renamed = {column: f"their {column}" for column in draw(st.sets(st.sampled_from(COLUMNS)))}
    has_header = draw(st.booleans())
    alphabet = st.sampled_from(
        [*"abü1 /.", delimiter, quote or "x", *(['"', "'", "\\"] if escape else ['"' if quote else "y"])]
    )
    ids = (
        st.text(alphabet, min_size=1, max_size=6)
        if encoding != "shift_jis"
        else st.text("ab1カ", min_size=1, max_size=4)
    )

    written: list[list[str]] = []
    kept: list[tuple[object, ...]] = []
    reasons: list[str] = []
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.datetimes(datetime(1970, 1, 2), datetime(2037, 12, 30))).replace(
            microsecond=draw(st.sampled_from([0, 123456]))
        )
        offset = draw(st.sampled_from(OFFSETS))
        moment, spelled = written_time(at, offset, form, zone)
        values = {
            "user_id": draw(st.one_of(ids, st.sampled_from(["", *null]))),
            "session_id": draw(ids),
            "platform": draw(st.sampled_from(["iOS", "web", "tv", "apple phone", "APPLE X"])),
            "activity_time": draw(st.sampled_from([spelled, spelled, "never"])),
            "activity_type": draw(st.sampled_from(["view", "a b"])),
            "note": draw(st.sampled_from(["", "x"])),
        }
        written.append([values[name] for name in names])
        read = {name: reference.trim(value) for name, value in values.items()}
        read = {name: "" if value in null else value for name, value in read.items()}
        controls = any(reference.has_control_character(reference.trim(values[column])) for column in COLUMNS)
        outcome = (
            "control_character" if controls else judged(read, moment if values["activity_time"] == spelled else None)
        )
        if isinstance(outcome, str):
            reasons.append(outcome)
        else:
            kept.append(outcome)

    entry: dict[str, object] = {
        "name": "acme", "drops": ["*"], "delimiter": delimiter, "quote": quote, "escape": escape, "encoding": encoding,
        "skip_lines": len(junk), "trailing_delimiter": trailing, "null": null,
        "columns": renamed, "time": {"formats": [form], "timezone": zone},
        "platforms": {"iOS": ["apple *"]},
    }  # fmt: skip
    theirs = [renamed.get(name, name) for name in names]
    if not has_header:
        entry["header"] = theirs
    end = draw(st.sampled_from(["\n", "\r\n"]))
    lines = io.StringIO()
    writer = csv.writer(
        lines, delimiter=delimiter, quotechar=quote or None, escapechar=escape or None, doublequote=not escape,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE, lineterminator=f"{delimiter if trailing else ''}{end}",
    )  # fmt: skip
    writer.writerows([theirs, *written] if has_header else written)
    text = "".join(f"{line}{end}" for line in junk) + lines.getvalue()
    return File(entry, text.encode(encoding), kept, reasons)


def written_time(at: datetime, offset: str, form: str, zone: str) -> tuple[datetime | None, str]:
    """A moment in UTC, or None where the zone skips it, and how it is written."""
    if form.startswith("epoch"):
        precise = {"epoch_s": 0, "epoch_ms": 123000, "epoch_us": 123456}[form] if at.microsecond else 0
        at = at.replace(tzinfo=UTC)
        return at.replace(microsecond=precise), TIMES[form](at, offset)
    spelled = TIMES[form](at, offset)
    if form not in ("iso", "%a, %d %b %y %H:%M:%S %z"):
        offset = ""
    elif form != "iso":
        offset = offset or "+0000"
    local = at if form == "iso" else datetime.strptime(spelled, form).replace(tzinfo=None)
    if offset:
        return datetime.fromisoformat(local.isoformat() + offset).astimezone(UTC), spelled
    in_zone = local.replace(tzinfo=ZoneInfo(zone))
    exists = in_zone.astimezone(UTC).astimezone(in_zone.tzinfo).replace(tzinfo=None) == local
    return (in_zone.astimezone(UTC) if exists else None), spelled


def judged(values: dict[str, str], moment: datetime | None) -> tuple[object, ...] | str:
    """The record, or why it is malformed, by the reference's rules and the time that was written."""
    aliases = {**reference.DEFAULT, "apple phone": "iOS", "apple x": "iOS"}
    valid = "2026-01-01T00:00:00Z" if moment else "never"
    verdict = reference.judge(1, values | {"activity_time": valid}, aliases, keep_unknown=False)
    if isinstance(verdict, str):
        return verdict
    assert moment
    return (verdict.user_id, verdict.session_id, verdict.platform, moment, verdict.activity_type)


def read(file: File, *, block_bytes: int) -> tuple[list[tuple[object, ...]], list[str]]:
    (supplier,) = entries_of([file.entry], "the test")
    dialect: Dialect = supplier.dialect.of("drop.csv")
    names = PlatformNames(Platforms().preceded(supplier.platforms))
    kept: list[tuple[object, ...]] = []
    reasons: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "drop.csv"
        path.write_bytes(file.data)
        with open_source(path, dialect=dialect) as source:
            for batch in read_batches(
                source, names, CONVERTED, take_converted, dialect=dialect, block_bytes=block_bytes
            ):
                for platform, records in batch.kept.records.items():
                    for user, session, at, kind in pl.DataFrame(pl.from_arrow(records)).rows():
                        kept.append((user, session, platform, at.astimezone(UTC), kind))
                if batch.kept.malformed:
                    codes = pl.DataFrame(pl.from_arrow(batch.kept.malformed))["reason"]
                    reasons += [REASONS[code].value for code in codes]
    return kept, reasons


@given(file=files(), block_bytes=st.sampled_from([1, 50, 1 << 20]))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_was_written_is_read(file: File, block_bytes: int) -> None:
    kept, reasons = read(file, block_bytes=block_bytes)
    assert sorted(kept, key=repr) == sorted(file.kept, key=repr)
    assert sorted(reasons) == sorted(file.reasons)


def test_every_hour_of_some_years_is_converted_as_zoneinfo_does() -> None:
    for zone in ZONES[1:]:
        hours = [datetime(2026, 1, 1) + timedelta(minutes=30 * step) for step in range(2 * 24 * 366)]
        expected = [written_time(at, "", "iso", zone)[0] for at in hours]
        lines = "".join(f"u{i},s,web,{at.isoformat()},view\n" for i, at in enumerate(hours))
        entry: dict[str, object] = {"name": "a", "drops": ["*"], "header": list(COLUMNS), "time": {"timezone": zone}}
        kept, reasons = read(File(entry, lines.encode(), [], []), block_bytes=1 << 20)
        assert {row[0]: row[3] for row in kept} == {f"u{i}": at for i, at in enumerate(expected) if at}
        assert reasons == ["bad_activity_time"] * expected.count(None)


# --- Hostile files ------------------------------------------------------------------------------------------------------


@st.composite
def hostile(draw: st.DrawFn) -> tuple[bytes, reference.Dialect]:
    """A mutated file whose delimiters and quotes are those of a dialect, with a few escapes and null markers in it."""
    data: bytes = draw(mutated_files())
    dialect = reference.Dialect(
        delimiter=draw(st.sampled_from(",;\t|\x1f")), quote=draw(st.sampled_from(['"', "'", ""])),
        escape=draw(st.sampled_from(["", "\\", "^"])), trailing_delimiter=draw(st.booleans()),
        null=tuple(draw(st.lists(st.sampled_from(["u1", "N", "\\N"]), max_size=2))),
        skip_lines=draw(st.sampled_from([0, 0, 1, 2])),
        header=draw(st.sampled_from([(), (), COLUMNS, (*COLUMNS, "note")])),
        columns=draw(st.sampled_from([{}, {"session_id": ("user_id", "session_id")}, {"activity_type": ("platform",)}])),
        constants=draw(st.sampled_from([{}, {"platform": "Web"}])),
        formats=draw(st.sampled_from([("iso",), ("epoch_s", "iso"), ("%Y-%m-%d %H:%M:%S", "iso")])),
        timezone=draw(st.sampled_from(["UTC", "Europe/Berlin"])),
    )  # fmt: skip
    data = data.replace(b",", dialect.delimiter.encode())
    if dialect.quote:
        data = data.replace(b'"', dialect.quote.encode())
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        put = draw(
            st.sampled_from(
                [
                    dialect.escape,
                    dialect.escape + "\n",
                    dialect.escape + dialect.delimiter,
                    dialect.quote,
                    dialect.delimiter,
                    "\\N",
                    dialect.delimiter + "\n",
                    dialect.escape + "\r\n",
                ]
            )
        )
        data = data[:at] + put.encode() + data[at:]
    return data, dialect


@given(case=hostile(), block_bytes=st.sampled_from([1, 37, 200, 1 << 20]), threads=st.integers(1, 2))
@settings(max_examples=2 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_hostile_files_are_read_as_the_reference_reads_them(
    case: tuple[bytes, reference.Dialect], block_bytes: int, threads: int
) -> None:
    data, dialect = case
    ours = Dialect(**dialect._asdict())
    assert read_fast(data, block_bytes=block_bytes, threads=threads, dialect=ours) == read_slow(data, dialect=dialect)
