"""Us and what a user would write instead, in turn, on the same data: times, memory, and whether the answers are right.

    uv run --group bench python -m benchmarks --sizes 1M,10M --output results.json --output results.md --chart r.svg

P1 bare leaderboard from CSV; P2 whole chain with warehouse; P3 increments; P4 scaling from each size to the next; P5
another leaderboard after a build; P6 many drops; P7 the generator; P9 dialects. 10M takes 3 GB in --work, 100M 30 GB.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks import bare, chain, deltas, dialects, generation, lookup, many_drops, scaling
from benchmarks.contest import Contest, Context
from benchmarks.report import Report, markdown, this_machine, write_report

GROUPS: dict[str, Callable[[Context], Iterator[Contest]]] = {
    "P1": bare.contests,
    "P2": chain.contests,
    "P3": deltas.contests,
    "P4": scaling.contests,
    "P5": lookup.contests,
    "P6": many_drops.contests,
    "P7": generation.contests,
    "P9": dialects.contests,
}


def sizes(text: str) -> list[int]:
    """Numbers of records, as in ``250k,10M``."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)([kM]?)", part.strip())
        if match is None or not int(match[1]):
            raise argparse.ArgumentTypeError(f"{part!r} is no number of records such as 250k or 10M")
        found.append(int(match[1]) * {"": 1, "k": 10**3, "M": 10**6}[match[2]])
    return sorted(found)


def groups(text: str) -> list[str]:
    """Names of groups, as in ``P1,P7``."""
    chosen = [part.strip().upper() for part in text.split(",")]
    if unknown := [name for name in chosen if name not in GROUPS]:
        raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}; there are {', '.join(GROUPS)}")
    return chosen


def output(text: str) -> Path:
    """A file for the report, refused before hours are spent where its kind is unknown."""
    if Path(text).suffix not in {".json", ".md"}:
        raise argparse.ArgumentTypeError(f"{text}: name a file that ends in .json or .md")
    return Path(text)


def at_least_one(text: str) -> int:
    """A number of rounds."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} must be 1 or more")
    return int(text)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=sizes, default="1M,10M", help="records; default: 1M,10M")
    parser.add_argument("--only", type=groups, default=",".join(GROUPS), help="groups, such as P1,P7; default: all")
    parser.add_argument("--repeats", type=at_least_one, default=5, help="rounds, after one that does not count")
    parser.add_argument("--work", type=Path, help="where to keep the data for the next time; default: not at all")
    parser.add_argument("--output", type=output, action="append", default=[], help=".json or .md; may be repeated")
    parser.add_argument("--chart", type=Path, help="where to draw the chart, as .svg")
    return parser


def main() -> int:
    """Measure, print, write; 1 where an answer was wrong."""
    parser = _arguments()
    options = parser.parse_args()
    if options.chart and not find_spec("altair"):
        parser.error("--chart needs the group bench: uv run --group bench python -m benchmarks …")
    machine = this_machine(sys.argv[1:])
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        # Beside the data: builds link them instead of copying.
        with tempfile.TemporaryDirectory(dir=work, prefix="scratch-") as scratch:
            context = Context(options.sizes, options.repeats, work, Path(scratch))
            report = Report(machine, [])
            for name in options.only:
                for contest in GROUPS[name](context):
                    report.contests.append(contest)
                    # As it goes: an hour's measurements should not be lost to what comes last.
                    for path in options.output:
                        write_report(report, path)
    print(markdown(report))
    if options.chart:
        from benchmarks.chart import chart

        chart(report).save(options.chart)
    return int(any(contest.faults for contest in report.contests))


if __name__ == "__main__":
    sys.exit(main())
