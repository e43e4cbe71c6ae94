"""The same drops by all ways to a leaderboard: one machine, a cluster, increments, single files; the same bytes.

What is accepted, the reference reader says; who ranks where, DuckDB says from that alone, and writes the bytes.
The recorded run, in which the cluster's workers are processes of their own:
``UDA_TEST_EXAMPLES=60 uv run pytest -n 0 -s -m heavy uda_assets_tests/pipeline/test_differential.py``.
"""

from __future__ import annotations

import gzip
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
import zstandard
from distributed import Client
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from uda_assets.basics.settings import load_settings
from uda_assets.cli.program import run as uda
from uda_assets.engines import Engine
from uda_assets.engines.dask import DaskEngine
from uda_assets.lake import open_lake
from uda_assets_tests.ingest.reference import Kept, read
from uda_assets_tests.ingest.strategies import mutated_files, valid_files
from uda_assets_tests.support import chain
from uda_assets_tests.support.chain import HEADER, record, settings_of, verify
from uda_assets_tests.support.cluster import cluster_of_processes, in_process_client

EXAMPLES = int(os.environ.get("UDA_TEST_EXAMPLES", "2"))
N = 3
RESULT = "results/Result_top_n_by_platform.csv"
NAMES = ["a.csv", "b.csv.gz", "sub/c.csv.zst", "sub/date=1/d.csv", "e '*'.csv.gz"]
PACK: Mapping[str, Callable[[bytes], bytes]] = {
    ".csv": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress
}  # fmt: skip


class Case(NamedTuple):
    """Drops by name, not yet compressed, and what chance decides about the order in which they come."""

    drops: dict[str, bytes]
    seed: int


def cases() -> st.SearchStrategy[Case]:
    # Quoted line ends inside fields and all faults there are; one in three is without any fault.
    files = st.one_of(mutated_files(), mutated_files(), valid_files())
    return st.builds(
        lambda contents, seed: Case(dict(zip(NAMES, contents, strict=False)), seed),
        st.lists(files, min_size=2, max_size=len(NAMES)),
        st.integers(0, 2**32),
    )


BOTH = HEADER + record("s1") + record("s2", "web", "a,b") + 'u1,"s\n1",ios,2026-01-01T00:00:00Z,view\n' + record("s1")
PLAIN = Case(
    {
        "a.csv": (BOTH + "short\nu1,s9,tv,2026-01-01T00:00:00Z,view\n").encode(),
        "b.csv.gz": (BOTH + 'u1,s3,ios,2026-01-01T00:00:00Z,"view').encode(),
        "sub/c.csv.zst": (HEADER + record("s4", "Android", "\u674e") + record("s5", user='say "hi"')).encode(),
        "sub/date=1/d.csv": (HEADER + record("s6") + "short\n" * 2).encode(),
        "e '*'.csv.gz": HEADER.replace("platform", "user_id").encode(),
    },
    7,
)
"""Drops that share sessions, one of them by half malformed, one without its column."""


# -- the oracle --------------------------------------------------------------------------------------------------------


def accepted(data: bytes) -> list[Kept] | None:
    """The records of a drop that count; None where it is rejected whole."""
    reading = read(data)
    if reading.rejection or len(reading.quarantined) > reading.records / 2:
        return None
    return reading.kept


def ranked(kept: Iterable[Kept], directory: Path) -> bytes:
    """The leaderboard of some records as DuckDB counts, ranks and writes it."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE records (platform VARCHAR, user_id VARCHAR, session_id VARCHAR)")
        rows = [(record.platform, record.user_id, record.session_id) for record in kept]
        if rows:
            connection.executemany("INSERT INTO records VALUES (?, ?, ?)", rows)
        connection.execute(
            f"""
            COPY (
                SELECT platform, user_id, count(DISTINCT session_id) AS session_count
                FROM records GROUP BY platform, user_id
                QUALIFY row_number() OVER (PARTITION BY platform ORDER BY session_count DESC, user_id) <= {N}
                ORDER BY platform, session_count DESC, user_id
            ) TO '{directory / "oracle.csv"}' (HEADER)"""
        )
    return (directory / "oracle.csv").read_bytes()


# -- the ways ----------------------------------------------------------------------------------------------------------


def deliver(root: Path, drop: str, data: bytes) -> None:
    target = root / "datasets" / drop
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(".coming")
    temporary.write_bytes(PACK[target.suffix](data))
    temporary.replace(target)


def build(root: Path, engine: Engine | None = None) -> bytes:
    chosen = settings_of(root, n=N)
    lake = open_lake(chosen)
    chain.build(lake, chosen, engine)
    verify(lake)
    return (root / RESULT).read_bytes()


def at_once(root: Path, drops: Mapping[str, bytes], engine: Engine | None = None) -> bytes:
    """All drops in one run."""
    for drop, data in drops.items():
        deliver(root, drop, data)
    return build(root, engine)


def by_and_by(root: Path, case: Case, good: set[str]) -> bytes:
    """Drops in random order and groups, some first with another's content, some gone once they are converted."""
    chance = random.Random(case.seed)
    order = chance.sample(sorted(case.drops), len(case.drops))
    (root / "datasets").mkdir(parents=True)
    # What is rejected would leave its first version's contribution.
    early = [drop for drop in order if drop in good and chance.random() < 0.5]
    for drop in early:
        deliver(root, drop, case.drops[chance.choice(order)])
    result = build(root) if early else b""
    while order:
        group = [order.pop() for _ in range(chance.randint(1, len(order)))]
        for drop in group:
            deliver(root, drop, case.drops[drop])
        result = build(root)
        for drop in group:
            if drop in good and chance.random() < 0.3:
                (root / "datasets" / drop).unlink()
    return build(root) if chance.random() < 0.3 else result


