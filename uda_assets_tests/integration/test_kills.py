"""A run killed with `kill -9`, anywhere: what was published stays readable, the next run ends in the right answer.

Each run is a process over a data root whose drops are added, replaced, forgotten, vanish or go bad in between. Some
runs have their work done by a Dask cluster, which outlives them. Others have their data root in a bucket. The oracle is
plain Python over copies of the raw files. The recorded run is of 200 kills; see what they struck with

    UDA_TEST_KILLS=200 uv run pytest -n 0 -s uda_assets_tests/integration/test_kills.py
    UDA_TEST_KILLS=50 uv run pytest -n 0 -s -m heavy -k cluster uda_assets_tests/integration/test_kills.py
    UDA_TEST_KILLS=60 uv run pytest -n 0 -s -m heavy -k bucket uda_assets_tests/integration/test_kills.py
"""

from __future__ import annotations

import csv
import fnmatch
import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import Client

from uda_assets.lake import Lake
from uda_assets.storage import filesystem_of
from uda_assets_tests.storage.root import RESULT, Root, environment
from uda_assets_tests.support.cluster import Cluster, cluster_of_processes, settle
from uda_assets_tests.support.places import PROJECT
from uda_assets_tests.support.s3_server import CREDENTIALS, s3_server

KILLS = int(os.environ.get("UDA_TEST_KILLS", "5"))
SEED = int(os.environ.get("UDA_TEST_SEED", "1"))
N = 4
HEADER = "user_id,session_id,platform,activity_time,activity_type\n"
PLATFORMS = {"ios": "iOS", "android": "Android", "web": "Web"}
START = datetime(2026, 1, 1, tzinfo=UTC)
# One run in so many is `dagster asset materialize` itself, which takes as long as several others.
DAGSTER_EVERY = 8
# And one in so many has a cluster do the work, where connecting takes as long as the rest.
CLUSTER_EVERY = 4

MOMENTS = [
    "drop: staged",
    "drop: parts in place",
    "drop: summaries in place",
    "state: written",
    "state: committed",
    "sessions: file written",
    "sessions: files written",
    "sessions: committed",
    "publish: files written",
    "publish: committed",
    "publish: files in place",
    "publish: old files removed",
    "file: written",
    "forget: committed",
]
"""All moments that a run passes."""

Session = tuple[str, str, str]
Board = list[list[str]]


# -- the oracle ------------------------------------------------------------------------------------------------------


class Content(NamedTuple):
    """What plain Python reads in a drop: kept records, and the lines of the malformed ones."""

    kept: list[tuple[Session, datetime]]
    malformed: list[int]

    @property
    def records(self) -> int:
        return len(self.kept) + len(self.malformed)


