"""Writers that deliver and correct drops, and readers that would notice a state that never was.

Each version of a drop tells which it is wherever one looks: its user has as many sessions on each of two platforms as
the version's number plus a few, the sessions' names have the number in them, and so has each malformed line. All that a
reader sees at once must be of one version of each drop, and never of an earlier one than he saw before.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from uda_assets.basics.settings import Settings, load_settings
from uda_assets.cli.program import run as program
from uda_assets.lake import open_lake
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.merging import merge_sessions
from uda_assets.pipeline.publishing import publish
from uda_assets.warehouse.database import open_published

HEADER = "user_id,session_id,platform,activity_time,activity_type\n"
PLATFORMS = ("iOS", "Web")
FEW = 3
DROPS_A_WRITER = 3
Versions = dict[str, int]


class Told(NamedTuple):
    """What a process has to tell at its end."""

    done: dict[str, int]
    failures: list[str]
    mixed: list[str]


def settings_of(root: Path) -> Settings:
    return load_settings({}, data_root=str(root), threads=1, lock_timeout=120, n=1000)


# -- writers -----------------------------------------------------------------------------------------------------------


def drops_of(writer: str) -> list[str]:
    return [f"{writer}{number}" for number in range(DROPS_A_WRITER)]


def deliver(root: Path, drop: str, version: int) -> None:
    """Put a version of a drop in place, whole; some of its records are those of another drop, too."""
    lines = [
        f"{drop},{drop}-{version}-{number},{platform},2026-01-0{1 + number % 9}T00:00:00Z,view\n"
        for platform in PLATFORMS
        for number in range(FEW + version)
    ]
    lines += [f"everyone,shared-{number},iOS,2026-01-01T00:00:0{version % 10}Z,view\n" for number in range(FEW)]
    lines += [f"{drop},malformed-{version}\n"] * (1 + version % 3)
    target = root / f"datasets/{drop}.csv"
    part = target.with_name(f".{drop}.part")
    part.write_text(HEADER + "".join(lines))
    part.replace(target)


def build(root: Path) -> None:
    """The steps of the chain, each with the lock for itself, as Dagster's assets have it."""
    settings = settings_of(root)
    lake = open_lake(settings)
    with open_run(lake, settings) as run:
        convert_pending(run)
    with open_run(lake, settings) as run:
        merge_sessions(run)
    with open_run(lake, settings) as run:
        publish(run)


def write(root: Path, writer: str, until: float) -> Told:
    """Deliver, correct and build until a moment (of the monotonic clock)."""
    told = Told(Counter(publications=0), [], [])
    chance = random.Random(writer)
    versions = dict.fromkeys(drops_of(writer), 0)
    while time.monotonic() < until and not told.failures:
        for drop in chance.sample(sorted(versions), chance.randint(1, 2)):
            versions[drop] += 1
            deliver(root, drop, versions[drop])
        try:
            build(root)
            told.done["publications"] += 1
        except Exception as error:
            told.failures.append(f"writer {writer}: {error!r}")
    return told


# -- readers -----------------------------------------------------------------------------------------------------------


class Mixed(Exception):
    """What is seen at once was never so."""


def require(holds: bool, what: object) -> None:
    if not holds:
        raise Mixed(str(what))


def versions_in(counts: Iterable[tuple[str, str, int]]) -> Versions:
    """Which version of each drop a leaderboard shows: the same on each platform."""
    found: dict[str, dict[str, int]] = {}
    for platform, user, count in counts:
        if user != "everyone":
            found.setdefault(user, {})[platform] = count - FEW
        else:
            require(count == FEW, f"everyone has {count}")
    for drop, versions in found.items():
        require(len(versions) == len(PLATFORMS) and len(set(versions.values())) == 1, f"{drop}: {versions}")
    return {drop: versions[PLATFORMS[0]] for drop, versions in found.items()}


def read_csv(root: Path) -> Versions:
    text = (root / "results/Result_top_n_by_platform.csv").read_text()
    rows = list(csv.reader(io.StringIO(text)))
    require(rows[0] == ["platform", "user_id", "session_count"], rows[0])
    return versions_in((platform, user, int(count)) for platform, user, count in rows[1:])


def read_parquet(root: Path) -> Versions:
    # Opened once: DuckDB's read_parquet opens a file twice, and another one can have taken its name in between.
    with (root / "results/Result_top_n_by_platform.parquet").open("rb") as file:
        rows = pq.read_table(file).to_pylist()
    return versions_in((row["platform"], row["user_id"], row["session_count"]) for row in rows)


def look_up(root: Path) -> Versions:
    """By the command that ranks what is committed, published or not."""
    out, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        code = program(["leaderboard", "--data-root", str(root), "--n", "1000", "--format", "json"])
    if code:
        raise RuntimeError(said.getvalue())
    return versions_in((row["platform"], row["user_id"], row["session_count"]) for row in json.loads(out.getvalue()))


def read_warehouse(root: Path) -> Versions:
    """All tables and views of one opened warehouse agree."""
    with open_published(root / "uda.duckdb") as warehouse:
        warehouse.execute("SET threads = 1")
        ask = warehouse.execute
        board = versions_in(ask("FROM top_n_by_platform").fetchall())
        counts = versions_in(ask("SELECT platform, user_id, session_count FROM session_counts").fetchall())
        sessions = ask("SELECT platform, user_id, session_id FROM sessions").fetchall()
        drops = ask("SELECT split_part(drop, '.', 1), kept, quarantined FROM drops").fetchall()
        malformed = ask("SELECT split_part(drop, '.', 1), raw FROM quarantine").fetchall()
    require(counts == board, f"session_counts {counts}, leaderboard {board}")
    require(versions_in(_counted(sessions)) == board, "sessions differ from the leaderboard")
    named = {(user, int(session.split("-")[1])) for _, user, session in sessions if user != "everyone"}
    require(named == set(board.items()), f"sessions of {sorted(named)}, leaderboard {board}")
    for drop, kept, _ in drops:
        require(kept == FEW + len(PLATFORMS) * (FEW + board[drop]), f"{drop}: {kept} records, version {board[drop]}")
    lines = Counter((drop, int(raw.rpartition("-")[2])) for drop, raw in malformed)
    expected = Counter({(drop, version): 1 + version % 3 for drop, version in board.items()})
    require(lines == expected, f"quarantine {lines}, leaderboard {board}")
    require({drop: count for drop, _, count in drops} == {drop: 1 + v % 3 for drop, v in board.items()}, drops)
    return board


def _counted(sessions: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, int]]:
    return [(*key, count) for key, count in Counter((platform, user) for platform, user, _ in sessions).items()]


READS: list[Callable[[Path], Versions]] = [read_warehouse, read_csv, look_up, read_warehouse, read_parquet]


def read(root: Path, number: int, until: float) -> Told:
    """Read in one way after the other until a moment."""
    told = Told(Counter(), [], [])
    seen: dict[str, Versions] = {}
    turn = number
    while time.monotonic() < until:
        way = READS[turn % len(READS)]
        turn += 1
        try:
            found = way(root)
            earlier = seen.get(way.__name__, {})
            back = {drop: (earlier[drop], found.get(drop)) for drop in earlier if found.get(drop, -1) < earlier[drop]}
            require(not back, f"went back: {back}")
            seen[way.__name__] = found
        except Mixed as fault:
            told.mixed.append(f"{way.__name__}: {fault}")
        except Exception as error:
            told.failures.append(f"{way.__name__}: {error!r}")
        told.done[way.__name__] = told.done.get(way.__name__, 0) + 1
    return told
