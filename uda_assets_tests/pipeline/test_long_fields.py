"""A record is legal however long its fields are, and must not make a run fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from uda_assets_tests.cli.test_cli import uda
from uda_assets_tests.support.chain import HEADER, deliver, ledger, record, run
from uda_assets_tests.support.definitions import defs

LONG = 1 << 20


@pytest.mark.parametrize("field", ["user", "session", "platform", "type"])
def test_a_run_takes_a_field_of_a_mebibyte(tmp_path: Path, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "x" * LONG
    values = {"user": "u", "session": "s", "platform": "iOS", "type": "view"} | {field: long}
    line = f"{values['user']},{values['session']},{values['platform']},2026-01-01T00:00:00Z,{values['type']}\n"
    deliver(tmp_path, "a.csv", HEADER + record("s1") + line)
    monkeypatch.setenv("UDA_DATA_ROOT", str(tmp_path))
    for _ in range(2):
        assert defs.resolve_job_def("leaderboard_job").execute_in_process().success
    assert ledger(tmp_path)["a.csv"].status == "committed"


def test_a_table_is_not_padded_to_the_longest_id(tmp_path: Path) -> None:
    deliver(
        tmp_path,
        "a.csv",
        HEADER + record("s", user="x" * LONG) + "".join(record(f"s{n}", user=f"u{n}") for n in range(23)),
    )
    run(tmp_path)
    table = uda("leaderboard", root=tmp_path).stdout
    assert "x" * LONG in table, "nothing is cut where there is no terminal"
    assert len(table) < 2 * LONG