def read(raw: bytes) -> Content:
    text = (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode()
    kept, malformed = [], []
    for line, row in enumerate(csv.reader(io.StringIO(text, newline="")), 1):
        if line == 1:
            continue
        record = judged(row)
        if record:
            kept.append(record)
        else:
            malformed.append(line)
    return Content(kept, malformed)


def judged(row: list[str]) -> tuple[Session, datetime] | None:
    if len(row) != 5 or not all(field.strip() for field in row):
        return None
    user, session, spelling, moment, _ = (field.strip() for field in row)
    try:
        time_ = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        return (PLATFORMS[spelling.lower()], user, session), time_
    except (ValueError, KeyError):
        return None


class Answer(NamedTuple):
    """All that a run has to come to, from scratch, and what it should say of the drops."""

    sessions: dict[Session, tuple[datetime, datetime, int]]
    board: Board
    accounts: dict[str, tuple[int, int, int]]
    quarantine: set[tuple[str, int]]


def answer(contributions: dict[str, bytes]) -> Answer:
    contents = {drop: read(raw) for drop, raw in contributions.items()}
    times: dict[Session, list[datetime]] = {}
    for content in contents.values():
        for session, moment in content.kept:
            times.setdefault(session, []).append(moment)
    sessions = {session: (min(moments), max(moments), len(moments)) for session, moments in times.items()}
    accounts = {drop: (made.records, len(made.kept), len(made.malformed)) for drop, made in contents.items()}
    quarantine = {(drop, line) for drop, content in contents.items() for line in content.malformed}
    return Answer(sessions, ranked(sessions), accounts, quarantine)


def ranked(sessions: dict[Session, tuple[datetime, datetime, int]]) -> Board:
    counts = Counter((platform, user) for platform, user, _ in sessions)
    board: Board = []
    for platform in sorted({platform for platform, _ in counts}):
        users = sorted((-count, user) for (of, user), count in counts.items() if of == platform)
        board += [[platform, user, str(-count)] for count, user in users[:N]]
    return board


def by_day(sessions: dict[Session, tuple[datetime, datetime, int]]) -> dict[date, Board]:
    """The leaderboards of all days on which sessions started."""
    days = {times[0].date() for times in sessions.values()}
    return {
        day: ranked({session: times for session, times in sessions.items() if times[0].date() == day}) for day in days
    }


# -- the drops -------------------------------------------------------------------------------------------------------


class Feed:
    """The drops of a data root, what they contribute, and what happens to them."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.sources: dict[str, bytes] = {}
        self.contributions: dict[str, bytes] = {}
        self.rejected: set[str] = set()
        self.forgotten: dict[str, bytes] = {}
        self.earlier: dict[str, list[bytes]] = {}
        self.number = 0
        self.busy: set[str] = set()
        """Drops that changed since a run was last complete; some changes of these would depend on what got through."""

    def change(self) -> None:
        """One or two new drops, one replaced, and now and then one that vanishes or goes bad."""
        for _ in range(self.random.randint(1, 2)):
            self._add()
        self._replace()
        if self.random.random() < 0.4:
            self._vanish()
        if self.random.random() < 0.3:
            self._go_bad()

    def to_forget(self) -> str | None:
        """A drop for the run to forget at its end."""
        settled = sorted(set(self.contributions) - self.busy)
        return self.random.choice(settled) if len(settled) > 3 else None

    def forget(self, drop: str) -> None:
        self.contributions.pop(drop)
        self.rejected.discard(drop)
        self.busy.add(drop)
        if drop in self.sources:
            self.forgotten[drop] = self.sources[drop]

    def completed(self) -> None:
        self.busy.clear()

    def _add(self) -> None:
        self.number += 1
        name = ["d{}.csv", "sub dir/d{}.csv.gz", "d'{}.csv"][self.number % 3].format(self.number)
        self._deliver(name, self._content())

    def _replace(self) -> None:
        """Other content for a drop; sometimes what it had before, forgotten or not."""
        drop = self._settled(self.sources)
        if drop:
            before = self.earlier.get(drop, [])
            self._deliver(
                drop, self.random.choice(before) if before and self.random.random() < 0.3 else self._content()
            )

    def _vanish(self) -> None:
        drop = self._settled(set(self.sources) & set(self.contributions) - self.rejected)
        if drop and len(self.sources) > 4:
            (self.root / "datasets" / drop).unlink()
            del self.sources[drop]
            self.busy.add(drop)

    def _go_bad(self) -> None:
        drop = self._settled(self.sources)
        if drop:
            raw = b"no,header,of\nours,1,2\n"
            self._put(drop, raw)
            # What was forgotten is not looked at again, bad or not.
            if self.forgotten.get(drop) != raw:
                self.rejected.add(drop)

    def _settled(self, drops: set[str] | dict[str, bytes]) -> str | None:
        settled = sorted(set(drops) - self.busy)
        return self.random.choice(settled) if settled else None

    def _deliver(self, drop: str, content: bytes) -> None:
        raw = gzip.compress(content, mtime=0) if drop.endswith(".gz") and content[:1] != b"\x1f" else content
        self._put(drop, raw)
        self.rejected.discard(drop)
        self.earlier.setdefault(drop, []).append(raw)
        if self.forgotten.get(drop) != raw:
            self.forgotten.pop(drop, None)
            self.contributions[drop] = raw

    def _put(self, drop: str, raw: bytes) -> None:
        target = self.root / "datasets" / drop
        target.parent.mkdir(parents=True, exist_ok=True)
        coming = target.with_name(f".{target.name}")
        coming.write_bytes(raw)
        coming.replace(target)
        self.sources[drop] = raw
        self.busy.add(drop)

    def _content(self) -> bytes:
        """Records of a small population, so that drops share sessions; some are malformed."""
        lines = []
        for _ in range(self.random.randint(40, 400)):
            user = self.random.choice(["ann", "ben", '"c,d"', "日本", "eve", "fay"])
            platform = self.random.choice(["iOS", "android", " WEB ", "Android", "web"])
            moment = f"{START + timedelta(seconds=self.random.randrange(10**6)):%Y-%m-%dT%H:%M:%SZ}"
            line = f"{user},s{self.random.randrange(200)},{platform},{moment},view"
            bad = [f"{user},s1,fridge,{moment},view", f",s1,iOS,{moment},view", f"{user},s1,iOS", line[:-5]]
            lines.append(self.random.choice(bad) if self.random.random() < 0.05 else line)
        return (HEADER + "".join(f"{line}\n" for line in lines)).encode()


# -- where the data root is ------------------------------------------------------------------------------------------


class Place(Protocol):
    """A data root.

    Attributes:
        environment: With which a program works on it.
        log: Where a run's messages go.
    """

    environment: dict[str, str]
    log: Path

    def names(self) -> set[str]:
        """Return all files, and directories of staged files, by their paths below the data root."""

    def read(self, path: str) -> bytes:
        """Return the content of a file."""

    def lake(self) -> Lake:
        """Return the lake."""

    def warehouse(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open what is published."""

    def bring(self, sources: dict[str, bytes]) -> None:
        """Make these the raw files."""


class InDirectory:
    """A data root in a directory, in which the feed puts its drops itself."""

    def __init__(self, root: Path) -> None:
        self.root, self.log, self.environment = root, root.with_name("run.log"), {"UDA_DATA_ROOT": str(root)}

    def names(self) -> set[str]:
        found = [path for path in self.root.rglob("*") if not path.is_dir() or path.parent.name == "staging"]
        return {str(path.relative_to(self.root)) for path in found}

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def lake(self) -> Lake:
        return Lake(self.root)

    def warehouse(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return duckdb.connect(self.root / "uda.duckdb", read_only=True)

    def bring(self, sources: dict[str, bytes]) -> None:
        assert sources.keys() == {name.removeprefix("datasets/") for name in self.names() if name[:9] == "datasets/"}


class InBucket(Root):
    """A data root in a bucket."""

    def __init__(self, endpoint: str, near: Path) -> None:
        super().__init__(endpoint)
        self.near, self.log, self.brought = near, near / "run.log", dict[str, bytes]()
        self.environment = {name: text for name, text in environment(self).items() if name not in os.environ}

    @contextmanager
    def warehouse(self) -> Iterator[duckdb.DuckDBPyConnection]:
        copy = self.near / "uda.duckdb"
        copy.write_bytes(self.read("uda.duckdb"))
        with duckdb.connect(copy, read_only=True) as connection:
            connection.register_filesystem(filesystem_of(self.lake().root))
            yield connection

    def bring(self, sources: dict[str, bytes]) -> None:
        for drop in self.brought.keys() - sources.keys():
            self.files.rm_file(f"{self.base}/datasets/{drop}")
        for drop, content in sources.items():
            if self.brought.get(drop) != content:
                self.deliver(drop, content)
        self.brought = dict(sources)


# -- the runs --------------------------------------------------------------------------------------------------------


class Ended(NamedTuple):
    """How a run ended: whether it was killed, what it said last, and the seconds of its work."""

    killed: bool
    phase: str
    moments: list[str]
    seconds: float


class Plan(NamedTuple):
    """How a run is to die: at a moment, or after so many seconds of its work; or not at all; and what does its work."""

    at: str | None = None
    passes: int = 1
    after: float | None = None
    how: str = "kernel"
    scheduler: str = ""


def run(place: Place, plan: Plan, forget: list[str]) -> Ended:
    settings = place.environment | {
        "UDA_N": str(N), "UDA_THREADS": "2", "UDA_LOCK_TIMEOUT": "15", "DAGSTER_DISABLE_TELEMETRY": "1"
    }  # fmt: skip
    if plan.scheduler:
        settings |= {"UDA_ENGINE": "dask", "UDA_DASK_SCHEDULER": plan.scheduler}
    without_home = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    said, write = os.pipe()
    orders = {"fd": write, "how": plan.how, "at": plan.at, "passes": plan.passes, "forget": forget}
    with place.log.open("wb") as log, os.fdopen(said, encoding="utf-8") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "uda_assets_tests.integration.killed_run", json.dumps(orders)],
            cwd=PROJECT, env=without_home | settings, stdout=log, stderr=log, pass_fds=[write],
            start_new_session=True,
        )  # fmt: skip
        os.close(write)
        assert lines.readline() == "phase start\n", place.log.read_text()
        began = time.monotonic()
        try:
            process.wait(plan.after if plan.after is not None else 120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        seconds = time.monotonic() - began
        told = [line.strip().partition(" ") for line in lines]
    killed = process.returncode == -signal.SIGKILL
    assert killed or process.returncode == 0, place.log.read_text()
    phases = [what for kind, _, what in told if kind == "phase"]
    moments = [what for kind, _, what in told if kind == "moment"]
    return Ended(killed, phases[-1] if phases else "start", moments, seconds)


# -- what must hold --------------------------------------------------------------------------------------------------


def published(place: Place) -> Board | None:
    """The leaderboard of the Result CSV, which is whole."""
    return board_in(place.read(RESULT)) if RESULT in place.names() else None


def board_in(content: bytes) -> Board:
    text = content.decode()
    assert text.startswith("platform,user_id,session_count\n")
    assert text.endswith("\n")
    return list(csv.reader(io.StringIO(text)))[1:]


def assert_readable(place: Place, possible: list[Board]) -> None:
    """All of the warehouse can be read, and says one of the answers."""
    assert published(place) in possible
    with place.warehouse() as warehouse:
        for table in ("drops", "quarantine", "session_counts", "rank_movement"):
            warehouse.execute(f"SELECT * FROM {table}").fetchall()
        listed = warehouse.execute("SELECT platform, user_id, session_count::VARCHAR FROM top_n_by_platform").fetchall()
        found = sessions_in(warehouse)
        assert ranked(found) == [list(row) for row in listed]
        assert by_day(found) == days_in(warehouse)
        assert [list(row) for row in listed] in possible


def sessions_in(warehouse: duckdb.DuckDBPyConnection) -> dict[Session, tuple[datetime, datetime, int]]:
    rows = warehouse.execute(
        "SELECT platform, user_id, session_id, epoch_us(started_at), epoch_us(ended_at), events FROM sessions"
    ).fetchall()
    found = {(row[0], row[1], row[2]): (moment(row[3]), moment(row[4]), int(row[5])) for row in rows}
    assert len(found) == len(rows), "a session has one row"
    return found


def days_in(warehouse: duckdb.DuckDBPyConnection) -> dict[date, Board]:
    found: dict[date, Board] = {}
    for day, *row in warehouse.execute(
        "SELECT day, platform, user_id, session_count::VARCHAR FROM daily_top_n_by_platform "
        "ORDER BY day, platform, session_count DESC, user_id"
    ).fetchall():
        found.setdefault(day, []).append(row)
    return found


def moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def assert_complete(place: Place, feed: Feed) -> None:
    """What is published is what a recomputation over the raw files gives, to the record."""
    true = answer(feed.contributions)
    assert published(place) == true.board
    with place.warehouse() as warehouse:
        assert sessions_in(warehouse) == true.sessions
        days = days_in(warehouse)
        counts = warehouse.execute("SELECT platform, user_id, session_count FROM session_counts").fetchall()
        ledger = warehouse.execute("SELECT drop, status, records, kept, quarantined FROM drops").fetchall()
        quarantine = warehouse.execute("SELECT drop, line FROM quarantine").fetchall()
    assert {(platform, user): count for platform, user, count in counts} == Counter(row[:2] for row in true.sessions)
    assert days == by_day(true.sessions)
    daily = [name for name in place.names() if name.startswith("results/daily/") and name.endswith(".csv")]
    files = {name[-14:-4]: board_in(place.read(name)) for name in daily}
    # A day that has lost all its sessions stays, without users.
    assert {date.fromisoformat(day): board for day, board in files.items() if board} == days
    assert {row[0] for row in ledger if row[1] == "rejected"} == feed.rejected
    assert {row[0] for row in ledger if row[1] == "vanished"} == feed.contributions.keys() - feed.sources.keys()
    accounts = {row[0]: tuple(row[2:]) for row in ledger if row[1] in {"committed", "vanished"}}
    assert accounts == {drop: row for drop, row in true.accounts.items() if drop not in feed.rejected}
    assert {row[0] for row in ledger if row[1] == "pending"} == set()
    assert len(quarantine) == len(set(quarantine))
    assert set(quarantine) == true.quarantine
    rows: Counter[str] = Counter()
    for name in fnmatch.filter(place.names(), "dataset_parquets/*.parquet/*/part.*.parquet"):
        drop = str(Path(name).relative_to("dataset_parquets").parents[1]).removesuffix(".parquet")
        rows[drop] += pq.read_metadata(pa.BufferReader(place.read(name))).num_rows
    assert rows == {drop: kept for drop, (_, kept, _) in true.accounts.items() if kept}


def assert_no_debris(place: Place, feed: Feed) -> None:
    """Every file below the data root is one that the layout names."""
    files, lake = place.names(), place.lake()
    state = lake.state()
    assert state.drops.keys() == set(feed.contributions)
    assert state.sessions is not None
    assert state.publication is not None
    counting = {lake.session_path(path) for path in state.sessions.paths()}
    counting |= {lake.session_path(file.path) for file in state.day_files()}
    counting |= {path for made in state.drops.values() for path in lake.paths_of(made)}
    boards = [board.name for board in (state.publication.board, state.publication.previous) if board]
    counting |= {f"results/history/{name}.parquet" for name in boards}
    results = ["Result_top_n_by_platform", *(f"daily/Result_top_n_by_platform_{day}" for day in state.days)]
    counting |= {f"results/{name}.{kind}" for name in results for kind in ("csv", "parquet")}
    counting |= {".uda/root.json", "sessions/_manifest.json", "uda.duckdb"}
    assert counting - files == set(), "files are missing"
    named = counting | {f"datasets/{drop}" for drop in feed.sources} | {*state.superseded, *state.outdated}
    named |= {".uda/lock", ".uda/chart.msgpack", ".uda/some_sessions.msgpack"}
    states = {name for name in files if name.startswith(".uda/states/") and name.endswith(".state")}
    assert 1 <= len(states) <= 3
    assert files - named - states == set()


# -- killing ---------------------------------------------------------------------------------------------------------


def plans(seconds: float, attempt: int, random_: random.Random, scheduler: str) -> Plan:
    """How the next run is to die: at times spread over a run's work, and at each named moment in turn."""
    how = "dagster" if attempt % DAGSTER_EVERY == DAGSTER_EVERY - 1 and not scheduler else "kernel"
    if attempt % 2 == 0 or (scheduler and random_.random() < 0.5):
        share = (attempt // 2 * 0.618 + random_.random() * 0.1) % 1
        return Plan(after=share * seconds, scheduler=scheduler)
    moment_ = MOMENTS[(SEED + attempt // 2 * 5) % len(MOMENTS)]
    passes = {
        "file: written": 30, "state: written": 5, "state: committed": 5, "sessions: file written": 3,
        "drop: staged": 2, "drop: parts in place": 2, "drop: summaries in place": 2,
    }  # fmt: skip
    return Plan(at=moment_, passes=random_.randint(1, passes.get(moment_, 1)), how=how, scheduler=scheduler)


def where(plan: Plan, ended: Ended) -> str:
    """Where a kill struck: the phase at a random time, or the named moment."""
    moment_ = f"at the moment {ended.moments[-1]!r}" if plan.at else f"at a random time in {ended.phase}"
    return moment_ + " under dagster" * (plan.how == "dagster") + " on the cluster" * bool(plan.scheduler)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with cluster_of_processes(tmp_path / "cluster") as started:
        yield started


@pytest.mark.timeout(180 + 20 * KILLS)
def test_killed_runs_lose_nothing(tmp_path: Path, cluster: Cluster) -> None:
    assert_nothing_is_lost(InDirectory(tmp_path / "data"), tmp_path / "data", cluster, CLUSTER_EVERY)


@pytest.mark.heavy
@pytest.mark.timeout(180 + 40 * KILLS)
def test_killed_runs_on_a_cluster_lose_nothing(tmp_path: Path, cluster: Cluster) -> None:
    assert_nothing_is_lost(InDirectory(tmp_path / "data"), tmp_path / "data", cluster, 1)


@pytest.mark.heavy
@pytest.mark.timeout(180 + 40 * KILLS)
def test_killed_runs_in_a_bucket_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as endpoint:
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        assert_nothing_is_lost(InBucket(endpoint, tmp_path), tmp_path / "data")


def settled(cluster: Cluster) -> None:
    """What a run that was killed had given to the cluster is done."""
    with Client(cluster.address, timeout=60, set_as_default=False) as client:
        settle(client)


def measured(place: Place, feed: Feed, scheduler: str) -> float:
    """The seconds of a run's work."""
    for changes in (6, 1):
        for _ in range(changes):
            feed.change()
        place.bring(feed.sources)
        ended = run(place, Plan(scheduler=scheduler), [])
        feed.completed()
        assert_complete(place, feed)
    return ended.seconds


def assert_nothing_is_lost(place: Place, feed_root: Path, cluster: Cluster | None = None, every: int = 0) -> None:
    """Kill runs, of which every so many has its work done by the cluster."""
    feed, random_ = Feed(feed_root, SEED), random.Random(SEED)
    work = {scheduler: measured(place, feed, scheduler) for scheduler in ["", *([cluster.address] if cluster else [])]}
    struck: Counter[str] = Counter()
    attempt = in_a_row = 0
    struck_on_cluster = at_work = False
    possible: list[Board] = [answer(feed.contributions).board]
    forget: list[str] = []
    going: dict[str, bytes] = {}
    while struck.total() < KILLS:
        feed.change()
        place.bring(feed.sources)
        scheduler = cluster.address if cluster and attempt % every == 1 % every else ""
        plan = plans(work[scheduler], attempt, random_, scheduler)
        attempt += 1
        assert attempt < 4 * KILLS, f"too few runs were struck: {struck}"
        # A drop that is yet to be forgotten may still count.
        possible += [answer(feed.contributions).board, answer(feed.contributions | going).board]
        forgetful = plan.at.startswith("forget") if plan.at else random_.random() < 0.3
        if forgetful and not forget and (drop := feed.to_forget()):
            forget, going = [drop], {drop: feed.contributions[drop]}
            feed.forget(drop)
            possible.append(answer(feed.contributions).board)
            # Forgetting publishes once more.
            plan = plan._replace(after=plan.after and plan.after * 1.5)
        ended = run(place, plan, forget)
        if ended.killed:
            struck[where(plan, ended)] += 1
            struck_on_cluster = struck_on_cluster or bool(scheduler)
            assert_readable(place, possible)
            in_a_row += 1
            if in_a_row < 3 and random_.random() < 0.3:
                continue
            # The cluster may still be at work for a run that is dead, while the next one is under way.
            at_work = struck_on_cluster and random_.random() < 0.5
            if cluster and struck_on_cluster and not at_work:
                settled(cluster)
            ended = run(place, Plan(scheduler=scheduler), forget)
        assert not ended.killed
        if not forget and plan.how == "kernel":
            work[scheduler] = max(work[scheduler] * 0.9, ended.seconds)
        assert_complete(place, feed)
        if cluster and at_work:
            settled(cluster)
        else:
            assert_no_debris(place, feed)
        feed.completed()
        in_a_row, forget, going, possible = 0, [], {}, [answer(feed.contributions).board]
        struck_on_cluster = at_work = False
    timed = {struck_at: count for struck_at, count in struck.items() if struck_at.startswith("at a random time")}
    named = {struck_at: count for struck_at, count in struck.items() if struck_at not in timed}
    print(f"\n{struck.total()} kills, losses 0: {told(timed)}; {told(named)}")


def told(struck: dict[str, int]) -> str:
    return f"{sum(struck.values())} ({', '.join(f'{place} {count}' for place, count in sorted(struck.items()))})"
