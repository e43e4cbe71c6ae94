"""Archived raw files are sources too: what is lost, or out of date, is made from them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from uda_assets.basics.errors import UdaError
from uda_assets.lake import open_lake
from uda_assets.lake.raw_files import RawFiles
from uda_assets.pipeline import conversion
from uda_assets.pipeline.status import Waiting, waiting
from uda_assets.pipeline.verification import verify
from uda_assets_tests.support import chain
from uda_assets_tests.support.chain import HEADER, deliver, forget, ledger, published, record, settings_of

DIRECTORY = "dataset_parquets/a.csv.parquet"
RESULT = "results/Result_top_n_by_platform.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    deliver(tmp_path, "a.csv", HEADER + record("s1") + record("s2") + record("s3", "smarttv"))
    deliver(tmp_path, "sub/b.csv", HEADER + record("s1", user="u2"))
    run(tmp_path)
    assert not [path for path in (tmp_path / "datasets").rglob("*") if path.is_file()]
    return tmp_path


def run(root: Path) -> list[str]:
    return [manifest.drop for manifest in chain.run(root, clean_source="archive").converted]


def damage(root: Path) -> dict[str, str]:
    settings = settings_of(root)
    return {one.what: one.mended_by for one in verify(open_lake(settings), settings).damage}


def looked(root: Path) -> Waiting:
    return waiting(settings_of(root, settle_seconds=0))


def spoil(path: Path) -> None:
    path.write_bytes(b"{" + path.read_bytes())


@pytest.mark.parametrize("lose", [shutil.rmtree, lambda path: (path / "_manifest.json").unlink(),
                                  lambda path: spoil(path / "_manifest.json")])  # fmt: skip
def test_a_lost_drop_is_converted_again_from_the_archive(root: Path, lose: Callable[[Path], object]) -> None:
    before = (root / RESULT).read_bytes()
    lose(root / DIRECTORY)
    assert damage(root)["a.csv/_manifest.json"] == "the next run, from archive/a.csv"
    assert set(damage(root).values()) == {"the next run, from archive/a.csv"}
    assert ledger(root)["a.csv"].status == "pending"
    assert run(root) == ["a.csv"]
    assert (root / RESULT).read_bytes() == before
    assert (root / "archive/a.csv").exists()
    assert damage(root) == {}
    assert run(root) == []


def test_a_changed_alias_table_reaches_archived_drops(root: Path) -> None:
    assert looked(root).pending == []
    (root / "platforms.toml").write_text('[platforms]\n"Smart TV" = ["smarttv"]\n')
    assert looked(root).pending == ["a.csv"], "the other one has no such record"
    assert run(root) == ["a.csv"]
    assert published(root, "SELECT user_id FROM top_n_by_platform WHERE platform = 'Smart TV'") == [("u1",)]
    assert looked(root).pending == []
    assert (root / "archive/a.csv").exists()


def test_what_was_forgotten_stays_so_though_it_is_archived(root: Path) -> None:
    forget(open_lake(settings_of(root)), settings_of(root), "a.csv")
    (root / "platforms.toml").write_text('[platforms]\n"Smart TV" = ["smarttv"]\n')
    assert run(root) == []
    assert ledger(root)["a.csv"].status == "forgotten"
    assert damage(root) == {}
    assert published(root, "SELECT user_id FROM top_n_by_platform") == [("u2",)]


def run_without_checks(root: Path) -> list[str]:
    settings = settings_of(root)
    return [manifest.drop for manifest in chain.build(open_lake(settings), settings).converted]


def test_without_any_raw_file_the_next_run_goes_on_and_it_was_said(root: Path) -> None:
    (root / "archive/a.csv").unlink()
    shutil.rmtree(root / DIRECTORY)
    assert set(damage(root).values()) == {"deliver a.csv again, or `uda forget` it"}
    assert run_without_checks(root) == []
    assert published(root, "SELECT user_id FROM top_n_by_platform ORDER BY ALL") == [("u1",), ("u2",)], "it is merged"
    forget(open_lake(settings_of(root)), settings_of(root), "a.csv")
    assert damage(root) == {}
    assert published(root, "SELECT user_id FROM top_n_by_platform") == [("u2",)]


def test_a_rejected_correction_in_its_place_is_to_be_mended_first(root: Path) -> None:
    before = (root / RESULT).read_bytes()
    deliver(root, "a.csv", "user_id,x\n")
    run(root)
    (root / DIRECTORY / "platform=iOS/part.0.parquet").unlink()
    shutil.rmtree(root / "sessions")
    assert set(damage(root).values()) >= {"mend or remove datasets/a.csv, then the next run, from archive/a.csv"}
    with pytest.raises(UdaError, match=r"converted files of drop 'a\.csv' are missing or damaged"):
        run(root)
    assert (root / RESULT).read_bytes() == before
    (root / "datasets/a.csv").unlink()
    assert run(root) == ["a.csv"]
    assert (root / RESULT).read_bytes() == before


ALIAS = '[platforms]\n"Smart TV" = ["smarttv"]\n'


@pytest.mark.parametrize("arriving", ["new.csv", "sub/c.csv"])
def test_a_drop_that_arrives_while_archived_ones_are_restored_is_pending(
    root: Path, arriving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(root, "sub/c.csv", HEADER + record("old", user="u3"))
    chain.run(root)
    (root / "platforms.toml").write_text(ALIAS)
    restore = RawFiles.restore

    def deliver_meanwhile(self: RawFiles, drop: str, content: str | None) -> bool:
        deliver(root, arriving, HEADER + record("new", user="u9"))
        return restore(self, drop, content)

    with monkeypatch.context() as patch:
        patch.setattr(RawFiles, "restore", deliver_meanwhile)
        settings = settings_of(root)
        lake = open_lake(settings)
        with chain.running(lake, settings) as opened:
            conversion.convert_pending(opened)
    assert arriving in looked(root).pending
    assert arriving in run(root)
    assert ("u9",) in published(root, "SELECT user_id FROM top_n_by_platform")


@pytest.mark.parametrize("mounted", ["datasets", "archive"])
def test_raw_files_are_archived_across_file_systems(tmp_path: Path, other_file_system: Path, mounted: str) -> None:
    (other_file_system / mounted).mkdir()
    (tmp_path / mounted).symlink_to(other_file_system / mounted)
    deliver(tmp_path, "a.csv", HEADER + record("s1"))
    deliver(tmp_path, "sub/b.csv", HEADER + record("s2"))
    assert run(tmp_path) == ["a.csv", "sub/b.csv"]
    assert not [path for path in (tmp_path / "datasets").rglob("*") if path.is_file()]
    assert (tmp_path / "archive/a.csv").read_text() == HEADER + record("s1")
    assert not [*other_file_system.rglob("*.tmp")]
    (tmp_path / DIRECTORY / "_manifest.json").unlink()
    assert run(tmp_path) == ["a.csv"], "it is restored across file systems, too"
    assert run(tmp_path) == []


@pytest.mark.parametrize("mounted", ["dataset_parquets", "quarantine"])
def test_directories_that_must_share_a_file_system_are_named_before_anything_is_done(
    tmp_path: Path, other_file_system: Path, mounted: str
) -> None:
    (other_file_system / mounted).mkdir()
    (tmp_path / mounted).symlink_to(other_file_system / mounted)
    deliver(tmp_path, "a.csv", HEADER + record("s1"))
    with pytest.raises(UdaError, match=rf"^{re.escape(str(tmp_path / mounted))} must be on the file system of .*\.uda"):
        run(tmp_path)
    assert (tmp_path / "datasets/a.csv").exists()
    assert not [*(tmp_path / mounted).iterdir()]


@pytest.mark.parametrize(("link", "target"), [("a.csv", "b.csv"), ("b.csv", "a.csv")])
def test_a_link_to_a_drop_is_archived_with_its_content(tmp_path: Path, link: str, target: str) -> None:
    deliver(tmp_path, target, HEADER + record("s1") + record("s2") + record("s3", "smarttv"))
    (tmp_path / "datasets" / link).symlink_to(target)
    assert run(tmp_path) == ["a.csv", "b.csv"]
    assert not [*(tmp_path / "datasets").iterdir()]
    assert [(tmp_path / "archive" / name).is_symlink() for name in ("a.csv", "b.csv")] == [False, False]
    (tmp_path / "platforms.toml").write_text(ALIAS)
    assert run(tmp_path) == ["a.csv", "b.csv"]
    assert published(tmp_path, "SELECT events FROM sessions WHERE platform = 'Smart TV'") == [(2,)]
    assert {entry.status for entry in ledger(tmp_path).values()} == {"committed"}


@pytest.mark.parametrize("place", ["a.csv", "sub"])
def test_an_archived_drop_whose_place_is_taken_says_so(root: Path, place: str) -> None:
    if place == "sub":
        (root / "datasets/sub").rmdir()
        (root / "datasets/sub").write_text("no directory")
        (root / "dataset_parquets/sub/b.csv.parquet/_manifest.json").unlink()
    else:
        (root / "datasets/a.csv").mkdir()
        (root / "platforms.toml").write_text(ALIAS)
    drop = "a.csv" if place == "a.csv" else "sub/b.csv"
    assert run(root) == []
    entry = ledger(root)[drop]
    assert entry.status == "rejected"
    assert re.fullmatch(rf"place_taken: .*datasets/{place} .*; move it away.*", entry.reason or "")


def test_an_alias_reaches_a_drop_whose_spelling_normalises_in_two_steps(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", HEADER + record("s1") + record("s2") + record("s3", "tv ß\u0301"))
    chain.run(tmp_path)
    (tmp_path / "platforms.toml").write_text('[platforms]\nTV = ["tv ß\u0301"]\n')
    assert looked(tmp_path).pending == ["a.csv"]
    assert [manifest.drop for manifest in chain.run(tmp_path).converted] == ["a.csv"]
    assert published(tmp_path, "SELECT events FROM sessions WHERE platform = 'TV'") == [(1,)]
