"""The command ``uda converter``: CSV to Parquet."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda_assets.basics.errors import UdaError, UsageError
from uda_assets.cli import options
from uda_assets.cli.display import Outcome, is_terminal, progress, summarize
from uda_assets.cli.files import errors_name, name_below, print_path, require_readable

if TYPE_CHECKING:
    from uda_assets.basics.settings import Settings
    from uda_assets.contract.dialects import Dialect
    from uda_assets.contract.platforms import Platforms
    from uda_assets.lake import Lake
    from uda_assets.pipeline.batch import ConversionReport


@options.command(
    "uda converter --filepath data/datasets/sample.csv",
    "uda converter",
    "uda converter --filepath drop.csv --output drop.parquet",
)
@options.filepath
@click.option(
    "--mode", type=click.Choice(options.MODES), default="csv", show_default=True,
    help="Either name is accepted: the converter always reads csv and writes parquet.",
)  # fmt: skip
@click.option("--n", type=int, hidden=True)
@options.supplier
@options.path_option("--output", help="Directory to write; the quarantine is written beside it.")
@options.error_mode
@options.max_reject_ratio
@options.engine
@options.data_root
@click.pass_context
def converter(
    context: click.Context,
    /,
    filepath: Path | None,
    mode: str,
    supplier: str | None,
    n: int | None,
    output: Path | None,
    **overrides: Any,
) -> None:
    """Convert a CSV file, or all pending drops of the data root, to Parquet.

    A file below the data root's datasets/ is committed to the data root. Any other file is converted to a directory
    beside it, or to --output. The path of each converted drop is printed.
    """
    del mode, n
    settings = options.settings_of(context, **overrides)
    from uda_assets.contract.suppliers import rulebook
    from uda_assets.lake import open_lake

    lake = open_lake(settings)
    drop = _drop_name(lake, filepath) if filepath and not output else None
    if filepath and drop is None:
        reading = rulebook(lake.root, settings).reading_of(filepath.name, supplier)
        _convert_file(filepath, output, settings, *reading)
        return
    if supplier:
        raise UsageError("--supplier is for a file outside the data root; for its drops, suppliers.toml decides")
    from uda_assets.pipeline.context import open_run
    from uda_assets.pipeline.conversion import convert_drops, convert_pending

    with open_run(lake, settings) as run, progress("converting") as shown:
        if drop:
            shown.begin({drop: lake.source(drop).stat().st_size})
            report = convert_drops(run, [drop], shown.advance)
        else:
            report = convert_pending(run, progress=shown)
        seconds = shown.pace.seconds
    _print_report(report, lake, seconds)


def _print_report(report: ConversionReport, lake: Lake, seconds: float) -> None:
    from uda_assets.cli.output import say

    outcomes = [Outcome(drop.drop, drop.records, drop.quarantined, drop.reasons) for drop in report.converted]
    if is_terminal() and len(outcomes) > 1:
        # `uda drops` shows the single drops.
        outcomes = [_total(outcomes)]
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


def _total(outcomes: list[Outcome]) -> Outcome:
    reasons: Counter[str] = Counter()
    for outcome in outcomes:
        reasons.update(outcome.reasons)
    records = sum(outcome.records for outcome in outcomes)
    quarantined = sum(outcome.quarantined or 0 for outcome in outcomes)
    return Outcome(f"{len(outcomes)} drops; `uda drops` lists them", records, quarantined, reasons)


def _convert_file(
    source: Path, output: Path | None, settings: Settings, dialect: Dialect, platforms: Platforms
) -> None:
    """Convert a file outside the data root; an earlier result stays in place until the new one is complete."""
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
        errors_name(source),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".uda-") as scratch,
        progress("converting") as shown,
    ):
        staged = Path(scratch)
        shown.begin({source.name: 1})
        outputs = Outputs(staged / "data", "", staged / "quarantine", staged / "data")
        job = DropJob(
            source, source.name, outputs, platforms, staged, staged,
            dialect=dialect, fail_fast=settings.error_mode is ErrorMode.FAIL_FAST, bounds=bounds_of(settings),
        )  # fmt: skip
        converted = convert(job, Reading(threads=settings.threads, spill=staged), shown.advance)
        if converted.reject_ratio > settings.max_reject_ratio:
            raise DropRejected(f"{source}: {converted.quarantined} of {converted.records} records are malformed")
        if target.exists():
            target.replace(staged / "superseded")
        (staged / "data").replace(target)
        (staged / "quarantine").replace(target.with_name(f"{target.name}.quarantine"))
        shutil.rmtree(staged / "superseded", ignore_errors=True)
        seconds = shown.pace.seconds
    summarize(Outcome(str(source), converted.records, converted.quarantined, converted.reasons), seconds)
    print_path(target)


def _drop_name(lake: Lake, path: Path) -> str | None:
    """Return the name of the drop at a path, or None if the path is outside the data root's datasets.

    Raises:
        UdaError: It cannot be read, or is inside datasets and not a drop.
    """
    from uda_assets.lake import printable_name

    require_readable(path)
    name = name_below(lake.datasets, path)
    if name is None:
        return None
    if name in lake.raw.listing().drops:
        return name
    _, fault = lake.raw.listing().inaccessible.get(printable_name(name), ("", ""))
    raise UdaError(
        f"{path} is not a drop: "
        + (fault or "its name must end in .csv, .tsv or .txt, perhaps with an archive's suffix, and not start with a "
           "dot, and UDA_INCLUDE, UDA_EXCLUDE and UDA_MODIFIED_AFTER must not exclude it")
    )  # fmt: skip
