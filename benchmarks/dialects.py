"""P9: what a dialect costs: the same records with semicolons and epoch milliseconds, and in UTF-16."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from benchmarks.bare import answered
from benchmarks.contest import Contender, Contest, Context, Run, Verdict, in_turn
from benchmarks.datasets import Dataset, dataset, size_text
from benchmarks.processes import module

DEFAULT, SEMICOLONS, UTF_16 = "default dialect", "semicolons and epoch milliseconds", "UTF-16"
LIMITS = {SEMICOLONS: 1.05, UTF_16: 2.0}
ENTRIES = """
[[supplier]]
name = "semicolons"
drops = ["semicolons.csv"]
delimiter = ";"
[supplier.time]
formats = ["epoch_ms"]

[[supplier]]
name = "utf-16"
drops = ["utf-16.csv"]
encoding = "utf-16-le"
"""


def contests(context: Context) -> Iterator[Contest]:
    """A contest for each size."""
    for records in context.sizes:
        yield dialects(dataset(context.work, records, visits=True), context.scratch, context.repeats)


def dialects(data: Dataset, scratch: Path, repeats: int) -> Contest:
    """The inspector on the same records, written in three ways."""
    root = scratch / "suppliers"
    root.mkdir(parents=True, exist_ok=True)
    (root / "suppliers.toml").write_text(ENTRIES, encoding="utf-8")
    files = {DEFAULT: data.file, SEMICOLONS: root / "semicolons.csv", UTF_16: root / "utf-16.csv"}
    _write_semicolons(data.file, files[SEMICOLONS])
    with data.file.open(encoding="utf-8") as source, files[UTF_16].open("w", encoding="utf-16-le") as target:
        while piece := source.read(1 << 24):
            target.write(piece)
    contenders = [
        Contender(name, _inspector(file, root, scratch / "uda.csv", data), ours=True) for name, file in files.items()
    ]
    contest = in_turn("P9", f"Dialects, {data.title}", contenders, repeats)
    default = contest.rows[0]
    for row in contest.rows[1:]:
        ratios = [one.seconds / plain.seconds for one, plain in zip(row.runs, default.runs, strict=True)]
        promise = f"{size_text(data.records)} records, {row.name}: at most {LIMITS[row.name]}x the default dialect"
        contest.verdicts.append(Verdict(promise, statistics.median(ratios), LIMITS[row.name]))
    for file in (files[SEMICOLONS], files[UTF_16]):
        file.unlink()
    return contest


def _inspector(file: Path, root: Path, out: Path, data: Dataset) -> Callable[[], Run]:
    command = module("uda_assets", "inspector", "--data-root", root, "--filepath", file, "--n", 50, "--output", out)
    return lambda: answered(command, out, data)


def _write_semicolons(source: Path, target: Path) -> None:
    at = pl.col("activity_time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms")
    records = pl.scan_csv(source, infer_schema=False).with_columns(at.dt.epoch("ms").alias("activity_time"))
    records.sink_csv(target, separator=";", maintain_order=True)
