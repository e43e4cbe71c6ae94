"""The content of a report, compared with plain Python over the same records; reports on hostile and on large data."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from uda_assets.lake import open_lake
from uda_assets.report import leaderboard_chart_png, leaderboard_chart_svg, published_picture
from uda_assets.report.content import MOST_DROPS, MOST_PLATFORMS, MOST_USERS
from uda_assets.report.text import shown
from uda_assets.report.verify import LARGEST_REPORT, is_self_contained, shows_leaderboard
from uda_assets_tests.cli.test_cli import uda
from uda_assets_tests.report import hostile
from uda_assets_tests.report.pages import Parsed, report_of
from uda_assets_tests.support.chain import HEADER, deliver, record, run, settings_of

RESULT = "results/Result_top_n_by_platform.csv"
START = datetime(2026, 1, 1, tzinfo=UTC)
Record = tuple[str, str, str, datetime]


def random_records(count: int) -> Iterator[Record]:
    draw = random.Random(7)
    for _ in range(count):
        user = f"u{int(draw.paretovariate(0.7)) % 90}"
        moment = START + timedelta(minutes=draw.randrange(60 * 24 * 30))
        yield user, f"s{draw.randrange(40)}", draw.choice(["iOS", "Web", "Android"]), moment


def sessions_of(records: list[Record]) -> dict[tuple[str, str, str], datetime]:
    started: dict[tuple[str, str, str], datetime] = {}
    for user, session, platform, moment in records:
        key = platform, user, session
        started[key] = min(started.get(key, moment), moment)
    return started


@pytest.mark.parametrize("window", [(None, None), ("2026-01-10", "2026-01-20")], ids=["all time", "window"])
def test_every_number_is_that_of_plain_python(tmp_path: Path, window: tuple[str | None, str | None]) -> None:
    records = list(random_records(3000))
    drops = {"a.csv": records[:1200], "b.csv": records[1000:2500], "c.csv": records[2500:]}
    rows = [(*record[:3], record[3].isoformat()) for record in records]
    for name, part in drops.items():
        hostile.write(tmp_path / "datasets" / name, rows[records.index(part[0]) :][: len(part)], ["short", "x,y"])
    n = 12
    run(tmp_path, n=n, since=window[0], until=window[1])
    path = report_of(tmp_path)
    since, until = (datetime.fromisoformat(end).replace(tzinfo=UTC) if end else None for end in window)
    sessions = sessions_of(records)
    counted = {
        key: moment
        for key, moment in sessions.items()
        if not (since and moment < since) and not (until and moment >= until)
    }
    users: dict[str, Counter[str]] = defaultdict(Counter)
    days: dict[str, Counter[date]] = defaultdict(Counter)
    for (platform, user, _), moment in counted.items():
        users[platform][user] += 1
        days[platform][moment.date()] += 1
    page = Parsed(path)
    data = page.data
    by_size = sorted(users, key=lambda platform: (-users[platform].total(), platform))
    assert [platform["name"] for platform in data["platforms"]] == by_size
    for position, platform in enumerate(data["platforms"]):
        counts = users[platform["name"]]
        board = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
        assert [tuple(row[:2]) for row in platform["top"]] == board[:n]
        assert (platform["users"], platform["sessions"]) == (len(counts), counts.total())
        assert (platform["listed"], platform["listed_sessions"]) == (n, sum(count for _, count in board[:n]))
        bars = platform["bars"]
        for low, high, having, together in bars:
            within = [count for count in counts.values() if low <= count <= high]
            assert (having, together) == (len(within), sum(within))
        assert sum(bar[2] for bar in bars) == len(counts)
        timeline = data["timeline"]
        assert timeline["unit"] == "day"
        plotted = zip(timeline["starts"], timeline["sessions"][position], strict=True)
        found = {date.fromisoformat(day): count for day, count in plotted if count}
        assert found == days[platform["name"]]
    assert data["timeline"]["outside"] == 0
    # The facts in the page itself.
    total = sum(len(part) for part in drops.values())
    occurrences = Counter(
        (platform, user, session) for name in drops for platform, user, session in sessions_of(drops[name])
    )
    for label, value in {
        "Sessions": len(counted),
        "Users": sum(map(len, users.values())),
        "Records read": total + 6,
        "Quarantined": 6,
        "Kept": total,
        "Unique sessions": len(sessions),
        "Records after each session's first": total - len(sessions),
        "Sessions in several drops": sum(count > 1 for count in occurrences.values()),
    }.items():
        assert f"\n{label}\n{value:,}" in page.text, label
    assert shows_leaderboard(path, tmp_path / RESULT).passed
    assert is_self_contained(path).passed


def test_a_report_shows_what_moved(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + "".join(record(f"s{n}", user=f"u{u}") for u in range(4) for n in range(9 - u)))
    run(tmp_path, n=3)
    page = Parsed(report_of(tmp_path))
    assert page.data["comparisons"] == []
    assert "nothing to compare it with" in page.text
    deliver(tmp_path, "b.csv", HEADER + "".join(record(f"t{n}", user="u3") for n in range(2)))
    run(tmp_path, n=3)
    (platform,) = Parsed(report_of(tmp_path)).data["platforms"]
    assert platform["top"] == [
        ["u0", 9, [["same", 1]]],
        ["u1", 8, [["same", 2]]],
        ["u3", 8, [["new", None]]],
    ]
    assert platform["gone"] == [[["u2", 3, 7]]]
    assert platform["moved"] == [{"new": 1, "out": 1, "same": 2}]


def test_a_report_shows_suppliers_ignored_files_and_excluded_users(tmp_path: Path) -> None:
    (tmp_path / "suppliers.toml").write_text('[[supplier]]\nname = "shop <b>"\ndrops = ["shop/*"]\ndelimiter = ";"\n')
    deliver(tmp_path, "shop/a.csv", HEADER.replace(",", ";") + record("s1").replace(",", ";") + "short\n")
    deliver(tmp_path, "b.csv", HEADER + record("s2", user="test-1") + record("s3", user="test-1") + record("s4"))
    deliver(tmp_path, "notes.md", "")
    run(tmp_path, exclude_users="test-*")
    page = Parsed(report_of(tmp_path, exclude_users="test-*"))
    told = "".join(page.text.split())
    # Drops, records, kept and quarantined of each.
    assert "Quarantinednone,thefilesareasthecontractsays1330shop<b>1211" in told
    assert "Excludedusers·1UserPlatformSessionsLeftoutbytest-1iOS2test-*" in told
    assert re.search(r"Ignoredfiles·1FileWhynobodyreadsitnotes\.md\w", told)
    assert [user for user, *_ in page.data["platforms"][0]["top"]] == ["u1"]


def test_the_same_publication_gives_the_same_report(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("s1"))
    run(tmp_path)
    first = report_of(tmp_path).read_bytes()
    assert report_of(tmp_path).read_bytes() == first


def test_a_report_without_data_says_so(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER)
    run(tmp_path)
    page = Parsed(report_of(tmp_path))
    assert page.data["platforms"] == []
    assert "No record is quarantined." in page.text


# -- hostile data ----------------------------------------------------------------------------------------------------


def test_no_text_from_data_becomes_markup(tmp_path: Path) -> None:
    hostile.deliver(tmp_path)
    run(tmp_path, keep_unknown_platforms=True)
    path = report_of(tmp_path, keep_unknown_platforms=True)
    assert shows_leaderboard(path, tmp_path / RESULT).passed
    assert is_self_contained(path).passed
    deliver(tmp_path / "plain", "a.csv", HEADER + record("s1") + "short\n")
    run(tmp_path / "plain")
    plain = Parsed(report_of(tmp_path / "plain"))
    page = Parsed(path)
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in plain.elements}
    names = {name for _, attributes in page.elements for name in attributes}
    assert names == {name for _, attributes in plain.elements for name in attributes}
    for character in "<>&\u2028\u2029":
        assert character not in page.embedded
    # Invisible characters are escaped, and long texts are shortened.
    shown_users = {row[0] for platform in page.data["platforms"] for row in platform["top"]}
    assert shown_users == {shown(user) for user in hostile.USERS}
    assert {platform["name"] for platform in page.data["platforms"]} >= {shown(hostile.PLATFORMS[0])}
    assert all(text.isprintable() and len(text) < 600 for text in shown_users)
    assert "\\u202egnp.exe" in shown_users
    for invisible in ("\u202e", "\u2066", "\u200b", "\x1b"):
        assert invisible not in page.text
    assert "r" * 300 not in page.text
    for text in (hostile.RAW[0], hostile.DROPS[0], "=cmd().csv", "new\\nline\\u202e.csv"):
        assert text in page.text


def test_long_names_that_begin_alike_stay_apart() -> None:
    first, second = (shown("a" * 5000 + end) for end in "xy")
    assert first != second
    assert "(5,001 characters" in first
    assert shown("a" * 160) == "a" * 160


def test_a_picture_of_hostile_names_is_a_picture(tmp_path: Path) -> None:
    rows = [("iOS", user, 100 - place) for place, user in enumerate(hostile.USERS)]
    for start in range(0, len(rows), 10):
        board = pl.DataFrame(rows[start : start + 10], schema=["platform", "user_id", "session_count"], orient="row")
        svg = leaderboard_chart_svg(board)
        assert "<script" not in svg
        assert "<img" not in svg
        assert svg.count("<svg") == 1
    png = leaderboard_chart_png(board)
    assert png.startswith(b"\x89PNG")
    assert len(png) < 45_000, "together with the rest of an event, it must stay below 60 kB"
    many = pl.DataFrame({"platform": list("abcdefgh"), "user_id": ["u"] * 8, "session_count": [1] * 8})
    assert "2 further platforms" in leaderboard_chart_svg(many)
    assert "No sessions yet" in leaderboard_chart_svg(many.clear())


def test_the_picture_is_that_of_what_is_published(tmp_path: Path) -> None:
    pictures = []
    for number in range(2):
        deliver(tmp_path, f"{number}.csv", HEADER + record(f"s{number}", user=f"u{number}"))
        run(tmp_path)
        board = pl.read_parquet(tmp_path / "results/Result_top_n_by_platform.parquet")
        lake = open_lake(settings_of(tmp_path))
        pictures.append(published_picture(lake, board))
        assert pictures[-1] == leaderboard_chart_png(board)
        assert published_picture(lake, board) == pictures[-1]
    assert pictures[0] != pictures[1]


# -- large data ------------------------------------------------------------------------------------------------------


def test_the_size_is_bounded_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    users, platforms, drops = MOST_USERS + 10, MOST_PLATFORMS + 5, 9
    rows = [
        ("<" * 300 + f"{user:03}", f"s{user}", f"platform {platform:02}", f"2026-01-{1 + user % 28:02}")
        for platform in range(platforms)
        for user in range(users)
    ]
    rows = [(*row[:3], f"{row[3]}T00:00:00Z") for row in rows]
    rows.append(("first", "s", "platform 00", "0001-01-01T00:00:00Z"))
    rows.append(("last", "s", "platform 00", "9999-12-31T00:00:00Z"))
    for drop in range(drops):
        hostile.write(tmp_path / f"datasets/{'&' * 100}{drop}.csv", rows[drop::drops], ["&" * 5000])
    run(tmp_path, n=1000, keep_unknown_platforms=True)
    # Delivering all these drops would take most of a minute.
    with duckdb.connect(tmp_path / "uda.duckdb") as warehouse:
        warehouse.execute(
            "INSERT INTO drops SELECT repeat('<', 5000) || number, 'committed', 1, 1, 0, repeat('&', 5000), "
            f"sha256('x'), now(), NULL FROM range({MOST_DROPS + 5 - drops}) AS numbers(number)"
        )
    path = report_of(tmp_path, keep_unknown_platforms=True)
    assert path.stat().st_size < LARGEST_REPORT
    assert shows_leaderboard(path, tmp_path / RESULT).passed
    page = Parsed(path)
    data = page.data
    assert len(data["platforms"]) == MOST_PLATFORMS
    for platform in data["platforms"]:
        assert len(platform["top"]) == MOST_USERS
        assert platform["listed"] == platform["users"] >= users
    assert f"{platforms - MOST_PLATFORMS} further platforms" in page.text
    assert "5 further drops are in the ledger" in page.text
    assert f"(5 of {drops})" in page.text
    # Two sessions, centuries away from all others, do not make the chart useless.
    assert data["timeline"]["unit"] == "day"
    assert data["timeline"]["outside"] == 2
    assert "2 sessions lie so far before or after the others" in page.text
    assert sum(map(sum, data["timeline"]["sessions"])) == users * platforms


@pytest.mark.parametrize(
    ("days", "unit"),
    [
        (398, "day"),
        (401, "week"),
        (2500, "week"),
        (5000, "month"),
        (60_000, "year"),
        (900_000, "decade"),
        (3_000_000, "century"),
    ],
)
def test_the_longer_the_time_the_wider_the_buckets(tmp_path: Path, days: int, unit: str) -> None:
    first = date(1000, 3, 7)
    rows = [("u", f"s{place}", "iOS", f"{first + timedelta(days=days * place // 50)}T00:00:00Z") for place in range(51)]
    hostile.write(tmp_path / "datasets/a.csv", rows)
    run(tmp_path)
    timeline = Parsed(report_of(tmp_path)).data["timeline"]
    assert timeline["unit"] == unit
    assert sum(map(sum, timeline["sessions"])) == 51
    assert len(timeline["starts"]) <= 400
    assert timeline["outside"] == 0


# -- checks that can fail --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ('["u1",1,', '["u1",2,'),
        ('["u1",1,', '["u2",1,'),
        ('"name":"iOS"', '"name":"Web"'),
    ],
)
def test_a_report_that_says_otherwise_is_found(tmp_path: Path, was: str, becomes: str) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("s1"))
    run(tmp_path)
    path = report_of(tmp_path)
    assert shows_leaderboard(path, tmp_path / RESULT).passed
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, becomes))
    assert not shows_leaderboard(path, tmp_path / RESULT).passed


@pytest.mark.parametrize(
    "added",
    ["<script>1</script>", "<img src=//example.org/x>", "<p onclick=x>", "<p style=x>", "<a href=http://example.org>"],
)
def test_a_report_that_could_ask_for_something_is_found(tmp_path: Path, added: str) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("s1"))
    run(tmp_path)
    path = report_of(tmp_path)
    assert is_self_contained(path).passed
    text = path.read_text()
    path.write_text(text.replace("</main>", f"{added}</main>"))
    assert not is_self_contained(path).passed
    path.write_text(text.replace("default-src &#39;none&#39;", "default-src *"))
    assert not is_self_contained(path).passed


# -- command line ----------------------------------------------------------------------------------------------------


def test_report_on_the_command_line(tmp_path: Path) -> None:
    done = uda("report", root=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "nothing is built yet" in done.stderr
    deliver(tmp_path, "a.csv", HEADER + record("s1"))
    run(tmp_path)
    done = uda("report", root=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path}/results/report.html\n"
    elsewhere = tmp_path / "mail me.html"
    done = uda("report", "--output", elsewhere, root=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{elsewhere}\n")
    assert elsewhere.read_bytes() == (tmp_path / "results/report.html").read_bytes()
    done = uda("report", "--output", tmp_path, root=tmp_path)
    assert done.returncode == 1
    assert "is a directory" in done.stderr
    for segment in (tmp_path / "sessions").rglob("*.parquet"):
        segment.unlink()
    done = uda("report", root=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "materialize top_n_by_platform again" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert elsewhere.read_bytes() == (tmp_path / "results/report.html").read_bytes()


def test_open_shows_the_report_in_the_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import webbrowser

    from uda_assets.cli import run as run_cli

    deliver(tmp_path, "a.csv", HEADER + record("s1"))
    run(tmp_path)
    opened: list[Any] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert run_cli(["report", "--open", "--data-root", str(tmp_path)]) == 0
    assert opened == [(tmp_path / "results/report.html").as_uri()]
