"""Archived raw files are sources too: what is lost, or out of date, is made from them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from uda_assets.basics.errors import UdaError
from uda_assets.lake import open_lake
from uda_assets.pipeline.arrivals import Arrivals, arrivals
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


def looked(root: Path) -> Arrivals:
    return arrivals(settings_of(root, settle_seconds=0))


def spoil(path: Path) -> None:
    path.write_bytes(b"{" + path.read_bytes())


@pytest.mark.parametrize("lose", [shutil.rmtree, lambda path: (path / "_manifest.json").unlink(),
                                  lambda path: spoil(path / "_manifest.json")])  # fmt: skip
def test_a_lost_drop_is_converted_again_from_the_archive(root: Path, lose: Callable[[Path], object]) -> None:
    before = (root / RESULT).read_bytes()
    lose(root / DIRECTORY)
    assert damage(root) == {f"{DIRECTORY}/_manifest.json": "the next run, from archive/a.csv"}
    assert ledger(root)["a.csv"].status == "pending"
    assert run(root) == ["a.csv"]
    assert (root / RESULT).read_bytes() == before
    assert (root / "archive/a.csv").exists()
    assert damage(root) == {}
    assert run(root) == []


def test_a_changed_alias_table_reaches_archived_drops(root: Path) -> None:
    assert looked(root).pending == []
    (root / "platforms.toml").write_text('[platforms]\n"Smart TV" = ["smarttv"]\n')
    assert looked(root).pending == ["a.csv", "sub/b.csv"]
    assert run(root) == ["a.csv"], "the other one has no such record"
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


def test_without_any_raw_file_the_next_run_goes_on_and_it_was_said(root: Path) -> None:
    (root / "archive/a.csv").unlink()
    shutil.rmtree(root / DIRECTORY)
    lost = {f"{DIRECTORY}/_manifest.json": "deliver a.csv again; the next run goes on without it"}
    assert damage(root) == lost
    assert run(root) == []
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
