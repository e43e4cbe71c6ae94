"""Commands that read records: the converter and the inspector."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda_assets.basics.errors import UdaError
from uda_assets.cli import options
from uda_assets.cli.display import Outcome, is_terminal, progress, summarize
from uda_assets.cli.files import named, print_path, refuse_directory, require_readable

if TYPE_CHECKING:
    from uda_assets.basics.settings import Settings
    from uda_assets.contract.platforms import Platforms
    from uda_assets.lake import Lake
    from uda_assets.pipeline.conversion import ConversionReport


@options.command(
    "uda converter --filepath data/datasets/sample.csv",
    "uda converter",
    "uda converter --filepath drop.csv --output drop.parquet",
)
@options.filepath
@click.option(
    "--mode", type=click.Choice(options.MODES), default="csv", show_default=True,
    help="Reads csv, writes parquet: both names are taken.",
)  # fmt: skip
@click.option("--n", type=int, hidden=True)
@options.path_option("--output", help="Directory to write; its quarantine goes beside it.")
@options.error_mode
@options.max_reject_ratio
@options.engine
@options.data_root
@click.pass_context
def converter(
    context: click.Context, /, filepath: Path | None, mode: str, n: int | None, output: Path | None, **overrides: Any
) -> None:
    """Convert a CSV file, or all pending drops of the data root, to Parquet.

    A file below the data root's datasets/ is committed to the data root. Any other is converted beside itself, or to
    --output. The path of what was written is printed.
    """
    del mode, n
    settings = options.settings_of(context, **overrides)
    from uda_assets.contract.platforms import platform_table
    from uda_assets.lake import open_lake

    lake = open_lake(settings)
    drop = _drop_name(lake, filepath) if filepath and not output else None
    if filepath and drop is None:
        _convert_one(filepath, output, settings, platform_table(lake.root, settings))
        return
    from uda_assets.pipeline.context import open_run
    from uda_assets.pipeline.conversion import convert_drops, convert_pending

    with open_run(lake, settings) as run, progress("converting") as shown:
        if drop:
            shown.begin({drop: lake.source(drop).stat().st_size})
            report = convert_drops(run, [drop], shown.advance)
        else:
            report = convert_pending(run, progress=shown)
        seconds = shown.pace.seconds
    _tell(report, lake, seconds)


def _tell(report: ConversionReport, lake: Lake, seconds: float) -> None:
    from uda_assets.cli.output import say

    outcomes = [Outcome(one.drop, one.records, one.quarantined, one.reasons) for one in report.converted]
    if is_terminal() and len(outcomes) > 1:
        # What became of each is in the ledger.
        outcomes = [_together(outcomes)]
    for outcome in outcomes:
        summarize(outcome, seconds)
    for manifest in report.converted:
        print_path(lake.parquet_dir(manifest.drop))
    faults = [f"{name}: {rejection.reason}: {rejection.advice}" for name, rejection in report.rejected.items()]
    faults += report.put_off.values()
    if faults:
        raise UdaError("; ".join(faults))
    if not report.converted:
        say(f"no drops are pending below {lake.datasets}")


def _together(outcomes: list[Outcome]) -> Outcome:
    reasons: Counter[str] = Counter()
    for one in outcomes:
        reasons.update(one.reasons)
    records, quarantined = sum(one.records for one in outcomes), sum(one.quarantined or 0 for one in outcomes)
    return Outcome(f"{len(outcomes)} drops; `uda drops` lists them", records, quarantined, reasons)


def _convert_one(source: Path, output: Path | None, settings: Settings, platforms: Platforms) -> None:
    """Convert a file that is no drop of the data root; what was at the target before stays until all is done."""
    import shutil
    import tempfile

    from uda_assets.basics.errors import DropRejected
    from uda_assets.basics.settings import ErrorMode
    from uda_assets.ingest import bounds_of
    from uda_assets.ingest.convert import DropJob, Reading, convert
    from uda_assets.lake import Outputs
    from uda_assets.storage import make_dir

    require_readable(source)
    target = output or source.with_name(f"{source.name}.parquet")
    if target.exists() and not (target / "_common_metadata").exists():
        raise UdaError(f"{target} exists and is not a converted drop; name another --output")
    make_dir(target.parent)
    with (
        named(source),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".uda-") as scratch,
        progress("converting") as shown,
    ):
        staged = Path(scratch)
        shown.begin({source.name: 1})
        job = DropJob(
            source, source.name, Outputs(staged / "data", "", staged / "quarantine"), platforms, staged, staged,
            fail_fast=settings.error_mode is ErrorMode.FAIL_FAST, bounds=bounds_of(settings),
        )  # fmt: skip
        done = convert(job, Reading(threads=settings.threads, spill=staged), shown.advance)
        if done.reject_ratio > settings.max_reject_ratio:
            raise DropRejected(f"{source}: {done.quarantined} of {done.records} records are malformed")
        if target.exists():
            target.replace(staged / "superseded")
        (staged / "data").replace(target)
        (staged / "quarantine").replace(target.with_name(f"{target.name}.quarantine"))
        shutil.rmtree(staged / "superseded", ignore_errors=True)
        seconds = shown.pace.seconds
    summarize(Outcome(str(source), done.records, done.quarantined, done.reasons), seconds)
    print_path(target)


def _drop_name(lake: Lake, path: Path) -> str | None:
    """The name of the drop that a path is, or None where it is outside the data root's datasets."""
    from uda_assets.lake import printable_name

    require_readable(path)
    try:
        # A drop may be a link to a file elsewhere.
        name = (path.parent.resolve() / path.name).relative_to(lake.datasets.resolve()).as_posix()
    except ValueError:
        return None
    if name in lake.raw.listing().drops:
        return name
    _, fault = lake.raw.listing().inaccessible.get(printable_name(name), ("", ""))
    raise UdaError(
        f"{path} is not a drop: "
        + (fault or "its name must end in .csv, .csv.gz or .csv.zst and not start with a dot, nor may UDA_INCLUDE, "
           "UDA_EXCLUDE or UDA_MODIFIED_AFTER leave it out")
    )  # fmt: skip


