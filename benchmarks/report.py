"""What is said of the contests: as JSON to keep, and as Markdown to read."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from benchmarks.contest import Contest, Row, Run, Verdict
from benchmarks.processes import PROJECT

PACKAGES = ("uda-assets", "duckdb", "polars", "pyarrow", "chdb", "pandas", "dagster")


class Machine(msgspec.Struct):
    """Where and when it was measured, and with what."""

    command: str
    commit: str
    cores: int
    processor: str
    memory: str
    system: str
    load: float
    began: str
    versions: dict[str, str]


class Report(msgspec.Struct):
    """All of one run."""

    machine: Machine
    contests: list[Contest]


def read_report(path: Path) -> Report:
    """A report that was written as JSON."""
    return msgspec.json.decode(path.read_bytes(), type=Report)


def write_report(report: Report, path: Path) -> None:
    """Write a report as the name asks for: .json, or .md.

    Raises:
        ValueError: The name ends in something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    elif path.suffix == ".md":
        path.write_text(markdown(report), encoding="utf-8")
    else:
        raise ValueError(f"--output {path}: name a file that ends in .json or .md")


# --- The machine ------------------------------------------------------------------------------------------------------


def this_machine(command: Sequence[str]) -> Machine:
    """The machine, the commit and the libraries of this run."""
    return Machine(
        command=" ".join(["python", "-m", "benchmarks", *command]),
        commit=_commit(),
        cores=os.cpu_count() or 0,
        processor=_first("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        memory=_memory(),
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        load=round(os.getloadavg()[0], 2),
        began=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        versions=dict(_versions()),
    )


def _versions() -> Iterable[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=False)
        return done.stdout.strip()

    try:
        return (git("rev-parse", "--short", "HEAD") or "unknown") + (" and changes" if git("status", "-s") else "")
    except OSError:
        return "unknown"


def _first(file: str, name: str) -> str:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _memory() -> str:
    kibibytes = _first("/proc/meminfo", "MemTotal").partition(" ")[0]
    return f"{int(kibibytes) / 2**20:.0f} GiB" if kibibytes else "unknown"


# --- Markdown ---------------------------------------------------------------------------------------------------------


def markdown(report: Report) -> str:
    """The whole report: what was promised, then a table for each contest."""
    machine = report.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    lines = [
        f"`{machine.command}` at commit {machine.commit}, {machine.began}.",
        f"{machine.cores} cores ({machine.processor}), {machine.memory} of memory, {machine.system}; load of the "
        f"machine before the start {machine.load}.",
        f"{versions}.",
        "",
        "Whole processes, run in turn after a round that does not count. Seconds and ratios are the median (smallest "
        "to largest) of the rounds, a ratio is of two neighbours in a round; memory is the median of the peaks. Of the "
        "rows of the right answer, the wrong ones are those that a program did not give. The promises are made for 10M "
        "records and more.",
    ]
    faults = [fault for contest in report.contests for fault in contest.faults]
    lines += ["", *(f"**Wrong answer:** {fault}" for fault in faults)] if faults else []
    lines += ["", "| | promise | measured | |", "| --- | --- | --- | --- |"]
    lines += [_verdict(contest.group, verdict) for contest in report.contests for verdict in contest.verdicts]
    for contest in report.contests:
        lines += ["", *_section(contest)]
    return "\n".join(lines) + "\n"


def _verdict(group: str, verdict: Verdict) -> str:
    outcome = "met" if verdict.met else f"not met: {verdict.measured / verdict.limit:.2f} times that"
    return f"| {group} | {verdict.promise} | {_number(verdict.measured)}{verdict.unit} | {outcome} |"


def _section(contest: Contest) -> list[str]:
    lines = [f"### {contest.group}: {contest.title}", ""]
    lines += [contest.document.strip(), ""] if contest.document else []
    columns = _columns(contest)
    if contest.rows:
        lines += [f"| {' | '.join(['', *columns])} |", "| --- |" + " --- |" * len(columns)]
        lines += [_row(row, columns, contest.ratio) for row in contest.rows]
    lines += ["", *(f"- {note}" for note in contest.notes)] if contest.notes else []
    return lines


def _columns(contest: Contest) -> list[str]:
    runs = [run for row in contest.rows for run in row.runs]
    known = {
        "seconds": True,
        contest.ratio: any(row.ratios for row in contest.rows),
        "CPU s": any(run.cpu is not None for run in runs),
        "peak MiB": any(run.peak is not None for run in runs),
        "wrong rows": any(run.wrong is not None for run in runs),
    }
    return [name for name, shown in known.items() if shown]


def _row(row: Row, columns: Sequence[str], ratio: str) -> str:
    name = f"**{row.name}**" if row.ours else row.name
    if not row.runs:
        return f"| {name} | fails: {_in_cell(row.failure or '')} |" + " |" * (len(columns) - 1)
    cells = {
        "seconds": _spread([run.seconds for run in row.runs]),
        ratio: _spread(row.ratios, "x") if row.ratios else "",
        "CPU s": _middle([run.cpu for run in row.runs], ".2f"),
        "peak MiB": _middle([run.peak for run in row.runs], ".0f"),
        "wrong rows": _wrong(row.runs),
    }
    return f"| {' | '.join([name, *(cells[column] for column in columns)])} |"


def _in_cell(text: str) -> str:
    return text.replace("|", "\\|")[:120]


def _spread(values: Sequence[float], unit: str = "") -> str:
    middle, least, most = statistics.median(values), min(values), max(values)
    if len(values) == 1:
        return f"{_number(middle)}{unit}"
    return f"{_number(middle)}{unit} ({_number(least)}–{_number(most)})"


def _middle(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return format(statistics.median(known), form) if known else ""


def _wrong(runs: Sequence[Run]) -> str:
    # The worst, as an answer must be right every time.
    known = [run.wrong for run in runs if run.wrong is not None]
    return str(max(known)) if known else ""


def _number(value: float) -> str:
    """Three digits or so, which is more than a measurement is good for."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
