"""Tables in Markdown, read back by a Markdown reader: every cell holds its text and nothing else, however hostile."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from uda_assets.contract.reasons import Reason
from uda_assets.defs.markdown import (
    Verbatim,
    leaderboard_table,
    ledger_table,
    markdown_table,
    quarantine_table,
    worst_drops_table,
)
from uda_assets.lake import DropManifest, open_lake
from uda_assets.pipeline.status import DropEntry, Status
from uda_assets.report.text import shown
from uda_assets.warehouse.lookup import sample_sessions
from uda_assets_tests.report import hostile
from uda_assets_tests.support.chain import HEADER, deliver, forget, published, run, settings_of

AWKWARD = [
    "a|b",
    "a\\|b",
    "\\",
    "|",
    "``",
    "`a",
    "a`b``c",
    " padded ",
    "**b**",
    "[x](y)",
    "www.a.example",
    "~~s~~",
    "$x$",
]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def read(markdown: str) -> list[list[str]]:
    """The rows of the only table, the first with its names; all that is in cells is text."""
    rows: list[list[str]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    assert sum(token.type == "table_open" for token in tokens) == 1
    for token in tokens:
        assert token.type != "html_block"
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and token.level > 2:
            rows[-1].append("".join(text(child) for child in token.children or ()))
    return rows


def text(token: Token) -> str:
    assert token.type in {"text", "code_inline", "text_special"}, token
    return token.content


@pytest.mark.parametrize("name", [*AWKWARD, *hostile.USERS, *hostile.PLATFORMS, *hostile.DROPS, *hostile.RAW])
def test_text_from_data_stays_in_its_cell(name: str) -> None:
    table = markdown_table(["id", "why", "count"], [(Verbatim(name), name, 1), (Verbatim("next"), "as it was", None)])
    assert table.isprintable() or table.replace("\n", "").isprintable(), "no control, no mark of direction"
    (_, first, last) = read(table)
    assert first[0].strip() == shown(name, 60)[:120].strip()
    assert shown(name, 238)[:200].strip().startswith(first[1][:200].strip())
    assert first[2] == "1"
    assert last == ["next", "as it was", ""]
    assert len(table) < 2500


def test_ten_thousand_drops_are_a_small_table_with_the_urgent_ones_in_front() -> None:
    entries = [
        DropEntry(drop=f"{place:05}.csv", status=Status.COMMITTED, records=place, kept=place, quarantined=0,
                  converted_at=NOON + timedelta(seconds=place))
        for place in range(9_998)
    ]  # fmt: skip
    entries.append(DropEntry(drop="gone.csv", status=Status.VANISHED, records=1, kept=1, quarantined=0))
    entries.append(DropEntry(drop="bad.csv", status=Status.REJECTED, reason="no_header: give | it a header"))
    table = ledger_table(entries)
    names, *rows = read(table)
    assert [row[:2] for row in rows[:3]] == [
        ["bad.csv", "rejected"],
        ["gone.csv", "vanished"],
        ["09997.csv", "committed"],
    ]
    assert rows[0][names.index("what to do")] == "no_header: give | it a header"
    assert "uda forget" in rows[1][names.index("what to do")]
    assert rows[2][names.index("records")] == "9,997"
    assert len(rows) == 50
    assert table.endswith("… and 9,950 more")
    assert len(table) < 10_000


def manifest(drop: str, **reasons: int) -> DropManifest:
    return DropManifest(
        drop=drop, content="", fingerprint="", converter_version="", records=1000, kept=1000 - sum(reasons.values()),
        quarantined=sum(reasons.values()), reasons=reasons, files=[], spellings={}, meanings={}, converted_at=NOON,
    )  # fmt: skip


def test_quarantine_by_reason_and_by_drop() -> None:
    made = [manifest("a.csv", encoding=3, bad_quote=1), manifest("b.csv", encoding=5), manifest("c.csv")]
    names, *rows = read(quarantine_table({one.drop: one for one in made}))
    totals: Counter[str] = Counter()
    for one in made:
        totals.update(one.reasons)
    assert {row[0]: int(row[1]) for row in rows} == totals
    assert rows[0] == ["encoding", "8", "2", "b.csv", Reason.ENCODING.explanation]
    assert names[-1] == "how to mend"
    assert read(worst_drops_table({one.drop: one for one in made}))[1:] == [
        ["b.csv", "5", "0.5%", "encoding"],
        ["a.csv", "4", "0.4%", "encoding"],
    ]


def test_every_platform_has_its_first_places() -> None:
    rows = [(platform, f"u{place:02}", 100 - place) for platform in "abcdefgh" for place in range(50)]
    board = pl.DataFrame(rows, schema=["platform", "user_id", "session_count"], orient="row")
    table = leaderboard_table(board)
    found = read(table)[1:]
    assert [row for row in found if row[1] == "h"] == [
        [str(place + 1), "h", f"u{place:02}", str(100 - place)] for place in range(12)
    ]
    assert {row[1] for row in found} == set("abcdefgh")
    assert table.endswith("… and 304 more")
    assert len(read(leaderboard_table(board, places=3))) == 25


@pytest.mark.parametrize("buckets", [0, 3])
def test_a_preview_shows_whole_sessions(tmp_path: Path, buckets: int) -> None:
    for drop, hour in (("a.csv", 1), ("b.csv", 2)):
        lines = [
            f"u{place % 9},s{place},{platform},2026-01-01T{hour:02}:00:00Z,view\n"
            for place in range(30) for platform in ("iOS", "Web", "Android")
        ]  # fmt: skip
        deliver(tmp_path, drop, HEADER + "".join(lines))
        run(tmp_path, buckets=buckets)
    forgotten = "a.csv"
    for sessions_of in (2, 1):
        settings = settings_of(tmp_path, buckets=buckets)
        lake = open_lake(settings)
        manifest = lake.state().sessions
        assert manifest is not None
        with duckdb.connect() as connection:
            found = sample_sessions(lake, connection, manifest)
            assert sample_sessions(lake, connection, manifest) == found
        true = published(tmp_path, "SELECT platform, user_id, session_id, epoch(started_at), events FROM sessions")
        assert {(*row[:3], row[3].timestamp(), row[5]) for row in found} <= set(true)
        assert Counter(row[0] for row in found) == {"Android": 4, "Web": 4, "iOS": 4}
        assert {row[5] for row in found} == {sessions_of}
        forget(lake, settings, forgotten)
        forgotten = "b.csv"
    manifest = lake.state().sessions
    assert manifest is not None
    with duckdb.connect() as connection:
        assert sample_sessions(lake, connection, manifest) == []
