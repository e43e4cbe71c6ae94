"""The sensor and the schedules: what a tick asks for, what a run then does, and when nothing is asked for."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
import pytest

from uda_assets.basics.settings import load_settings
from uda_assets.defs import automation
from uda_assets.defs.automation import PENDING_TAG, drop_sensor, leaderboard_schedule
from uda_assets.defs.raw_csv import raw_csv
from uda_assets.defs.resources import LakeResource
from uda_assets.lake import open_lake
from uda_assets.pipeline import publishing, status
from uda_assets_tests.cli.test_cli import uda
from uda_assets_tests.support import chain
from uda_assets_tests.support.chain import forget
from uda_assets_tests.support.definitions import defs

HEADER = "user_id,session_id,platform,activity_time,activity_type\n"
BAD = "u,s,iOS,never,view\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root without drops, whose drops need not settle."""
    (tmp_path / "datasets").mkdir()
    monkeypatch.setenv("UDA_DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("UDA_SETTLE_SECONDS", "0")
    return tmp_path


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def line(user: str, session: str = "s", platform: str = "iOS") -> str:
    return f"{user},{session},{platform},2026-01-01T00:00:00Z,view\n"


def deliver(root: Path, drop: str, *lines: str) -> None:
    """Put a drop in place as a supplier should: whole, by renaming."""
    target = root / "datasets" / drop
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.write_text(HEADER + "".join(lines or [line(drop)]))
    part.replace(target)


def tick(root: Path, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    resources = {"lake": LakeResource(data_root=str(root))}
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        asked = drop_sensor(context)
    assert isinstance(asked, dg.RunRequest | dg.SkipReason)
    return asked


def request(root: Path, instance: dg.DagsterInstance) -> dg.RunRequest:
    asked = tick(root, instance)
    assert isinstance(asked, dg.RunRequest), asked
    return asked


def skipped(root: Path, instance: dg.DagsterInstance) -> str:
    asked = tick(root, instance)
    assert isinstance(asked, dg.SkipReason), asked
    return str(asked.skip_message)


def run(instance: dg.DagsterInstance, asked: dg.RunRequest, **conversion: object) -> dg.ExecuteInProcessResult:
    """What the daemon starts for a request, in this process; the settings are those of the run."""
    config = asked.run_config["ops"]["platform_parquet"]["config"]
    return defs.resolve_job_def("leaderboard_job").execute_in_process(
        run_config={"ops": {"platform_parquet": {"config": config | conversion}}},
        tags=asked.tags,
        instance=instance,
        raise_on_error=False,
    )


def catch_up(root: Path, instance: dg.DagsterInstance, **conversion: object) -> list[list[str]]:
    """Tick and run until nothing is pending; the drops that each run converted."""
    batches = []
    while isinstance(asked := tick(root, instance), dg.RunRequest):
        done = run(instance, asked, **conversion)
        assert done.success
        batches.append(converted(done))
        assert len(batches) < 20, "no end in sight"
    assert "no drops are pending" in str(asked.skip_message)
    return batches


def converted(done: dg.ExecuteInProcessResult) -> list[str]:
    (event,) = done.asset_materializations_for_node("platform_parquet")
    table = event.metadata["converted_drops"].value
    assert isinstance(table, str)
    names = [row.split("|")[1].strip(" `") for row in table.splitlines()[2:]]
    assert len(names) == event.metadata["converted_now"].value
    return names


def ended(instance: dg.DagsterInstance, asked: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
    """Note a run for a request, without running it."""
    number = instance.get_runs_count()
    instance.add_run(
        dg.DagsterRun(
            job_name="leaderboard_job", run_id=f"00000000-0000-0000-0000-{number:012d}", tags=asked.tags, status=status
        )
    )


def result(root: Path) -> dict[tuple[str, str], int]:
    table = pl.read_csv(root / "results/Result_top_n_by_platform.csv", schema_overrides={"user_id": pl.String})
    return {(platform, user): count for platform, user, count in table.rows()}


def statuses(root: Path) -> dict[str, str]:
    settings = load_settings()
    return {drop: entry.status.value for drop, entry in chain.statuses(open_lake(settings), settings).items()}


_opened: list[str] | None = None


def _note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open":
        _opened.append(str(arguments[0]))


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """The paths that this process opens, by Python's own account."""
    global _opened  # noqa: PLW0603
    if not getattr(sys, "_uda_hooked", False):
        sys.addaudithook(_note_opened)
        sys._uda_hooked = True  # type: ignore[attr-defined]
    noted: list[str] = []
    _opened = noted
    try:
        yield noted
    finally:
        _opened = None


# -- what is asked for ---------------------------------------------------------------------------------------------


def test_a_thousand_drops_are_one_run(root: Path, instance: dg.DagsterInstance) -> None:
    for number in range(1000):
        (root / f"datasets/d{number:04}.csv").write_text(HEADER + line(f"u{number}"))
    asked = request(root, instance)
    assert asked.tags["uda/drops"] == "1000"
    assert asked.tags["uda/drop_names"].startswith("d0000.csv, d0001.csv, ")
    assert asked.tags["uda/drop_names"].endswith(" and 980 more")


def test_one_run_does_all_that_is_pending(root: Path, instance: dg.DagsterInstance) -> None:
    for number in range(300):
        (root / f"datasets/d{number:03}.csv").write_text(HEADER + line(f"u{number % 7}", f"s{number}"))
    asked = request(root, instance)
    assert asked.tags["uda/drops"] == "300"
    done = run(instance, asked)
    assert done.success
    assert {check.check_name for check in done.get_asset_check_evaluations() if not check.passed} == set()
    (event,) = done.asset_materializations_for_node("platform_parquet")
    assert event.metadata["converted_now"].value == 300
    assert Counter(statuses(root).values()) == {"committed": 300}
    assert pl.read_csv(root / "results/Result_top_n_by_platform.csv")["session_count"].sum() == 300
    assert "no drops are pending" in skipped(root, instance)


def test_tags_name_the_drops(root: Path, instance: dg.DagsterInstance) -> None:
    deliver(root, "b.csv")
    deliver(root, "supplier/a.csv.gz")
    tags = request(root, instance).tags
    assert (tags["uda/drops"], tags["uda/drop_names"]) == ("2", "b.csv, supplier/a.csv.gz")
    assert set(tags) == {PENDING_TAG, "uda/data_root", "uda/drops", "uda/drop_names"}


def test_names_that_are_no_drops_are_not_asked_for(root: Path, instance: dg.DagsterInstance) -> None:
    for name in ("a.csv.part", "a.csv.tmp", ".a.csv", ".hidden/a.csv", "coming.part/a.csv", "a.pdf", "a.csv.rar"):
        path = root / "datasets" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEADER + line("u"))
    (root / "datasets/dangling.csv").symlink_to(root / "nowhere")
    assert skipped(root, instance) == "no drops are pending"
    deliver(root, "a.CSV")
    assert request(root, instance).tags["uda/drop_names"] == "a.CSV"


def test_without_a_data_root_nothing_is_pending_and_that_is_said(root: Path, instance: dg.DagsterInstance) -> None:
    assert skipped(root / "not there", instance).startswith("no drops are pending: there is no data root")


def test_a_drop_is_left_alone_until_it_has_settled(
    root: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDA_SETTLE_SECONDS", "600")
    deliver(root, "a.csv")
    # The time of the content may lie far back, as of a file that was copied with its times.
    os.utime(root / "datasets/a.csv", (0, 0))
    deliver(root, "b.csv")
    assert skipped(root, instance) == "no drops are pending; 2 are still changing"
    monkeypatch.setattr(status, "time", SimpleNamespace(time=lambda: time.time() + 601))
    asked = request(root, instance)
    assert asked.tags["uda/drops"] == "2"
    assert asked.run_config["ops"]["platform_parquet"]["config"] == {"settle_seconds": 600}


def test_a_run_leaves_alone_what_has_not_settled(root: Path, instance: dg.DagsterInstance) -> None:
    deliver(root, "a.csv")
    asked = request(root, instance)
    done = run(instance, asked, settle_seconds=600.0)
    assert done.success
    assert converted(done) == []
    assert catch_up(root, instance) == [["a.csv"]]


def test_a_tick_opens_no_drop_and_no_file_of_a_drop(root: Path, instance: dg.DagsterInstance) -> None:
    deliver(root, "a.csv")
    deliver(root, "b.csv")
    catch_up(root, instance)
    deliver(root, "c.csv")
    deliver(root, "b.csv", line("other"))
    request(root, instance)  # Whatever a first tick imports.
    with opened_files() as opened:
        assert request(root, instance).tags["uda/drops"] == "2"
    below = {str(Path(path).relative_to(root)) for path in opened if path.startswith(str(root))}
    assert below <= {".uda/root.json", ".uda/format.json", "platforms.toml", "suppliers.toml"}


def test_the_run_key_is_that_of_the_pending_set(root: Path, instance: dg.DagsterInstance) -> None:
    deliver(root, "a.csv")
    first = request(root, instance)
    assert request(root, instance).run_key == first.run_key, "the same set, the same run"
    deliver(root, "b.csv")
    second = request(root, instance)
    deliver(root, "b.csv", line("other"))
    third = request(root, instance)
    (root / "platforms.toml").write_text('[platforms]\nTV = ["tv"]\n')
    fourth = request(root, instance)
    (root / "datasets/b.csv").unlink()
    fifth = request(root, instance)
    assert len({asked.run_key for asked in (first, second, third, fourth, fifth)}) == 5


def test_a_replaced_drop_is_noticed(root: Path, instance: dg.DagsterInstance) -> None:
    deliver(root, "a.csv", line("u"))
    deliver(root, "b.csv", line("v"))
    catch_up(root, instance)
    assert skipped(root, instance) == "no drops are pending"
    # As long as before, and said to be as old as before: only the inode tells.
    old = (root / "datasets/a.csv").stat()
    deliver(root, "a.csv", line("w"))
    os.utime(root / "datasets/a.csv", ns=(old.st_atime_ns, old.st_mtime_ns))
    assert request(root, instance).tags["uda/drop_names"] == "a.csv"
    assert catch_up(root, instance) == [["a.csv"]]
    assert result(root) == {("iOS", "v"): 1, ("iOS", "w"): 1}


def test_the_same_content_again_is_looked_at_once_and_not_converted(root: Path, instance: dg.DagsterInstance) -> None:
    deliver(root, "a.csv")
    catch_up(root, instance)
    deliver(root, "a.csv")
    assert catch_up(root, instance) == [[]]


def test_a_rejected_drop_is_not_pending_until_it_changes(root: Path, instance: dg.DagsterInstance) -> None:
    deliver(root, "a.csv")
    deliver(root, "b.csv", BAD)
    assert catch_up(root, instance) == [["a.csv"]]
    assert statuses(root) == {"a.csv": "committed", "b.csv": "rejected"}
    deliver(root, "b.csv", line("b"))
    assert catch_up(root, instance) == [["b.csv"]]


def test_changed_aliases_convert_only_the_drops_they_affect(root: Path, instance: dg.DagsterInstance) -> None:
    deliver(root, "plain.csv", line("u"))
    deliver(root, "tv.csv", line("u"), line("v", platform="Smart TV"))
    catch_up(root, instance)
    untouched = (root / "dataset_parquets/plain.csv.parquet/_manifest.json").read_bytes()
    (root / "platforms.toml").write_text('[platforms]\nTV = ["smart tv"]\n')
    asked = request(root, instance)
    assert asked.tags["uda/because"] == "rules changed"
    assert catch_up(root, instance) == [["tv.csv"]]
    assert result(root) == {("TV", "v"): 1, ("iOS", "u"): 1}
    assert (root / "dataset_parquets/plain.csv.parquet/_manifest.json").read_bytes() == untouched
    # Taken back and given again: each is a change.
    (root / "platforms.toml").unlink()
    assert catch_up(root, instance) == [["tv.csv"]]
    (root / "platforms.toml").write_text('[platforms]\nTV = ["smart tv"]\n')
    assert catch_up(root, instance) == [["tv.csv"]]


def test_a_platform_table_that_cannot_be_read_fails_the_tick_in_one_line(
    root: Path, instance: dg.DagsterInstance
) -> None:
    (root / "platforms.toml").write_text("[platforms\n")
    with pytest.raises(dg.Failure, match=r"platforms\.toml"):
        tick(root, instance)


# -- when nothing is asked for -------------------------------------------------------------------------------------


def test_while_a_run_is_under_way_the_rest_waits(root: Path, instance: dg.DagsterInstance) -> None:
    deliver(root, "a.csv")
    asked = request(root, instance)
    deliver(root, "b.csv")
    # Queued runs cannot be made up here: they need a code location.
    for under in set(automation._UNDER_WAY) - {dg.DagsterRunStatus.QUEUED}:
        ended(instance, asked, under)
        (under_way,) = instance.get_runs()
        assert f"run {under_way.run_id} is under way" in skipped(root, instance)
        instance.delete_run(under_way.run_id)
    assert request(root, instance).tags["uda/drops"] == "2"


@pytest.mark.parametrize(("asset", "waits"), [("platform_parquet", True), ("somebody_elses", False)])
def test_assets_chosen_by_hand_are_waited_for_too(
    root: Path, instance: dg.DagsterInstance, asset: str, waits: bool
) -> None:
    deliver(root, "a.csv")
    chosen = frozenset({dg.AssetKey(asset)})
    started = dg.DagsterRunStatus.STARTED
    instance.add_run(dg.DagsterRun(job_name="__ASSET_JOB", asset_selection=chosen, status=started))
    assert isinstance(tick(root, instance), dg.SkipReason) is waits


def test_a_run_of_another_job_holds_nothing_up(root: Path, instance: dg.DagsterInstance) -> None:
    deliver(root, "a.csv")
    instance.add_run(dg.DagsterRun(job_name="daily_leaderboard_job", status=dg.DagsterRunStatus.STARTED))
    request(root, instance)


def test_a_failing_lenient_run_is_tried_three_times(root: Path, instance: dg.DagsterInstance) -> None:
    deliver(root, "a.csv")
    keys = set()
    for attempt in range(3):
        asked = request(root, instance)
        assert asked.tags.get("uda/attempt") == (str(attempt + 1) if attempt else None)
        keys.add(asked.run_key)
        ended(instance, asked, dg.DagsterRunStatus.FAILURE)
    assert len(keys) == 3, "a run key that was seen starts nothing"
    assert "3 runs for 1 drops failed" in skipped(root, instance)
    deliver(root, "b.csv")
    assert request(root, instance).tags["uda/drop_names"] == "a.csv, b.csv"
    assert "uda/attempt" not in request(root, instance).tags


def test_a_failed_fail_fast_run_waits_for_a_change(
    root: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDA_ERROR_MODE", "fail_fast")
    deliver(root, "a.csv", line("u"))
    deliver(root, "b.csv", line("v"), BAD)
    assert not run(instance, request(root, instance), error_mode="fail_fast").success
    for _ in range(3):
        assert "mend it and deliver it again" in skipped(root, instance)
    assert statuses(root) == {"a.csv": "pending", "b.csv": "pending"}
    deliver(root, "b.csv", line("v"))
    assert catch_up(root, instance, error_mode="fail_fast") == [["a.csv", "b.csv"]]
    assert result(root) == {("iOS", "u"): 1, ("iOS", "v"): 1}


def test_a_fail_fast_run_that_died_is_tried_again(
    root: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No drop was at fault, so waiting for one to change would be waiting for ever."""
    monkeypatch.setenv("UDA_ERROR_MODE", "fail_fast")
    deliver(root, "a.csv")
    ended(instance, request(root, instance), dg.DagsterRunStatus.FAILURE)
    assert request(root, instance).tags["uda/attempt"] == "2"


def test_a_run_that_ends_during_a_tick_is_not_asked_for_again(
    root: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(root, "a.csv")
    asked = request(root, instance)
    looked = status.waiting

    def look_and_let_the_run_end(*arguments: Any) -> Any:
        found = looked(*arguments)
        instance.delete_run(started.run_id)
        assert run(instance, asked).success
        return found

    ended(instance, asked, dg.DagsterRunStatus.STARTED)
    (started,) = instance.get_runs()
    monkeypatch.setattr(automation, "waiting", look_and_let_the_run_end)
    assert "under way" in skipped(root, instance)
    monkeypatch.setattr(automation, "waiting", looked)
    assert skipped(root, instance) == "no drops are pending"


# -- runs that did not get to the end ------------------------------------------------------------------------------


def test_what_was_converted_and_not_published_is_published_by_another_run(
    root: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uda_assets.defs import deduped_sessions

    def fail(*arguments: object) -> None:
        raise OSError("no space left on device")

    deliver(root, "a.csv", line("u"))
    catch_up(root, instance)
    deliver(root, "b.csv", line("v"))
    with monkeypatch.context() as broken:
        broken.setattr(deduped_sessions, "merge_sessions", fail)
        assert not run(instance, request(root, instance)).success
        assert statuses(root) == {"a.csv": "committed", "b.csv": "committed"}
        for _ in range(3):
            asked = request(root, instance)
            assert asked.tags["uda/because"] == "an earlier run did not publish"
            assert not run(instance, asked).success
        assert "runs for unpublished drops failed" in skipped(root, instance)
        deliver(root, "c.csv", line("w"))
    assert catch_up(root, instance) == [["c.csv"]]
    assert result(root) == {("iOS", user): 1 for user in "uvw"}


# -- bounded runs, selection, archive ------------------------------------------------------------------------------


def test_bounded_runs_make_progress_to_the_same_result(root: Path, tmp_path_factory: pytest.TempPathFactory,
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def supply(to: Path) -> None:
        for number in range(5):
            drop = f"d{(number * 2) % 5}.csv"
            deliver(to, drop, line("u", f"s{number}"), line(f"v{number % 3}", "s"), line("x", platform="?"))
            moment = 1_700_000_000 + number
            os.utime(to / "datasets" / drop, (moment, moment))

    supply(root)
    batches = catch_up(root, instance, max_drops_per_run=2)
    assert batches == [["d0.csv", "d2.csv"], ["d4.csv", "d1.csv"], ["d3.csv"]], "the oldest first"
    whole = tmp_path_factory.mktemp("whole")
    supply(whole)
    monkeypatch.setenv("UDA_DATA_ROOT", str(whole))
    with dg.DagsterInstance.ephemeral() as other:
        assert len(catch_up(whole, other)) == 1
    name = "results/Result_top_n_by_platform.csv"
    assert (root / name).read_bytes() == (whole / name).read_bytes()


def test_include_and_exclude_choose_the_drops(
    root: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for drop in ("x/a.csv", "x/b.csv", "x/b-test.csv", "y/a.csv", "z/a.csv"):
        deliver(root, drop)
    monkeypatch.setenv("UDA_INCLUDE", "x/*, y/*")
    monkeypatch.setenv("UDA_EXCLUDE", "*test*")
    assert request(root, instance).tags["uda/drop_names"] == "x/a.csv, x/b.csv, y/a.csv"
    assert catch_up(root, instance) == [["x/a.csv", "x/b.csv", "y/a.csv"]]
    monkeypatch.delenv("UDA_INCLUDE")
    assert catch_up(root, instance) == [["z/a.csv"]]
    # What is not seen any more keeps its contribution.
    monkeypatch.setenv("UDA_EXCLUDE", "x/*,*test*")
    assert skipped(root, instance) == "no drops are pending"
    assert len(result(root)) == 4


def test_drops_older_than_a_date_are_ignored(
    root: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for drop, day in (("old.csv", 9), ("new.csv", 10)):
        deliver(root, drop)
        moment = datetime(2026, 2, day, tzinfo=UTC).timestamp()
        os.utime(root / "datasets" / drop, (moment, moment))
    monkeypatch.setenv("UDA_MODIFIED_AFTER", "2026-02-10")
    assert catch_up(root, instance) == [["new.csv"]]
    monkeypatch.setenv("UDA_MODIFIED_AFTER", "2026-02-09T00:00:00Z")
    assert catch_up(root, instance) == [["old.csv"]]


def test_archived_drops_count_and_are_never_read_again(
    root: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDA_CLEAN_SOURCE", "archive")
    deliver(root, "x/a.csv", line("u"), line("v"))
    deliver(root, "b.csv", line("u", "other"))
    deliver(root, "bad.csv", BAD)
    delivered = (root / "datasets/x/a.csv").read_bytes()
    assert catch_up(root, instance) == [["x/a.csv", "b.csv"]]
    assert (root / "archive/x/a.csv").read_bytes() == delivered
    assert sorted(path.name for path in (root / "datasets").rglob("*.csv")) == ["bad.csv"], "what is rejected stays"
    assert result(root) == {("iOS", "u"): 2, ("iOS", "v"): 1}
    assert statuses(root) == {"b.csv": "committed", "bad.csv": "rejected", "x/a.csv": "committed"}

    # Another run, with changed rules even, opens nothing in the archive and changes nothing.
    (root / "platforms.toml").write_text('[platforms]\nTV = ["tv"]\n')
    with opened_files() as opened:
        assert catch_up(root, instance) == [[]]
    assert not [path for path in opened if "/archive/" in path]
    assert result(root) == {("iOS", "u"): 2, ("iOS", "v"): 1}

    # A new file of the same name takes the contribution's place; the older archived version stays too.
    deliver(root, "x/a.csv", line("w"))
    assert catch_up(root, instance) == [["x/a.csv"]]
    assert result(root) == {("iOS", "u"): 1, ("iOS", "w"): 1}
    kept = {path.read_bytes() for path in (root / "archive/x").iterdir()}
    assert delivered in kept
    assert len(kept) == 2
    assert statuses(root)["x/a.csv"] == "committed"


def test_nothing_is_archived_before_it_is_published(
    root: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setenv("UDA_CLEAN_SOURCE", "archive")
    deliver(root, "a.csv", line("u"))
    with monkeypatch.context() as broken:
        broken.setattr(publishing, "_publish_files", fail)
        assert not run(instance, request(root, instance)).success
    assert (root / "datasets/a.csv").exists()
    assert not (root / "archive").exists()
    assert catch_up(root, instance) == [[]]
    assert result(root) == {("iOS", "u"): 1}
    assert not (root / "datasets/a.csv").exists()


def test_vanished_keeps_and_forgotten_takes_out(root: Path, instance: dg.DagsterInstance) -> None:
    for drop in ("a.csv", "b.csv"):
        deliver(root, drop, line(drop[0]))
    catch_up(root, instance)
    (root / "datasets/a.csv").unlink()
    assert skipped(root, instance) == "no drops are pending"
    assert statuses(root) == {"a.csv": "vanished", "b.csv": "committed"}
    deliver(root, "c.csv", line("c"))
    catch_up(root, instance)
    assert set(result(root)) == {("iOS", "a"), ("iOS", "b"), ("iOS", "c")}

    settings = load_settings()
    for drop in ("a.csv", "b.csv"):
        forget(open_lake(settings), settings, drop)
    assert statuses(root) == {"a.csv": "forgotten", "b.csv": "forgotten", "c.csv": "committed"}
    assert set(result(root)) == {("iOS", "c")}
    assert skipped(root, instance) == "no drops are pending"
    deliver(root, "b.csv", line("new"))
    assert catch_up(root, instance) == [["b.csv"]]
    assert set(result(root)) == {("iOS", "c"), ("iOS", "new")}


# -- schedules -----------------------------------------------------------------------------------------------------


@pytest.fixture
def lasting() -> Iterator[dg.DagsterInstance]:
    """An instance that a schedule's context can refer to."""
    with dg.instance_for_test() as instance:
        yield instance


def scheduled(root: Path, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    resources = {"lake": LakeResource(data_root=str(root))}
    with dg.build_schedule_context(instance=instance, resources=resources) as context:
        asked = leaderboard_schedule(context)
    assert isinstance(asked, dg.RunRequest | dg.SkipReason)
    return asked


def test_the_hourly_schedule_catches_what_the_sensor_missed(root: Path, lasting: dg.DagsterInstance) -> None:
    instance = lasting
    assert isinstance(scheduled(root, instance), dg.SkipReason)
    deliver(root, "a.csv")
    asked = scheduled(root, instance)
    assert isinstance(asked, dg.RunRequest)
    assert asked.run_key is None, "its run is known by its tick"
    assert asked.tags == request(root, instance).tags
    ended(instance, asked, dg.DagsterRunStatus.STARTED)
    assert "under way" in str(scheduled(root, instance))
    assert "under way" in skipped(root, instance)
    instance.delete_run(instance.get_runs()[0].run_id)
    assert run(instance, asked).success
    assert isinstance(scheduled(root, instance), dg.SkipReason)


def test_the_schedule_leaves_alone_what_is_still_being_written(
    root: Path, lasting: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDA_SETTLE_SECONDS", "600")
    deliver(root, "a.csv")
    assert "still changing" in str(scheduled(root, lasting))


def test_the_daily_schedule_asks_for_yesterday() -> None:
    schedule = defs.resolve_schedule_def("daily_leaderboard_schedule")
    moment = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
    with dg.build_schedule_context(scheduled_execution_time=moment) as context:
        (asked,) = schedule.evaluate_tick(context).run_requests or []
    assert schedule.job_name == "daily_leaderboard_job"
    assert asked.partition_key == "2026-02-28"


@pytest.mark.parametrize("kind", ["missing", "file", "no datasets", "datasets is a file"])
def test_a_data_root_that_cannot_be_read_is_named_in_the_tick(
    tmp_path: Path, kind: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    if kind == "file":
        root.write_text("")
    elif kind != "missing":
        root.mkdir()
    if kind == "datasets is a file":
        (root / "datasets").write_text("")
    monkeypatch.setenv("UDA_DATA_ROOT", str(root))
    message = skipped(root, instance)
    where = root if kind in {"missing", "file"} else root / "datasets"
    assert str(where) in message
    assert "UDA_DATA_ROOT" in message
    done = uda("drops", root=root)
    assert str(where) in done.stderr


def test_a_run_on_a_mistyped_root_makes_no_directory(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    resources = {"lake": LakeResource(data_root=str(tmp_path / "mistyped/data"))}
    done = dg.materialize([raw_csv], resources=resources, instance=instance, raise_on_error=False)
    assert not done.success
    (failure,) = [event for event in done.all_events if event.is_step_failure]
    assert "there is no directory" in str(failure.step_failure_data.user_failure_data)
    assert not [*tmp_path.iterdir()]


def test_a_root_without_drops_fails_the_check_with_the_reason(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    resources = {"lake": LakeResource(data_root=str(tmp_path / "new"))}
    done = dg.materialize([raw_csv], resources=resources, instance=instance)
    (check,) = [one for one in done.get_asset_check_evaluations() if one.check_name == "drops_present"]
    assert not check.passed
    assert str(tmp_path / "new/datasets") in (check.description or "")
