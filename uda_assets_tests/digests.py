"""Record what the program produces, and compare it with an earlier record: a restructuring must change nothing.

``uv run python -m uda_assets_tests.digests --output digests.json`` records; ``--compare digests.json`` records anew,
names each difference and exits with 1 if there is one; ``--checkout DIR`` runs the code of another checkout on the same
inputs. The program is driven through its commands alone, so that this script is the same before and after a change.

A record maps the name of each output to its rows as sorted texts: short ones in full, so that a difference can be read,
long ones and whole files as digests.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from random import Random

import duckdb
import polars as pl

from uda_assets_tests.corpus.pollutions import corpus

HERE = Path(__file__).resolve().parents[1]
SAMPLE = HERE / "data/datasets/sample.csv"
RESULT = "results/Result_top_n_by_platform.csv"
RELATIONS = {
    "top_n_by_platform": "*",
    "sessions": "*",
    "session_counts": "*",
    # Only the code of a reason: its explanation may be worded differently.
    "drops": "* EXCLUDE (converted_at, fingerprint) REPLACE (split_part(reason, ':', 1) AS reason)",
    "quarantine": "*",
    "rank_movement": "*",
}
LONGEST = 300
"""Rows with longer texts are digested."""
SHOWN = 10
"""Rows of each output that are named at most when they differ."""
HEADER = "user_id,session_id,platform,activity_time,activity_type"
PLATFORMS = ("iOS", "android", " WEB ", "iphone os", "tv", "iOS", "Android", "Web")
MALFORMED = ("", 'u1,"s1', "u1,s1,iOS", "u1,,iOS,2026-01-05T00:00:00Z,view", "u1,s1,Web,yesterday,view")

Record = dict[str, list[str]]


class Case:
    """A data root on which commands are run, and the record of what they made."""

    def __init__(self, name: str, checkout: Path, directory: Path) -> None:
        self.name = name
        self.root = directory / name
        self.datasets = self.root / "datasets"
        self.datasets.mkdir(parents=True)
        self.record: Record = {}
        self._checkout = checkout

    def deliver(self, name: str, data: bytes) -> Path:
        """Put a file below ``datasets/``, and its digest on record: other inputs would explain other outputs."""
        path = self.datasets / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.record.setdefault(f"{self.name}: inputs", []).append(f"{name} {digest(data)}")
        return path

    def materialize(self, step: str, **settings: str) -> None:
        """Make the leaderboard, and record all outputs."""
        command = ("dagster", "asset", "materialize", "-m", "uda_assets.definitions", "--select", "+top_n_by_platform")
        self.run(step, *command, **settings)
        self.take_outputs(step)

    def run(self, step: str, *command: str, **settings: str) -> bytes:
        """Run ``python -m COMMAND``, record its exit code, and return what it printed."""
        ended = subprocess.run(
            [interpreter(self._checkout), "-m", *command],
            cwd=self._checkout,
            env=environment() | settings | {"UDA_DATA_ROOT": str(self.root)},
            capture_output=True,
            check=False,
        )
        if ended.returncode:
            print(
                f"{self.name}, {step}: {' '.join(command)}:",
                ended.stderr.decode(errors="replace")[-2000:],
                file=sys.stderr,
            )
        self.record[f"{self.name}, {step}: exit code"] = [str(ended.returncode)]
        return ended.stdout

    def take_outputs(self, step: str) -> None:
        """Record the result, the relations of the warehouse and the converted drops."""
        self.take_bytes(f"{step}: {RESULT}", (self.root / RESULT).read_bytes())
        with duckdb.connect(self.root / "uda.duckdb", read_only=True) as warehouse:
            warehouse.execute("SET TimeZone = 'UTC'")
            for relation, columns in RELATIONS.items():
                table = warehouse.sql(f"SELECT {columns} FROM {relation}").pl()
                self.record[f"{self.name}, {step}: {relation}"] = sorted(rows(table))
        self.record[f"{self.name}, {step}: dataset_parquets"] = sorted(self._converted())

    def take_bytes(self, output: str, data: bytes) -> None:
        """Record bytes as their digest and their lines."""
        self.record[f"{self.name}, {output}"] = [digest(data), *map(shortened, data.decode().splitlines())]

    def _converted(self) -> Iterator[str]:
        """The rows of each drop's part files, each after its drop and platform."""
        parts = self.root / "dataset_parquets"
        for part in parts.glob("**/platform=*/part*.parquet"):
            place = part.parent.relative_to(parts)
            yield from (f"{place} {row}" for row in rows(pl.read_parquet(part, hive_partitioning=False)))


