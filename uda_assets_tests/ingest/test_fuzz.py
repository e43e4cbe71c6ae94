"""Bytes that nobody meant: the reader, the header and a data root's own notes take any, and never fail unexpectedly.

``UDA_TEST_SECONDS=300 uv run pytest -n 0 -m heavy -s uda_assets_tests/ingest/test_fuzz.py`` goes on for five minutes in
all and prints how many cases there were. What fails is shrunk; it belongs into ``uda_assets_tests/corpus/found.py``.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Verbosity, given, seed, settings
from hypothesis import strategies as st

from uda_assets.basics.bounds import DEFAULT_BOUNDS
from uda_assets.basics.errors import DropUnreadable, UdaError
from uda_assets.contract.dialects import CSV
from uda_assets.ingest import Source
from uda_assets.ingest.header import Header, read_header
from uda_assets.lake import open_lake
from uda_assets.lake.root import _memory
from uda_assets_tests.corpus.judging import expected
from uda_assets_tests.corpus.pollutions import PACK, Polluted, corpus
from uda_assets_tests.ingest import reference
from uda_assets_tests.ingest.fast import REJECTIONS, convert_split, read_fast, read_slow
from uda_assets_tests.ingest.strategies import LINE, mutate
from uda_assets_tests.support.chain import HEADER, deliver, forget, ledger, record, run, settings_of, statuses

T = TypeVar("T")

SECONDS = float(os.environ.get("UDA_TEST_SECONDS", "60"))
SHARES = {"reader": 0.5, "archives": 0.15, "header": 0.1, "notes": 0.15, "runs": 0.1}
"""Of the time that there is."""
_MUTATION = st.tuples(st.integers(0, 39), st.integers(0, 9999), st.integers(0, 999))
_MUTATIONS = st.lists(_MUTATION, max_size=5)
BLOCKS = st.sampled_from([1, 37, 200, 1 << 20])


@cache
def seeds() -> list[bytes]:
    """Small files of all kinds."""
    return [file.data for file in corpus() if file.suffix == ".csv" and 0 < len(file.data) < 1500][::23]


@st.composite
def mutated(draw: st.DrawFn, seeds: st.SearchStrategy[bytes]) -> bytes:
    """One of the seeds, or two halves of two, after some changes; or bytes of no origin."""
    kind = draw(st.integers(0, 19))
    if kind == 19:
        return draw(st.binary(max_size=200))
    data = draw(seeds)
    if kind > 14:
        other = draw(seeds)
        data = data[: draw(st.integers(0, len(data)))] + other[draw(st.integers(0, len(other))) :]
    for change in draw(_MUTATIONS):
        data = mutate(data, *change)
    return data


def files() -> st.SearchStrategy[tuple[bytes, int]]:
    return st.tuples(mutated(st.sampled_from(seeds())), BLOCKS)


def archives() -> st.SearchStrategy[tuple[str, bytes]]:
    packed = [pack(data) for data in seeds()[::20] for pack in PACK.values()]
    return st.tuples(st.sampled_from(sorted(PACK)), mutated(st.sampled_from(packed)))


def headers() -> st.SearchStrategy[bytes]:
    return mutated(st.sampled_from([line for data in seeds()[::3] for line in LINE.findall(data)[:1]]))


def fuzz(check: Callable[[T], None], cases: st.SearchStrategy[T], *, examples: int = 0, seconds: float = 0) -> int:
    """Check so many examples, or go on for so long, and give the number of cases."""
    count, end = 0, time.monotonic() + seconds

    def one(case: T) -> None:
        nonlocal count
        if examples or time.monotonic() < end:
            count += 1
            check(case)

    for number in range(1 if examples else 10**9):
        if not examples and time.monotonic() >= end:
            break
        configured = settings(
            max_examples=examples or 200, deadline=None, database=None, suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )  # fmt: skip
        # A seed of its own for each round; the default suite's is always the same.
        seed(number)(configured(given(cases)(one)))()
    return count


def check_reader(case: tuple[bytes, int]) -> None:
    data, block_bytes = case
    answer = read_slow(data)
    assert read_fast(data, block_bytes=block_bytes, threads=1 + len(data) % 2) == answer
    if len(data) % 8 == 0:
        assert convert_split(data, part_bytes=100, block_bytes=block_bytes) == answer


def check_archive(case: tuple[str, bytes]) -> None:
    suffix, data = case
    answer = read_fast(data, block_bytes=200, suffix=suffix.removeprefix(".csv"))
    assert answer == expected(Polluted("fuzzed", "archive", data, suffix))


def check_header(data: bytes) -> None:
    text = data.removeprefix(reference.BOM).decode("utf-8", "surrogateescape")
    lines = [line for line in reference.physical_lines(text) if not reference.is_blank(line.text)]
    names, rejection = reference.read_header(lines[0].text) if lines else ([], "empty")
    found, header = _header(data)
    assert found == rejection
    if header:
        assert header.columns.width == len(names)
        assert header.columns.parts == {name: [names.index(name)] for name in reference.COLUMNS}
        assert header.line == lines[0].number + 1


def _header(data: bytes) -> tuple[str | None, Header | None]:
    source = Source(len(data), lambda length, offset: data[offset : offset + length], DEFAULT_BOUNDS)
    try:
        return None, read_header(source, CSV)
    except DropUnreadable as error:
        return REJECTIONS[error.reason], None


class Notes:
    """A data root with a few drops, one of them forgotten, whose notes about itself are damaged one at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        deliver(root, "good.csv", HEADER + record("s1") + record("s2", "web") + "bad\n")
        deliver(root, "again.csv", HEADER + record("s1") + record("s3", user="u2"))
        deliver(root, "rejected.csv", "no header\n")
        deliver(root, "gone.csv", HEADER + record("s4", user="u3"))
        run(root)
        forget(open_lake(settings_of(root)), settings_of(root), "gone.csv")
        self.board, self.statuses = self._board(), self._statuses()
        self.files = sorted(
            path for path in root.rglob("*") if path.suffix in {".json", ".msgpack", ".state"} or path.name == "lock"
        )
        self.contents = {path: path.read_bytes() for path in self.files}

    def cases(self) -> st.SearchStrategy[tuple[Path, bytes]]:
        """A file and what it may hold: mostly what one of them held, changed."""
        return st.tuples(st.sampled_from(self.files), mutated(st.sampled_from([*self.contents.values()])))

    def check_reading(self, case: tuple[Path, bytes]) -> None:
        """Each is read as what it is, taken for absent, or said to be damaged in one line."""
        path, content = case
        path.write_bytes(content)
        try:
            configured = settings_of(self.root)
            _memory.clear()
            for read in (lambda lake: lake.state(), lambda lake: statuses(lake, configured)):
                assert "\n" not in (self._tell(partial(read, open_lake(configured))) or "")
        finally:
            path.write_bytes(self.contents[path])

    def check_run(self, case: tuple[Path, bytes]) -> None:
        """The next run says what is damaged, or ends with the same leaderboard; what was forgotten stays so."""
        path, content = case
        kept = self.root.with_name("kept")
        shutil.copytree(self.root, kept)
        path.write_bytes(content)
        _memory.clear()
        try:
            if self._tell(lambda: run(self.root)) is None:
                assert self._board() == self.board
                assert self._statuses() == self.statuses
        finally:
            shutil.rmtree(self.root)
            kept.rename(self.root)

    def _board(self) -> bytes:
        return (self.root / "results/Result_top_n_by_platform.csv").read_bytes()

    def _statuses(self) -> dict[str, str]:
        return {drop: str(entry.status) for drop, entry in ledger(self.root).items()}

    @staticmethod
    def _tell(read: Callable[[], object]) -> str | None:
        """What is said of what was read, if anything."""
        try:
            read()
        except UdaError as error:
            return str(error)
        return None


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "root")


def test_some_cases(notes: Notes) -> None:
    fuzz(check_reader, files(), examples=80)
    fuzz(check_archive, archives(), examples=40)
    fuzz(check_header, headers(), examples=80)
    fuzz(notes.check_reading, notes.cases(), examples=40)


@pytest.mark.heavy
@pytest.mark.timeout(3600)
def test_as_long_as_there_is_time(notes: Notes) -> None:
    counts = {
        "reader": fuzz(check_reader, files(), seconds=SECONDS * SHARES["reader"]),
        "archives": fuzz(check_archive, archives(), seconds=SECONDS * SHARES["archives"]),
        "header": fuzz(check_header, headers(), seconds=SECONDS * SHARES["header"]),
        "notes": fuzz(notes.check_reading, notes.cases(), seconds=SECONDS * SHARES["notes"]),
        "runs": fuzz(notes.check_run, notes.cases(), seconds=SECONDS * SHARES["runs"]),
    }
    print(f"\n{SECONDS:g} s: {counts} cases, 0 crashes")
    assert min(counts.values()) > 0
