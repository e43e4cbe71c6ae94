"""The benchmarks' plumbing on small files: all programs give the same answer, and a wrong one is found out.

Seconds are taken but not looked at. Rivals that are not installed by default are left to the benchmarks themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import bare, chain, contest, dialects, lookup
from benchmarks.__main__ import sizes
from benchmarks.contest import Contender, Contest, Run, compare, in_turn
from benchmarks.datasets import Dataset, dataset, wrong_rows
from benchmarks.processes import Failed, measure, module
from benchmarks.report import Report, markdown, read_report, this_machine, write_report

RECORDS = 3000
QUERY = "a window and a platform"
BOARD = [("Web", "a", 2), ("iOS", "b", 1)]


@pytest.fixture(scope="module", params=[False, True], ids=["clean", "malformed"])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dataset(tmp_path_factory.mktemp("work"), RECORDS, shuffled=True, malformed=request.param)


def answers(race: Contest) -> dict[str, int | None]:
    return {row.name: row.runs[0].wrong for row in race.rows}


@pytest.mark.parametrize("visits", [False, True])
def test_bare_leaderboards_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visits: bool) -> None:
    monkeypatch.setattr(bare, "RIVALS", {"DuckDB": "duckdb", "Polars": "polars"})
    monkeypatch.setattr(contest, "WARM_UP", 0)
    clean, malformed = (
        dataset(tmp_path / "work", RECORDS, shuffled=True, malformed=faults, visits=visits) for faults in (False, True)
    )
    race = bare.leaderboards(clean, malformed, tmp_path, repeats=1)
    assert race.faults == []
    assert [row.failure for row in race.rows] == [None] * 6
    assert {name: wrong for name, wrong in answers(race).items() if not name.startswith("floor")} == {
        bare.OURS: 0, bare.OURS_MALFORMED: 0, "DuckDB": 0, "Polars": 0,
    }  # fmt: skip
    assert all(len(row.ratios) == 1 for row in race.rows if not row.ours)
    assert len(race.verdicts) == 3


def test_dialects_give_the_same_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "WARM_UP", 0)
    race = dialects.dialects(dataset(tmp_path / "work", RECORDS, visits=True), tmp_path, repeats=1)
    assert race.faults == []
    assert answers(race) == {dialects.DEFAULT: 0, dialects.SEMICOLONS: 0, dialects.UTF_16: 0}


def test_chains_and_what_is_asked_of_them_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "QUERIES", {QUERY: lookup.QUERIES[QUERY]})
    monkeypatch.setattr(contest, "WARM_UP", 0)
    data = dataset(tmp_path / "work", RECORDS)
    assert chain.ours(data, tmp_path, "--checks")().wrong == 0
    assert chain.rival(data, tmp_path)().wrong == 0
    race = lookup.lookups(data, tmp_path, repeats=1)
    assert race.faults == []
    assert {wrong for name, wrong in answers(race).items() if name != lookup.START_UP} == {0}


def test_data_are_generated_once(data: Dataset) -> None:
    made = data.file.stat().st_mtime_ns
    again = dataset(data.directory.parents[1], RECORDS, shuffled=True, malformed=data.malformed)
    assert again.file.stat().st_mtime_ns == made


@pytest.mark.parametrize(
    ("found", "wrong"),
    [(BOARD, 0), (BOARD[::-1], 1), (BOARD[:1], 1), ([("Web", "a", 3), ("iOS", "c", 1)], 2), ([*BOARD, BOARD[0]], 1)],
)
def test_wrong_rows_are_counted(found: list[tuple[str, str, int]], wrong: int) -> None:
    assert wrong_rows(found, BOARD) == wrong


def taking(*seconds: float, wrong: int = 0) -> Callable[[], Run]:
    """A program whose runs take the given seconds, the first of which does not count."""
    times = iter(seconds)
    return lambda: Run(next(times), wrong=wrong)


def broken() -> Run:
    raise Failed("out of memory")


def test_ratios_are_of_one_round_and_failures_do_not_stop_the_rest(tmp_path: Path) -> None:
    contenders = [
        Contender("us", taking(99, 2, 3), ours=True),
        Contender("slow", taking(1, 8, 6), exact=False),
        Contender("fast", taking(99, 1, 2)),
        Contender("broken", broken),
    ]
    race = in_turn("P1", "a race", contenders, repeats=2)
    fastest = compare(race, "us")
    assert fastest is not None
    assert fastest.name == "fast"
    assert {row.name: row.ratios for row in race.rows} == {
        "us": [], "slow": [0.25, 0.5], "fast": [2, 1.5], "broken": [],
    }  # fmt: skip
    text = markdown(Report(this_machine([]), [race]))
    assert "| fast | 1.50 (1.00–2.00) | 1.75x (1.50–2.00) |" in text
    assert "| broken | fails: out of memory |" in text
    report = Report(this_machine([]), [race])
    write_report(report, tmp_path / "report.json")
    assert markdown(read_report(tmp_path / "report.json")) == markdown(report)


def test_wrong_answers_are_faults_of_those_who_must_be_exact() -> None:
    contenders = [
        Contender("us", taking(1, 1, wrong=2), ours=True),
        Contender("them", taking(1, 1, wrong=3), exact=False),
    ]
    race = in_turn("P1", "a race", contenders, repeats=1)
    assert race.faults == ["a race: us: 2 rows of the answer are wrong"]
    assert "**Wrong answer:** a race: us" in markdown(Report(this_machine([]), [race]))


def test_our_own_failure_ends_the_benchmark() -> None:
    with pytest.raises(Failed, match="out of memory"):
        in_turn("P1", "a race", [Contender("us", broken, ours=True)], repeats=1)


def test_a_process_is_measured_apart_from_who_starts_it() -> None:
    held = bytearray(200 * 2**20)
    usage = measure(module("timeit", "-n", "1", "-r", "1", "x = bytearray(b'x') * 40_000_000"))
    assert 38 < usage.peak < 150, "its own memory, and not that of this process"
    assert usage.cpu > 0
    assert "1 loop" in usage.out
    assert held


def test_a_failed_process_says_why() -> None:
    with pytest.raises(Failed, match="does not exist"):
        measure(module("uda_assets", "inspector", "--filepath", "nowhere.csv"))


def test_settings_of_the_shell_do_not_reach_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UDA_N", "no number")
    assert measure(module("uda_assets", "--help")).out


def test_durations_in_the_log_of_dagster() -> None:
    log = "".join(
        f'raw_csv - STEP_SUCCESS - Finished execution of step "{step}" in {text}.\n'
        for step, text in {"raw_csv": "601ms", "platform_parquet": "17.9s", "top_n_by_platform": "1m2s"}.items()
    )
    assert chain.step_seconds(log) == pytest.approx(0.601 + 17.9 + 62)


def test_sizes() -> None:
    assert sizes("10M,250k,7") == [7, 250_000, 10_000_000]
