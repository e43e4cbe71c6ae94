"""Any sequence of deliveries, corrections, removals, crashes and reruns ends in what a recomputation would give.

The oracle knows only what each drop holds and which aliases were in force when it was converted; it is plain Python.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from distributed import Client
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from uda_assets.basics.settings import load_settings
from uda_assets.engines import Engine
from uda_assets.engines.dask import DaskEngine
from uda_assets.lake import Lake
from uda_assets.pipeline import units
from uda_assets.pipeline.status import Status
from uda_assets_tests.support.chain import build, dying, forget, statuses
from uda_assets_tests.support.cluster import cluster_of_processes, in_process_client, settle

# UDA_TEST_SEQUENCES=150 is the recorded run: 300 sequences, half of them with files merged early.
SEQUENCES = int(os.environ.get("UDA_TEST_SEQUENCES", "12"))
START = datetime(2026, 1, 1, tzinfo=UTC)
N = 3


class Record(NamedTuple):
    """A record as the oracle sees it; a minute of None makes it malformed."""

    user: str
    session: str
    platform: str
    minute: int | None

    def line(self) -> str:
        moment = "never" if self.minute is None else f"{START + timedelta(minutes=self.minute):%Y-%m-%dT%H:%M:%SZ}"
        return f"{self.user},{self.session},{self.platform},{moment},view\n"


records = st.lists(
    st.builds(
        Record,
        user=st.sampled_from(["u1", "u2", "u3", "u'4"]),
        session=st.sampled_from(["s1", "s2", "s3"]),
        platform=st.sampled_from(["iOS", "web", "tv", "Android"]),
        minute=st.sampled_from([0, 1, 2, 3, 4, 5, None]),
    ),
    max_size=8,
)
names = st.sampled_from(["a.csv", "b.csv", "sub/c.csv", "d 'x'.csv"])


class Committed(NamedTuple):
    """What the oracle takes a drop to have contributed."""

    kept: list[Record]
    total: int


Sessions = dict[tuple[str, str, str], tuple[datetime, datetime, int]]


class Deliveries(RuleBasedStateMachine):
    """The program beside the oracle; subclasses say by which engine, and over how many buckets of users."""

    buckets = 0
    engine: Engine | None = None

    @initialize()
    def start(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="uda-increments-"))
        (self.root / "datasets/sub").mkdir(parents=True)
        self.settings = load_settings(
            {}, data_root=str(self.root), n=N, threads=2, lock_timeout=0, buckets=self.buckets
        )
        self.lake = Lake(self.root)
        self.sources: dict[str, list[Record]] = {}
        self.forgotten: dict[str, list[Record]] = {}
        self.committed: dict[str, Committed] = {}
        self.aliases: dict[str, str] = {}

    # -- what happens ----------------------------------------------------------------------------------------------

    @rule(drop=names, content=records)
    def deliver(self, drop: str, content: list[Record]) -> None:
        temporary = self.root / "datasets/.coming"
        temporary.write_text(
            "user_id,session_id,platform,activity_time,activity_type\n" + "".join(r.line() for r in content)
        )
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

    @rule()
    def run(self) -> None:
        self._run()
        self._commit_in_the_oracle()
        self._compare()

    @rule(moments=st.integers(1, 30))
    def run_and_die(self, moments: int) -> None:
        self._dying(moments, self._run)
        self._still_readable()
        self.run()
        self._no_debris()

    @precondition(lambda self: self.committed)
    @rule(data=st.data(), moments=st.one_of(st.none(), st.integers(1, 30)))
    def forget(self, data: st.DataObject, moments: int | None) -> None:
        drop = data.draw(st.sampled_from(sorted(self.committed)))
        if moments:
            self._dying(moments, lambda: forget(self.lake, self.settings, drop, self.engine))
            self._still_readable()
        forgotten = self.lake.ledger.load().forgotten
        if drop not in forgotten:
            forget(self.lake, self.settings, drop, self.engine)
        self.committed.pop(drop)
        if drop in self.sources:
            self.forgotten[drop] = self.sources[drop]
        self.run()

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

    def _commit_in_the_oracle(self) -> None:
        for drop, content in self.sources.items():
            if self.forgotten.get(drop) == content:
                continue
            kept = [
                record._replace(platform=platform)
                for record in content
                if record.minute is not None and (platform := self._platform(record.platform))
            ]
            if len(content) and len(content) - len(kept) > len(content) / 2:
                continue
            self.committed[drop] = Committed(kept, len(content))
            self.forgotten.pop(drop, None)

    def _true_sessions(self) -> Sessions:
        times: dict[tuple[str, str, str], list[datetime]] = {}
        for drop in self.committed.values():
            for record in drop.kept:
                assert record.minute is not None
                moment = START + timedelta(minutes=record.minute)
                times.setdefault((record.platform, record.user, record.session), []).append(moment)
        return {key: (min(moments), max(moments), len(moments)) for key, moments in times.items()}

    def _true_counts(self) -> Counter[tuple[str, str]]:
        return Counter((platform, user) for platform, user, _ in self._true_sessions())

    def _true_board(self) -> list[list[str]]:
        rows, listed = [], Counter[str]()
        for (platform, user), count in sorted(
            self._true_counts().items(), key=lambda row: (row[0][0], -row[1], row[0][1])
        ):
            listed[platform] += 1
            if listed[platform] <= N:
                rows.append([platform, user, str(count)])
        return rows

    # -- comparing -------------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        with (self.root / "results/Result_top_n_by_platform.csv").open(newline="") as file:
            assert list(csv.reader(file))[1:] == self._true_board()
        with duckdb.connect(self.root / "uda.duckdb", read_only=True) as warehouse:
            rows = warehouse.execute(
                "SELECT platform, user_id, session_id, epoch_us(started_at), epoch_us(ended_at), events FROM sessions"
            ).fetchall()
            counts = warehouse.execute("SELECT platform, user_id, session_count FROM session_counts").fetchall()
        found = {(row[0], row[1], row[2]): (_moment(row[3]), _moment(row[4]), row[5]) for row in rows}
        assert found == self._true_sessions()
        assert len(rows) == len(found), "a session has one row"
        assert {(platform, user): count for platform, user, count in counts} == self._true_counts()
        ledger = statuses(self.lake, self.settings)
        accounts = {drop: (entry.records, entry.kept) for drop, entry in ledger.items() if drop in self.committed
                    and entry.status in {Status.COMMITTED, Status.VANISHED}}  # fmt: skip
        assert accounts.items() <= {drop: (made.total, len(made.kept)) for drop, made in self.committed.items()}.items()
        assert self.lake.converted.manifests().keys() == self.committed.keys()
        manifest = self.lake.merged.read()
        assert manifest is not None
        assert manifest.sessions == len(rows)
        assert manifest.records == sum(row[5] for row in rows)

    def _still_readable(self) -> None:
        if (self.root / "uda.duckdb").exists():
            with duckdb.connect(self.root / "uda.duckdb", read_only=True) as warehouse:
                warehouse.execute("SELECT count(*), sum(events) FROM sessions").fetchall()
                warehouse.execute("SELECT * FROM session_counts").fetchall()

    def _no_debris(self) -> None:
        hidden = [path for path in self.root.rglob(".*") if path.name.endswith(".tmp") or ".tmp." in path.name]
        assert not hidden
        assert not list((self.root / ".uda/staging").iterdir())
        manifest = self.lake.merged.read()
        assert manifest is not None
        on_disk = {str(path.relative_to(self.lake.sessions)) for path in self.lake.sessions.rglob("*.parquet")}
        assert on_disk <= {*manifest.paths(), *manifest.superseded}
        assert set(manifest.paths()) <= on_disk

    def teardown(self) -> None:
        if hasattr(self, "root"):
            shutil.rmtree(self.root)


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