def interpreter(checkout: Path) -> str:
    """The Python that has the dependencies of a checkout."""
    return sys.executable if checkout == HERE else str(checkout / ".venv/bin/python")


def environment() -> dict[str, str]:
    """The environment without what would configure the program."""
    ours = ("UDA_", "DAGSTER_", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def digest(data: bytes) -> str:
    return f"sha256 {hashlib.sha256(data).hexdigest()}"


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:100]}... {digest(text.encode())}"


def rows(table: pl.DataFrame) -> Iterator[str]:
    """The columns of a table with their types, then its rows, as texts."""
    yield "columns " + ", ".join(f"{name} {kind}" for name, kind in table.schema.items())
    for row in table.iter_rows():
        yield shortened(json.dumps(row, default=str, ensure_ascii=False))


# -- inputs ----------------------------------------------------------------------------------------------------------


def activity(seed: int, records: int = 400) -> bytes:
    """A drop with sessions that other drops have too, repeated records, unknown platforms and malformed records."""
    random = Random(seed)
    lines = [HEADER]
    for _ in range(records):
        lines.append(random.choice(MALFORMED) if random.random() < 0.03 else _line(random))
        if random.random() < 0.05:
            lines.append(random.choice(lines[1:]))
    return "\n".join(lines).encode()


def _line(random: Random) -> str:
    user, session = random.randrange(40), int(random.triangular(0, 30, 0))
    platform = PLATFORMS[(user + session) % len(PLATFORMS)]
    time = f"2026-01-{random.randint(1, 28):02}T{random.randrange(24):02}:00:00.{random.randrange(1000):03}+01:00"
    return f"user {user},s{user}-{session},{platform},{time},view"


def polluted(case: Case, every: int) -> None:
    """Put each so-many-th file of the corpus into the data root."""
    for number, file in enumerate(islice(corpus(), 0, None, every)):
        case.deliver(f"{file.kind}/{number}{file.suffix}", file.data)


def several(case: Case) -> None:
    """Drops that were made here, and one of the program's generator."""
    for seed in (1, 2, 3):
        case.deliver(f"made-{seed}.csv", activity(seed))
    case.deliver("packed/made.csv.gz", gzip.compress(activity(4, 3000), mtime=0))
    generated = case.root / "generated.csv"
    options = ("--n", "20000", "--users", "500", "--seed", "7", "--malformed-ratio", "0.02", "--shuffled")
    case.run("generated", "uda_assets", "generator", "--filepath", str(generated), *options)
    case.deliver("generated.csv", generated.read_bytes())


# -- cases -----------------------------------------------------------------------------------------------------------


def sample(case: Case) -> None:
    case.deliver(SAMPLE.name, SAMPLE.read_bytes())
    case.materialize("first run")
    case.materialize("run again with another N", UDA_N="5")


def polluted_files(case: Case) -> None:
    polluted(case, every=40)
    case.materialize("as by default")


def polluted_files_all_kept(case: Case) -> None:
    polluted(case, every=40)
    case.materialize("no drop rejected for its records", UDA_MAX_REJECT_RATIO="1")


def polluted_files_by_dask(case: Case) -> None:
    polluted(case, every=400)
    case.materialize("as by default", UDA_ENGINE="dask", UDA_DASK_WORKERS="2")