def inspected(path: Path, mode: str, directory: Path) -> bytes | None:
    """What `uda inspector` writes; None where it says that the data are at fault."""
    output = directory / "inspected.csv"
    output.unlink(missing_ok=True)
    code = uda(["inspector", "--filepath", str(path), "--mode", mode, "--n", str(N), "--output", str(output)])
    assert code == (0 if output.exists() else 1)
    return output.read_bytes() if output.exists() else None


def as_one_file(kept: Iterable[Kept], path: Path) -> Path:
    """Accepted records as a file that needs no judgement."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEADER)
        for one in kept:
            moment = one.activity_time.isoformat().replace("+00:00", "Z")
            fields = [one.user_id, one.session_id, one.platform, moment, one.activity_type]
            file.write(",".join('"' + field.replace('"', '""') + '"' for field in fields) + "\n")
    return path


# -- the comparison ----------------------------------------------------------------------------------------------------

seen: Counter[str] = Counter()


def compare(case: Case, engine: Engine) -> None:
    with tempfile.TemporaryDirectory(prefix="uda-ways-") as name:
        directory = Path(name)
        counting = {drop: accepted(data) for drop, data in case.drops.items()}
        good = {drop for drop, kept in counting.items() if kept is not None}
        kept = [record for records in counting.values() for record in records or []]
        truth = ranked(kept, directory)
        here, cluster = directory / "here", directory / "cluster"
        assert at_once(here, case.drops) == truth
        assert at_once(cluster, case.drops, engine) == truth
        assert by_and_by(directory / "increments", case, good) == truth
        assert inspected(as_one_file(kept, directory / "all.csv"), "csv", directory) == truth
        for root in (here, cluster):
            if kept:
                assert inspected(root / "dataset_parquets", "parquet", directory) == truth
        for drop, records in counting.items():
            alone = ranked(records, directory) if records is not None else None
            assert inspected(here / "datasets" / drop, "csv", directory) == alone
            for root in (here, cluster):
                converted = root / "dataset_parquets" / f"{drop}.parquet"
                assert converted.exists() == (records is not None)
                assert inspected(converted, "parquet", directory) == alone
        seen.update(sets=1, drops=len(counting), rejected=len(counting) - len(good), records=len(kept), ways=4)


def check(client: Client, examples: int) -> None:
    # Drops of these sizes are converted in several parts, and sessions are in two buckets a platform.
    engine = DaskEngine(client, load_settings({}), range_bytes=150)

    @given(case=cases())
    @example(case=PLAIN)
    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],  # to shrink a counterexample would take longer than a test may
    )
    def all_ways_lead_to_the_same_bytes(case: Case) -> None:
        compare(case, engine)

    seen.clear()
    all_ways_lead_to_the_same_bytes()
    assert seen["rejected"] < seen["drops"]
    assert seen["records"] > 0
    print(f"\n{dict(seen)}; differences: 0")


def test_all_ways_lead_to_the_same_bytes() -> None:
    with in_process_client() as client:
        check(client, EXAMPLES)


@pytest.mark.heavy
@pytest.mark.timeout(300 + 20 * EXAMPLES)
def test_all_ways_lead_to_the_same_bytes_on_worker_processes(tmp_path: Path) -> None:
    with cluster_of_processes(tmp_path) as cluster, Client(cluster.address, set_as_default=False) as client:
        check(client, EXAMPLES)
