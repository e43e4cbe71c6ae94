"""The state: replaced in one step, and not lost when a file of it is damaged."""

from __future__ import annotations

import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from uda_assets.basics import moments
from uda_assets.basics.errors import UdaError
from uda_assets.lake import FORMAT, Lake, State, open_lake
from uda_assets.lake.root import _memory
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.verification import verify
from uda_assets_tests.support.chain import HEADER, deliver, forget, ledger, published, record, run, settings_of

RESULT = "results/Result_top_n_by_platform.csv"
DROPS = ("a.csv", "b.csv", "c.csv")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for drop in DROPS:
        deliver(tmp_path, drop, HEADER + record(drop) + "short\n")
    run(tmp_path)
    return tmp_path


def files_of_states(root: Path) -> list[Path]:
    """The files of the states, the current one last."""
    return sorted((root / ".uda/states").iterdir())


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def state_of(root: Path) -> State:
    """The state for a process that has not read it before."""
    _memory.clear()
    return open_lake(settings_of(root)).state()


def statuses(root: Path) -> dict[str, str]:
    """Where the drops stand for a process that has not read the state before."""
    _memory.clear()
    return {drop: str(entry.status) for drop, entry in ledger(root).items()}


def assert_sound(root: Path) -> None:
    """All is published and as it was written, and nothing waits for a run."""
    _memory.clear()
    settings = settings_of(root)
    lake = open_lake(settings)
    assert lake.state().is_published
    assert not lake.states.is_restored
    assert verify(lake, settings).damage == []


def test_only_the_last_three_states_are_kept(root: Path) -> None:
    for number in range(3):
        deliver(root, "d.csv", HEADER + record(f"d{number}"))
        run(root)
        named = msgspec.json.decode((root / ".uda/root.json").read_bytes())["states"]
        assert named == [path.name for path in reversed(files_of_states(root))]
        assert len(named) == 3


def test_a_damaged_state_costs_a_run_and_forgets_nothing(root: Path) -> None:
    forget(open_lake(settings_of(root)), settings_of(root), "a.csv")
    deliver(root, "d.csv", HEADER + record("d"))
    run(root)
    before = (root / RESULT).read_bytes()
    for number in (1, 2):
        for path in files_of_states(root)[-number:]:
            flip(path)
        assert statuses(root)["a.csv"] == "forgotten"
        run(root)
        assert statuses(root) == {"a.csv": "forgotten"} | dict.fromkeys(("b.csv", "c.csv", "d.csv"), "committed")
        assert (root / RESULT).read_bytes() == before
        assert_sound(root)


@pytest.mark.parametrize("is_correction", [False, True])
def test_what_only_a_damaged_state_knew_is_done_again(root: Path, is_correction: bool) -> None:
    drop = "a.csv" if is_correction else "d.csv"
    forget(open_lake(settings_of(root)), settings_of(root), "b.csv")
    deliver(root, drop, HEADER + record("new"))
    with open_run(open_lake(settings_of(root)), settings_of(root)) as opened:
        (manifest,) = convert_pending(opened).converted
    assert manifest.drop == drop
    current_first = iter(reversed(files_of_states(root)))
    while state_of(root).drops.get(drop) == manifest:
        flip(next(current_first))
    assert statuses(root)[drop] == "pending"
    assert [found.drop for found in run(root).converted] == [drop]
    assert ("new",) in published(root, "SELECT session_id FROM sessions")
    assert statuses(root)["b.csv"] == "forgotten"
    assert_sound(root)


CONTENTS = [b"", b"{", b"\xff", b"[]", msgspec.json.encode({"version": FORMAT})] + [
    msgspec.json.encode({"version": FORMAT, "states": [name]}) for name in ("x.state", "0000000099-x.state", "../x")
]


@pytest.mark.parametrize("content", [None, *CONTENTS])
def test_a_damaged_or_missing_root_leads_to_the_latest_state(root: Path, content: bytes | None) -> None:
    forget(open_lake(settings_of(root)), settings_of(root), "a.csv")
    before, (root_file, expected) = (root / RESULT).read_bytes(), (root / ".uda/root.json", state_of(root))
    root_file.unlink()
    if content is not None:
        root_file.write_bytes(content)
    assert state_of(root).noting(serial=expected.serial) == expected
    assert statuses(root) == {"a.csv": "forgotten", "b.csv": "committed", "c.csv": "committed"}
    assert run(root).converted == []
    assert (root / RESULT).read_bytes() == before
    assert_sound(root)