def increments(case: Case) -> None:
    for name, seed in {"a.csv": 11, "b.csv": 12, "supplier/c.csv": 13}.items():
        case.deliver(name, activity(seed))
    case.materialize("1 first drops")
    case.deliver("d.csv.gz", gzip.compress(activity(14), mtime=0))
    case.deliver("a-again.csv", activity(11))
    case.materialize("2 more drops, one of them twice")
    case.deliver("b.csv", activity(15, 300))
    case.materialize("3 correction")
    (case.root / "platforms.toml").write_text('[platforms]\niOS = ["iphone os"]\n"Smart TV" = ["tv"]\n')
    case.materialize("4 alias and new platform")
    (case.datasets / "d.csv.gz").unlink()
    case.materialize("5 vanished file")
    case.run("6 forgotten", "uda_assets", "forget", "supplier/c.csv")
    case.take_outputs("6 forgotten")
    case.materialize("7 after forgetting")
    case.deliver("supplier/c.csv", activity(16))
    case.materialize("8 other content of the forgotten drop")


def by_polars(case: Case) -> None:
    several(case)
    case.materialize("converted by polars")
    inspect(case, "--n", "7")
    inspect(case, "--since", "2026-01-10", "--until", "2026-01-20")


def by_dask(case: Case) -> None:
    several(case)
    case.materialize("converted by dask", UDA_ENGINE="dask", UDA_DASK_WORKERS="2")


def inspect(case: Case, *options: str) -> None:
    """Inspect a drop as its file and as what it was converted to."""
    paths = {"csv": "datasets/generated.csv", "parquet": "dataset_parquets/generated.csv.parquet"}
    for mode, path in paths.items():
        step = f"inspector of {mode} {' '.join(options)}"
        command = ("inspector", "--mode", mode, "--filepath", str(case.root / path), "--format", "csv", *options)
        case.take_bytes(f"{step}: printed", case.run(step, "uda_assets", *command))


# The longest first.
CASES: tuple[Callable[[Case], None], ...] = (
    increments, polluted_files, polluted_files_all_kept, by_polars, by_dask, polluted_files_by_dask, sample,
)  # fmt: skip


# -- recording and comparing -----------------------------------------------------------------------------------------


def record_of(checkout: Path, cases: Iterable[Callable[[Case], None]] = CASES) -> Record:
    """What the code of a checkout produces, two cases at a time."""
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(2) as pool:

        def recorded(run: Callable[[Case], None]) -> Record:
            case = Case(run.__name__, checkout, Path(directory))
            run(case)
            shutil.rmtree(case.root)
            return case.record

        return {output: texts for record in pool.map(recorded, cases) for output, texts in record.items()}


def differences(before: Record, now: Record) -> Iterator[str]:
    """Each output that differs, with the rows that it lost and gained."""
    for output in sorted(before.keys() | now.keys()):
        if output not in now or output not in before:
            yield f"{output}: {'only before' if output in before else 'only now'}"
        elif before[output] != now[output]:
            yield f"{output}: {len(before[output])} rows before, {len(now[output])} now"
            yield from _named("-", Counter(before[output]) - Counter(now[output]))
            yield from _named("+", Counter(now[output]) - Counter(before[output]))


def _named(sign: str, changed: Counter[str]) -> Iterator[str]:
    texts = list(changed.elements())
    yield from (f"  {sign} {text}" for text in texts[:SHOWN])
    if len(texts) > SHOWN:
        yield f"  {sign} and {len(texts) - SHOWN} more"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, help="write the record to this file")
    parser.add_argument("--compare", type=Path, help="name the differences to this earlier record")
    parser.add_argument("--checkout", type=Path, default=HERE, help="whose code is run; default: this one's")
    options = parser.parse_args()
    if not (options.output or options.compare):
        parser.error("one of --output and --compare is needed")
    before: Record | None = json.loads(options.compare.read_text()) if options.compare else None
    now = record_of(options.checkout.resolve())
    if options.output:
        options.output.write_text(json.dumps(now, indent=0))
    if before is None:
        return 0
    found = list(differences(before, now))
    print(*found or [f"no difference in {len(now)} outputs"], sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
