"""Unusual volumes: what a person would call unusual is named, ordinary noise and growth are not."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import NormalDist

import pytest

from uda_assets.lake import DropManifest, open_lake
from uda_assets.pipeline.checks import drop_volume_usual
from uda_assets.pipeline.volume import COMPARED, JUDGED, LEAST_EARLIER, series_of, unusual_drops
from uda_assets_tests.support.chain import HEADER, deliver, record, run, settings_of


def manifests(records: Iterable[int], name: str = "a/{:05}.csv", start: int = 0) -> dict[str, DropManifest]:
    """Drops that were converted one after the other."""
    return {
        name.format(place): DropManifest(
            drop=name.format(place), content="", fingerprint="", converter_version="", records=number, kept=number,
            quarantined=0, reasons={}, files=[], spellings={}, meanings={},
            converted_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=place),
        )
        for place, number in enumerate(records, start)
    }  # fmt: skip


def named(found: dict[str, DropManifest]) -> list[str]:
    return [fault.drop for fault in unusual_drops(found)]


@pytest.mark.parametrize(
    ("latest", "unusual"), [(0, True), (40, True), (60, False), (100, False), (190, False), (210, True), (10_000, True)]
)
def test_drops_that_are_all_alike_leave_a_factor_of_two(latest: int, *, unusual: bool) -> None:
    assert named(manifests([100] * LEAST_EARLIER + [latest])) == (["a/00008.csv"] if unusual else [])


def test_nothing_is_said_without_enough_earlier_drops() -> None:
    assert named(manifests([100] * (LEAST_EARLIER - 1) + [1])) == []


def test_another_series_does_not_count() -> None:
    others = manifests([100] * 20, "b/{:05}.csv") | manifests([1] * 5, "a/{:05}.csv", 20)
    assert named(others) == []
    assert (
        series_of("supplier-a/2026/01/x.csv")
        == series_of("supplier-a/2027/12/y.csv")
        != series_of("supplier-b/2026/01/x.csv")
    )
    assert series_of("x.csv") == series_of("y.csv")


def test_what_is_usual_is_robust_and_follows_growth() -> None:
    assert named(manifests([100] * 15 + [9_000, 0, 9_000, 0] + [100])) == [
        f"a/{place:05}.csv" for place in range(15, 19)
    ]
    assert named(manifests(round(100 * 1.05**place) for place in range(300))) == []


def test_noise_is_told_from_faults_as_often_as_a_normal_deviate_of_the_limit() -> None:
    noise = random.Random(7)
    trials, flagged = 400, 0
    for _ in range(trials):
        usual = [round(noise.lognormvariate(8, 0.6)) for _ in range(COMPARED)]
        flagged += len(named(manifests([*usual, round(noise.lognormvariate(8, 0.6))]))) > len(named(manifests(usual)))
    expected = 2 * (1 - NormalDist().cdf(3.5))
    assert expected < 0.001
    assert flagged / trials < 0.02, "a median of fifty is itself only about right"


def test_only_the_latest_are_judged_and_ten_thousand_are_no_burden() -> None:
    sizes = [100] * 10_000
    sizes[-JUDGED - 1], sizes[-JUDGED], sizes[-1] = 1, 1, 1
    assert named(manifests(sizes)) == [f"a/{10_000 - JUDGED:05}.csv", "a/09999.csv"]


def test_the_check_names_the_drop_and_what_would_be_usual(tmp_path: Path) -> None:
    for place in range(LEAST_EARLIER):
        deliver(tmp_path, f"shop/{place}.csv", HEADER + "".join(record(f"{place}-{one}") for one in range(30)))
    run(tmp_path)
    deliver(tmp_path, "shop/short.csv", HEADER + record("last"))
    run(tmp_path)
    finding = drop_volume_usual(open_lake(settings_of(tmp_path)).state().drops)
    assert not finding.passed
    assert finding.cases == ["shop/short.csv: 1 records, where 30 are usual and 14 to 61 would be no surprise"]