@options.command(
    "uda inspector --filepath drop.csv --n 10 --output top.csv",
    "uda inspector --filepath drop.csv --since 2026-01-10 --until 2026-01-20",
    "uda inspector --mode parquet --filepath drop.parquet --format json",
)
@options.filepath
@options.mode
@options.n
@options.since
@options.until
@options.output
@options.form
@options.error_mode
@options.max_reject_ratio
@options.data_root
@click.pass_context
def inspector(
    context: click.Context, /, filepath: Path | None, mode: str, output: Path | None, form: str | None, **overrides: Any
) -> None:
    """One file in, one leaderboard out; needs no data root and no build."""
    settings = options.settings_of(context, **overrides)
    from uda_assets.cli.output import Format, output_kind, print_table, table_of, write_table

    path = options.required(filepath, "--filepath")
    if output:
        _ = form or output_kind(output)
        refuse_directory(output)
    from uda_assets.contract.platforms import platform_table
    from uda_assets.pipeline.inspection import inspect_csv, inspect_parquet
    from uda_assets.storage import root_of

    with progress("inspecting") as shown:
        if mode == "csv":
            require_readable(path)
            shown.begin({path.name: 1})
            with named(path):
                found = inspect_csv(path, settings, platform_table(root_of(settings), settings), shown.advance)
        else:
            if not path.is_dir():
                require_readable(path)
            found = inspect_parquet(path, settings)
        seconds = shown.pace.seconds
    table = table_of(found.leaderboard)
    if output:
        write_table(table, output, Format(form) if form else None)
    else:
        print_table(table, Format(form or "table"))
    summarize(
        Outcome(str(path), found.records, found.quarantined, found.reasons, str(output) if output else None), seconds
    )
