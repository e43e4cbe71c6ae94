"""Each export on docs/suppliers.md goes from its file to the leaderboard, by the entry that stands there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from uda_assets.contract.suppliers import KEYS, entries_of
from uda_assets_tests.support.chain import published, run
from uda_assets_tests.support.places import PROJECT

PAGE = (PROJECT / "docs/suppliers.md").read_text(encoding="utf-8")


class Export(NamedTuple):
    name: str
    content: str
    entry: str
    records: int
    kept: int
    platform: str
    user: str
    sessions: int


_SECTION = re.compile(
    r"### (?P<name>.+?)\n\n```csv\n(?P<content>.*?)```\n\n```toml\n(?P<entry>.*?)```\n\n"
    r"(?P<records>\d+) records, (?P<kept>\d+) kept; (?P<platform>\w+): (?P<user>\S+) with (?P<sessions>\d+) session",
    re.DOTALL,
)
EXPORTS = [
    Export(
        match["name"], match["content"], match["entry"], int(match["records"]), int(match["kept"]), match["platform"],
        match["user"], int(match["sessions"]),
    )
    for match in _SECTION.finditer(PAGE)
]  # fmt: skip


def test_there_are_ten() -> None:
    assert len(EXPORTS) == 10 == PAGE.count("\n### ")


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.name)
def test_an_export_is_read(tmp_path: Path, export: Export) -> None:
    entry = f'[[supplier]]\nname = "it"\ndrops = ["*"]\n{export.entry}'
    (tmp_path / "suppliers.toml").write_text(entry, encoding="utf-8")
    encoding = tomllib.loads(entry)["supplier"][0].get("encoding", "utf-8")
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/export.csv").write_bytes(export.content.encode(encoding))
    (manifest,) = run(tmp_path, max_reject_ratio=0.6).converted
    assert (manifest.records, manifest.kept) == (export.records, export.kept)
    board = published(tmp_path, "SELECT platform, user_id, session_count FROM top_n_by_platform")
    assert (export.platform, export.user, export.sessions) in board


def test_the_entry_with_all_keys_is_valid_and_names_them_all() -> None:
    (block,) = [block for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "[[supplier]]" in block]
    (entry,) = tomllib.loads(block)["supplier"]
    assert entries_of([entry], "the page")
    assert {*entry, "header"} == set(KEYS)
