"""What a run config says holds for its run, against what environment and platforms.toml say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from uda_assets_tests.support.chain import HEADER, deliver, published, record, run
from uda_assets_tests.support.definitions import defs


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UDA_DATA_ROOT", str(tmp_path))
    return tmp_path


def materialize(**config: dict[str, Any]) -> dict[str, bool]:
    """Which checks passed."""
    ops = {name: {"config": values} for name, values in config.items()}
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("leaderboard_job")
        done = job.execute_in_process(run_config={"ops": ops}, instance=instance)
        return {check.check_name: check.passed for check in done.get_asset_check_evaluations()}


def test_a_drop_that_stricter_config_rejects_is_told_as_rejected(root: Path) -> None:
    deliver(root, "good.csv", HEADER + record("a"))
    deliver(root, "poor.csv", HEADER + record("b") * 7 + "short\n" * 3)
    checks = materialize(platform_parquet={"max_reject_ratio": 0.1})
    assert not checks["no_rejected_drops"]
    ((status, reason),) = published(root, "SELECT status, reason FROM drops WHERE drop = 'poor.csv'")
    assert status == "rejected"
    assert reason.startswith("too_many_malformed")
    # What the run config said held for its run.
    assert materialize()["no_rejected_drops"]
    assert published(root, "SELECT DISTINCT status FROM drops") == [("committed",)]


def test_a_drop_that_is_sound_again_under_other_rules_is_not_told_as_rejected(root: Path) -> None:
    content = HEADER + record("a", "iPad") + record("b")
    deliver(root, "a.csv", content)
    (root / "platforms.toml").write_text('[platforms]\niOS = ["ipad"]\n')
    run(root, max_reject_ratio=0.1)
    aliases = (root / "platforms.toml").read_text()
    (root / "platforms.toml").unlink()
    run(root, max_reject_ratio=0.1)
    assert published(root, "SELECT status FROM drops") == [("rejected",)]
    (root / "platforms.toml").write_text(aliases)
    run(root, max_reject_ratio=0.1)
    assert published(root, "SELECT status, kept FROM drops") == [("committed", 2)]


def test_suppliers_of_a_single_run(root: Path) -> None:
    deliver(root, "acme.csv", (HEADER + record("a")).replace(",", ";"))
    deliver(root, "b.csv", HEADER + record("b", user="null"))
    checks = materialize(
        platform_parquet={"suppliers": [{"name": "acme", "drops": ["acme*"], "delimiter": ";"}]},
        top_n_by_platform={"exclude_users": "nu*"},
    )
    assert checks["no_rejected_drops"]
    assert published(root, "FROM top_n_by_platform") == [("iOS", "u1", 1)]
    assert published(root, "SELECT user_id, pattern FROM excluded_users") == [("null", "nu*")]
    assert not materialize(top_n_by_platform={"exclude_users": ""})["listed_users_plausible"]


def test_no_window_is_a_choice_that_the_environment_does_not_replace(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(root, "a.csv", HEADER + record("a"))
    monkeypatch.setenv("UDA_SINCE", "2030-01-01")
    materialize(top_n_by_platform={"since": "2029-01-01"})
    assert published(root, "FROM top_n_by_platform") == []
    materialize(top_n_by_platform={"since": None})
    assert published(root, "FROM top_n_by_platform") == [("iOS", "u1", 1)]


@pytest.mark.parametrize("config", [{"keep_unknown_platforms": False}, {}])
def test_whether_unknown_platforms_are_kept(root: Path, config: dict[str, bool]) -> None:
    deliver(root, "a.csv", HEADER + record("a", "vr") + record("b"))
    (root / "platforms.toml").write_text("keep_unknown = true\n")
    materialize(platform_parquet=config)
    kept = published(root, "SELECT platform FROM top_n_by_platform ORDER BY ALL")
    assert kept == [("iOS",)] if config else [("iOS",), ("vr",)]
