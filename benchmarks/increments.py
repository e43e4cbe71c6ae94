"""What a 1% drop, and a correction of it, cost beside a full build of the same data: one run, one table.

    uv run python -m benchmarks.increments --records 10000000

Everything runs in this process, without Dagster: catalogue, conversion, sessions, publishing; the checks of the chain
are timed beside it. At the end all is built anew in another data root, and the Result CSVs must be the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
from pathlib import Path

from benchmarks.builds import RESULT, Cost, build
from uda_assets.synthetic import GeneratorConfig, generate


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--work", type=Path, help="where to put the data; default: a temporary directory")
    parser.add_argument("--json", action="store_true", help="print the seconds as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as directory:
        root = Path(directory) / "data"
        drop = root / "datasets/one-percent.csv"
        generate(root / "datasets/history.csv", GeneratorConfig(records=options.records, seed=1))
        costs = {"full build": build(root)}
        generate(drop, GeneratorConfig(records=options.records // 100, seed=2))
        costs["a 1% drop"] = build(root)
        generate(drop, GeneratorConfig(records=options.records // 100, seed=3))
        costs["a correction of it"] = build(root)
        costs["nothing new"] = build(root)
        anew = Path(directory) / "anew"
        anew.mkdir()
        shutil.move(root / "datasets", anew / "datasets")
        build(anew)
        same = (root / RESULT).read_bytes() == (anew / RESULT).read_bytes()
    if options.json:
        print(json.dumps({"same": same, "costs": {name: cost._asdict() for name, cost in costs.items()}}))
    else:
        report(options.records, costs, same=same)


def report(records: int, costs: dict[str, Cost], *, same: bool) -> None:
    """Print the table."""
    full = costs["full build"]
    print(f"{records} records, {os.cpu_count()} cores; seconds, and the share of the full build's work")
    print("| | conversion | sessions | publishing | work | of the full build | checks |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, cost in costs.items():
        cells = [f"{seconds:.2f}" for seconds in cost]
        cells.insert(4, f"{cost.work / full.work:.1%}")
        print(f"| {name} | {' | '.join(cells)} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"Result CSV the same bytes as when all is built anew: {same}. Peak memory of the process: {peak:.0f} MiB.")


if __name__ == "__main__":
    main()
