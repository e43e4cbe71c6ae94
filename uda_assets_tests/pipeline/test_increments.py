"""Any sequence of deliveries, corrections, changed rules, crashes and reruns ends in what a recomputation would give.

The oracle knows only what each drop holds and which rules were in force when it was converted; it is plain Python.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec
import pytest
from distributed import Client
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from uda_assets.basics.settings import load_settings
from uda_assets.engines import Engine
from uda_assets.engines.dask import DaskEngine
from uda_assets.lake import Lake
from uda_assets.pipeline import day_ranking, units
from uda_assets.pipeline.days import publish_days
from uda_assets.pipeline.status import Status, waiting
from uda_assets.pipeline.verification import verify
from uda_assets_tests.support.chain import build, dying, forget, statuses
from uda_assets_tests.support.cluster import cluster_of_processes, in_process_client, settle

# UDA_TEST_SEQUENCES=150 is the recorded run: 300 sequences, half of them with files merged early.
SEQUENCES = int(os.environ.get("UDA_TEST_SEQUENCES", "12"))
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 24 * 60
N = 3
COLUMNS = ["user_id", "session_id", "platform", "activity_time", "activity_type"]


class Record(NamedTuple):
    """A record as the oracle sees it; a minute of None makes it malformed."""

    user: str
    session: str
    platform: str
    minute: int | None

    def fields(self) -> list[str]:
        moment = "never" if self.minute is None else f"{START + timedelta(minutes=self.minute):%Y-%m-%dT%H:%M:%SZ}"
        return [self.user, self.session, self.platform, moment, "view"]


class Delivery(NamedTuple):
    """What a supplier delivers: records, with what stands between their fields."""

    records: list[Record]
    delimiter: str = ","

    def text(self) -> str:
        return "".join(f"{self.delimiter.join(row)}\n" for row in [COLUMNS, *(one.fields() for one in self.records)])


records = st.lists(
    st.builds(
        Record,
        user=st.sampled_from(["u1", "u2", "u3", "u'4"]),
        session=st.sampled_from(["s1", "s2", "s3"]),
        platform=st.sampled_from(["iOS", "iOS", "web", "Android", "tv"]),
        # The last minute of the first day, and the first one of the next, are two of them.
        minute=st.sampled_from([0, 1, 2, DAY - 1, DAY, DAY + 3, 3 * DAY, None]),
    ),
    max_size=8,
)
deliveries = st.builds(Delivery, records, st.sampled_from([",", ",", ",", ";"]))
NAMES = ["a.csv", "b.csv", "sub/c.csv", "d 'x'.csv"]
names = st.sampled_from(NAMES)
entries = st.tuples(st.sampled_from(["sub/*", "a.csv", "d 'x'.csv"]), st.sampled_from([";", ";", ","]))
exclusions = st.sampled_from(["", "", "u1", "u?", "u[12], u'*", "*3"])
days = st.integers(0, 4).map(lambda number: START.date() + timedelta(days=number))
"""One more than there are in records: nobody has sessions on the last one, nor on the third."""


class Committed(NamedTuple):
    """What the oracle takes a drop to have contributed, and from which delivery."""

    source: Delivery
    kept: list[Record]


class Rule(NamedTuple):
    """How many users a leaderboard lists for each platform, and which are left out."""

    n: int
    exclude_users: str

    def lists(self, user: str) -> bool:
        return not any(fnmatchcase(user, pattern.strip()) for pattern in self.exclude_users.split(","))


Sessions = dict[tuple[str, str, str], tuple[datetime, datetime, int]]
Board = list[list[str]]


class Deliveries(RuleBasedStateMachine):
    """The program beside the oracle; subclasses say by which engine, and over how many buckets of users."""

    buckets = 0
    engine: Engine | None = None

    @initialize(first=st.fixed_dictionaries(dict.fromkeys(NAMES, deliveries)))
    def start(self, first: dict[str, Delivery]) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="uda-increments-"))
        (self.root / "datasets/sub").mkdir(parents=True)
        self.settings = load_settings(
            {}, data_root=str(self.root), n=N, threads=2, lock_timeout=0, settle_seconds=0, buckets=self.buckets
        )
        self.lake = Lake(self.root)
        self.sources: dict[str, Delivery] = {}
        self.forgotten: dict[str, Delivery] = {}
        self.committed: dict[str, Committed] = {}
        self.aliases: dict[str, str] = {}
        self.entry: tuple[str, str] | None = None
        self.ran_by = Rule(N, "")
        self.chosen: dict[date, Rule] = {}
        self.days: set[date] = set()
        for drop, content in first.items():
            self.deliver(drop, content)

    # -- what happens ----------------------------------------------------------------------------------------------

    @rule(drop=names, content=deliveries)
    def deliver(self, drop: str, content: Delivery) -> None:
        temporary = self.root / "datasets/.coming"
        temporary.write_text(content.text())
        temporary.replace(self.root / "datasets" / drop)
        self.sources[drop] = content

    @rule(drop=names, other=names)
    def deliver_a_copy(self, drop: str, other: str) -> None:
        if drop in self.sources:
            self.deliver(other, self.sources[drop])

    @rule(drop=names)
    def vanish(self, drop: str) -> None:
        (self.root / "datasets" / drop).unlink(missing_ok=True)
        self.sources.pop(drop, None)

    @rule(known=st.booleans())
    def change_aliases(self, known: bool) -> None:
        (self.root / "platforms.toml").write_text('[platforms]\nTV = ["tv"]\n' if known else "[platforms]\n")
        self.aliases = {"tv": "TV"} if known else {}

    @rule(entry=st.one_of(st.none(), entries, entries))
    def change_suppliers(self, entry: tuple[str, str] | None) -> None:
        file = self.root / "suppliers.toml"
        if entry:
            drops, delimiter = entry
            file.write_text(f'[[supplier]]\nname = "one"\ndrops = ["{drops}"]\ndelimiter = "{delimiter}"\n')
        else:
            file.unlink(missing_ok=True)
        self.entry = entry

    @rule(patterns=exclusions)
    def exclude_users(self, patterns: str) -> None:
        self.settings = msgspec.structs.replace(self.settings, exclude_users=patterns)

    @rule()
    def run(self) -> None:
        self._run()
        self._commit_in_the_oracle()
        self._compare()
        self._no_debris()

    @rule(moments=st.integers(1, 50))
    def run_and_die(self, moments: int) -> None:
        self._dying(moments, self._run)
        self._still_readable()
        self.run()
        assert not verify(self.lake, self.settings).damage

    @precondition(lambda self: self.committed)
    @rule(data=st.data(), moments=st.one_of(st.none(), st.integers(1, 30)))
    def forget(self, data: st.DataObject, moments: int | None) -> None:
        drop = data.draw(st.sampled_from(sorted(self.committed)))
        if moments:
            self._dying(moments, lambda: forget(self.lake, self.settings, drop, self.engine))
            self._still_readable()
        forgotten = self.lake.state().forgotten
        if drop not in forgotten:
            forget(self.lake, self.settings, drop, self.engine)
        self.forgotten[drop] = self.sources.get(drop, self.committed.pop(drop).source)
        self.run()

    @precondition(lambda self: self.lake.state().publication)
    @rule(day=days, n=st.integers(1, 4), moments=st.one_of(st.none(), st.integers(1, 12)))
    def choose_n_for_a_day(self, day: date, n: int, moments: int | None) -> None:
        wanted = Rule(n, self.settings.exclude_users)

        def publish_it() -> None:
            with self.lake.writing(0):
                publish_days(self.lake, msgspec.structs.replace(self.settings, n=n), [day])

        if moments:
            self._dying(moments, publish_it)
            self._still_readable()
            published = self.lake.state().days.get(day)
            if published and published.chosen and Rule(*msgspec.structs.astuple(published.rule)) == wanted:
                self.chosen[day] = wanted
            # Its files may still have to be put in place, or it may not have been published at all.
            self.run()
        publish_it()
        self.chosen[day] = wanted
        self._compare_days()

    def _dying(self, moments: int, action: Callable[[], object]) -> None:
        dying(moments, action)
        self._settle()

    def _settle(self) -> None:
        """Wait for what goes on although the program died, as tasks of a cluster do."""

    def _run(self) -> None:
        build(self.lake, self.settings, self.engine)

    # -- the oracle ------------------------------------------------------------------------------------------------

    def _platform(self, spelling: str) -> str | None:
        return {"iOS": "iOS", "web": "Web", "Android": "Android"}.get(spelling) or self.aliases.get(spelling)

    def _delimiter(self, drop: str) -> str:
        return self.entry[1] if self.entry and fnmatchcase(drop, self.entry[0]) else ","

    def _read(self, drop: str, source: Delivery) -> Committed | None:
        """What a drop contributes under the rules in force; None if it is rejected whole."""
        if source.delimiter != self._delimiter(drop):
            return None  # Its header names no column.
        kept = [
            record._replace(platform=platform)
            for record in source.records
            if record.minute is not None and (platform := self._platform(record.platform))
        ]
        total = len(source.records)
        return None if total - len(kept) > total / 2 else Committed(source, kept)

    def _is_forgotten(self, drop: str) -> bool:
        return drop not in self.committed and self.forgotten.get(drop) == self.sources[drop]

    def _commit_in_the_oracle(self) -> None:
        self.ran_by = Rule(N, self.settings.exclude_users)
        for drop, source in self.sources.items():
            if not self._is_forgotten(drop) and (made := self._read(drop, source)):
                self.committed[drop] = made
                self.forgotten.pop(drop, None)

    def _true_statuses(self) -> dict[str, Status]:
        found = dict.fromkeys(self.forgotten.keys() - self.committed.keys(), Status.FORGOTTEN)
        found |= dict.fromkeys(self.committed, Status.VANISHED)
        for drop, source in self.sources.items():
            if not self._is_forgotten(drop):
                found[drop] = Status.COMMITTED if self._read(drop, source) else Status.REJECTED
        return found

    def _true_sessions(self) -> Sessions:
        times: dict[tuple[str, str, str], list[datetime]] = {}
        for drop in self.committed.values():
            for record in drop.kept:
                assert record.minute is not None
                moment = START + timedelta(minutes=record.minute)
                times.setdefault((record.platform, record.user, record.session), []).append(moment)
        return {key: (min(moments), max(moments), len(moments)) for key, moments in times.items()}

    def _true_days(self) -> dict[date, Board]:
        """The leaderboards of all days that ever had sessions, and of those that a person chose."""
        starts = {session: began.date() for session, (began, _, _) in self._true_sessions().items()}
        self.days |= set(starts.values())
        return {
            day: ranked((session for session, began in starts.items() if began == day), self._rule_of(day))
            for day in sorted(self.days | self.chosen.keys())
        }

    def _rule_of(self, day: date) -> Rule:
        return self.chosen.get(day, self.ran_by)

    # -- comparing -------------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        true, by = self._true_sessions(), self.ran_by
        assert read_csv(self.root / "results/Result_top_n_by_platform.csv") == ranked(true, by)
        with duckdb.connect(self.root / "uda.duckdb", read_only=True) as warehouse:
            rows = warehouse.execute(
                "SELECT platform, user_id, session_id, epoch_us(started_at), epoch_us(ended_at), events FROM sessions"
            ).fetchall()
            counts = warehouse.execute("SELECT platform, user_id, session_count FROM session_counts").fetchall()
            excluded = warehouse.execute("SELECT platform, user_id, session_count FROM excluded_users").fetchall()
        found = {(row[0], row[1], row[2]): (_moment(row[3]), _moment(row[4]), row[5]) for row in rows}
        assert found == true
        assert len(rows) == len(found), "a session has one row"
        counted = Counter((platform, user) for platform, user, _ in true)
        assert {(platform, user): count for platform, user, count in counts} == counted
        assert len(excluded) == len({row[:2] for row in excluded}), "a user is left out once"
        assert {row[:2]: row[2] for row in excluded} == {
            (platform, user): count for (platform, user), count in counted.items() if not by.lists(user)
        }
        ledger = statuses(self.lake, self.settings)
        assert {drop: entry.status for drop, entry in ledger.items()} == self._true_statuses()
        accounts = {drop: (entry.records, entry.kept) for drop, entry in ledger.items() if drop in self.committed}
        assert accounts == {
            drop: (len(made.source.records), len(made.kept)) for drop, made in self.committed.items()
        }  # fmt: skip
        state = self.lake.state()
        assert state.drops.keys() == self.committed.keys()
        assert state.sessions is not None
        assert state.sessions.sessions == len(rows)
        assert state.sessions.records == sum(row[5] for row in rows)
        left = waiting(self.settings)
        assert (left.pending, left.unsettled, left.unpublished) == ([], [], False)
        self._compare_days()

    def _compare_days(self) -> None:
        true, prefix = self._true_days(), "Result_top_n_by_platform_"
        in_files = {
            date.fromisoformat(path.stem.removeprefix(prefix)): read_csv(path)
            for path in (self.root / "results/daily").glob("*.csv")
        }
        # A run that died may have published a day whose sessions are gone since.
        assert in_files == {day: [] for day in in_files} | true
        with duckdb.connect(self.root / "uda.duckdb", read_only=True) as warehouse:
            rows = warehouse.execute(
                "SELECT day, platform, user_id, session_count::VARCHAR FROM daily_top_n_by_platform "
                "ORDER BY day, platform, session_count DESC, user_id"
            ).fetchall()
        assert [(day, list(row)) for day, *row in rows] == [(day, row) for day in true for row in true[day]]

    def _still_readable(self) -> None:
        if (self.root / "uda.duckdb").exists():
            with duckdb.connect(self.root / "uda.duckdb", read_only=True) as warehouse:
                warehouse.execute("SELECT count(*), sum(events) FROM sessions").fetchall()
                warehouse.execute("SELECT * FROM session_counts").fetchall()
                warehouse.execute("SELECT * FROM quarantine").fetchall()

    def _no_debris(self) -> None:
        hidden = [path for path in self.root.rglob(".*") if path.name.endswith(".tmp") or ".tmp." in path.name]
        assert not hidden
        assert not list((self.root / ".uda/staging").glob("*"))
        assert len(list((self.root / ".uda/states").iterdir())) <= 3
        state, lake = self.lake.state(), self.lake
        assert state.sessions is not None
        counting = {lake.session_path(path) for path in state.sessions.paths()}
        counting |= {lake.session_path(file.path) for file in state.day_files()}
        counting |= {path for manifest in state.drops.values() for path in lake.paths_of(manifest)}
        on_disk = {
            lake.below(path)
            for directory in (lake.sessions, lake.parquets, lake.quarantine)
            for path in directory.rglob("*")
            if not path.is_dir()
        }
        assert counting <= on_disk
        assert on_disk - counting <= {*state.superseded, *state.outdated, "sessions/_manifest.json"}

    def teardown(self) -> None:
        if hasattr(self, "root"):
            shutil.rmtree(self.root)


def ranked(sessions: Iterable[tuple[str, str, str]], by: Rule) -> Board:
    """The leaderboard of some sessions."""
    counts = Counter((platform, user) for platform, user, _ in sessions if by.lists(user))
    rows, listed = [], Counter[str]()
    for (platform, user), count in sorted(counts.items(), key=lambda row: (row[0][0], -row[1], row[0][1])):
        listed[platform] += 1
        if listed[platform] <= by.n:
            rows.append([platform, user, str(count)])
    return rows


def read_csv(path: Path) -> Board:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


@pytest.mark.timeout(300 + 20 * SEQUENCES)
@pytest.mark.parametrize(
    ("segments", "buckets"), [(2, 0), (12, 0), (2, 3)], ids=["compacting", "few segments", "buckets"]
)
def test_any_sequence_equals_a_recomputation(segments: int, buckets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Here(Deliveries):
        pass

    Here.buckets = buckets
    _run(Here, segments, SEQUENCES, monkeypatch)


@pytest.mark.timeout(300 + 20 * SEQUENCES)
def test_any_sequence_equals_a_recomputation_on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    with in_process_client() as client:
        _run_on(client, monkeypatch)


@pytest.mark.heavy
@pytest.mark.timeout(300 + 40 * SEQUENCES)
def test_any_sequence_equals_a_recomputation_on_two_worker_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster_of_processes(tmp_path) as cluster, Client(cluster.address, set_as_default=False) as client:
        _run_on(client, monkeypatch)


def _run_on(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnACluster(Deliveries):
        def _settle(self) -> None:
            settle(client)

    OnACluster.buckets = 2
    # Drops of these sizes are converted in several parts.
    OnACluster.engine = DaskEngine(client, load_settings({}), range_bytes=150)
    _run(OnACluster, 2, max(1, SEQUENCES // 3), monkeypatch)


def _run(machine: type[Deliveries], segments: int, sequences: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "_MANY_SEGMENTS", segments)
    # Few users are kept beyond those of a leaderboard, so that they often do not suffice.
    monkeypatch.setattr(day_ranking, "_MOST_SPARE", 1)
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