@pytest.mark.parametrize("lost", ["the states", "all that is hidden", "each state is damaged"])
def test_without_any_state_the_copies_tell_what_is_converted(root: Path, lost: str) -> None:
    # The files of a corrected drop have other names, which the copy knows.
    deliver(root, "b.csv", HEADER + record("corrected") + "short\n" * 2)
    run(root, max_reject_ratio=1)
    (root / "datasets/a.csv").unlink()
    before = (root / RESULT).read_bytes()
    match lost:
        case "the states":
            shutil.rmtree(root / ".uda/states")
        case "all that is hidden":
            shutil.rmtree(root / ".uda")
        case _:
            for path in files_of_states(root):
                flip(path)
    assert statuses(root) == {"a.csv": "vanished", "b.csv": "committed", "c.csv": "committed"}
    assert run(root, max_reject_ratio=1).converted == []
    assert (root / RESULT).read_bytes() == before
    assert published(root, "SELECT drop, count(*) FROM quarantine GROUP BY ALL ORDER BY ALL") == [
        ("a.csv", 1), ("b.csv", 2), ("c.csv", 1)
    ]  # fmt: skip
    assert_sound(root)
    # What the lost state knew to be superfluous is gone as well.
    lake, state = open_lake(settings_of(root)), state_of(root)
    assert state.sessions
    there = {lake.below(path) for path in (root / "sessions").rglob("*.parquet")}
    counting = [*state.sessions.paths(), *(file.path for file in state.day_files())]
    assert there <= {*map(lake.session_path, counting), *state.superseded, *state.outdated}


def test_a_damaged_copy_without_a_state_is_named(root: Path) -> None:
    copy = root / "dataset_parquets/b.csv.parquet/_manifest.json"
    flip(copy)
    assert statuses(root)["b.csv"] == "pending", "the state knows what is in it"
    shutil.rmtree(root / ".uda")
    before = (root / RESULT).read_bytes()
    advice = "remove its directory, and the next run converts that drop again if its raw file is there"
    told = f"^the state of the data root is gone, and {re.escape(str(copy))} is damaged; {advice}$"
    with pytest.raises(UdaError, match=told):
        state_of(root)
    with pytest.raises(UdaError, match=told):
        run(root)
    assert (root / RESULT).read_bytes() == before
    shutil.rmtree(copy.parent)
    assert [manifest.drop for manifest in run(root).converted] == ["b.csv"]
    assert (root / RESULT).read_bytes() == before
    assert_sound(root)


def test_who_dies_before_the_commit_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(root, "d.csv", HEADER + record("d"))

    def die(moment: str) -> None:
        if moment == "state: written":
            raise moments.Killed(moment)

    before = state_of(root)
    for _ in range(4):
        with monkeypatch.context() as patch:
            patch.setattr(moments, "on_moment", die)
            with pytest.raises(moments.Killed):
                run(root)
        assert state_of(root) == before
    run(root)
    assert len(files_of_states(root)) == 3
    assert_sound(root)


def test_who_gives_up_a_commit_leaves_the_state(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, before = open_lake(settings_of(root)), state_of(root)

    def give_up(moment: str) -> None:
        if moment == "state: written":
            raise OSError("as when the disk is full")

    def commit() -> None:
        with lake.writing(0):
            lake.commit(lake.state().changed())

    with monkeypatch.context() as patch:
        patch.setattr(moments, "on_moment", give_up)
        with pytest.raises(OSError, match="full"):
            commit()
    assert state_of(root) == lake.state() == before
    run(root)
    assert len(files_of_states(root)) == 3


def test_only_the_holder_of_the_lock_commits(root: Path) -> None:
    lake = open_lake(settings_of(root))
    with pytest.raises(UdaError, match="is not locked for writing"):
        lake.commit(lake.state().changed())
    with lake.writing(0):
        mine = lake.commit(lake.state().changed())
    assert state_of(root) == mine


@pytest.mark.parametrize("remembers", [True, False])
def test_readers_see_whole_states_in_their_order(root: Path, remembers: bool) -> None:
    lake, ended = open_lake(settings_of(root)), threading.Event()
    first = lake.state().changes

    def read() -> list[int]:
        reader, serials = Lake(root), []
        while not ended.is_set():
            if not remembers:
                _memory.clear()
            state = reader.state()
            assert not reader.states.is_restored
            assert list(state.drops) == [*DROPS]
            assert len(state.forgotten) == state.changes - first, "each change brings one"
            serials.append(state.serial)
        return serials

    with ThreadPoolExecutor() as pool:
        readings = [pool.submit(read) for _ in range(2)]
        try:
            with lake.writing(0):
                for number in range(40):
                    state = lake.state()
                    lake.commit(state.changed(forgotten=state.forgotten | {f"{number}.csv": "content"}))
        finally:
            ended.set()
        for reading in readings:
            serials = reading.result()
            assert serials == sorted(serials)
            assert len(set(serials)) > 3
    assert len(state_of(root).forgotten) == 40
