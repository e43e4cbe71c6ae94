"""The command line: ``uda``, and ``python -m uda_assets``. Data on stdout, messages on stderr; exit 0, 1 or 2.

Heavy libraries are imported by the command that needs them, so that the others start at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from uda_assets.errors import DropUnreadable, UdaError, UsageError
from uda_assets.limits import limit_pools
from uda_assets.settings import ErrorMode, Settings, load_settings

if TYPE_CHECKING:
    from collections import Counter

    from uda_assets.lake import Lake

app = typer.Typer(
    name="uda",
    help="Exact leaderboards of user activity, from suppliers' CSV drops.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Mode(StrEnum):
    """What an operator reads."""

    CSV = "csv"
    PARQUET = "parquet"


class TableFormat(StrEnum):
    """How a table is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class Compression(StrEnum):
    """How the supplier packs its drops."""

    NONE = "none"
    GZ = "gz"
    ZST = "zst"


_INSTANCE = """\
telemetry:
  enabled: false
nux:
  enabled: false
run_monitoring:
  enabled: true
  poll_interval_seconds: 10
"""

DataRoot = Annotated[str | None, typer.Option("--data-root", help="The data root (UDA_DATA_ROOT; default: data).")]
ErrorModeOption = Annotated[
    ErrorMode | None, typer.Option("--error-mode", help="Quarantine malformed records, or stop at the first.")
]
# Whether a file can be read is not for typer to say: that is no wrong use of the program.
FilePath = Annotated[Path | None, typer.Option("--filepath", readable=False, help="The file to work on.")]
Output = Annotated[Path | None, typer.Option("--output", readable=False, help="Where to write; default: stdout.")]
FormatOption = Annotated[TableFormat | None, typer.Option("--format", help="How to print the table.")]
N = Annotated[int | None, typer.Option("--n", help="Users a platform (UDA_N; default: 50).")]
Since = Annotated[str | None, typer.Option("--since", help="Count sessions that started at this time or later.")]
Until = Annotated[str | None, typer.Option("--until", help="Count sessions that started before this time.")]
Ratio = Annotated[float | None, typer.Option("--max-reject-ratio", help="Reject a file with more malformed records.")]


@app.callback()
def _common(context: typer.Context, data_root: DataRoot = None) -> None:
    context.obj = {"data_root": data_root}


def _settings(context: typer.Context, **overrides: Any) -> Settings:
    """The settings of a command; an option before the command's name gives way to one behind it."""
    common: dict[str, Any] = context.obj or {}
    settings = load_settings(**(common | {name: value for name, value in overrides.items() if value is not None}))
    limit_pools(settings)
    return settings


@app.command()
def generator(
    filepath: FilePath = None,
    mode: Mode = Mode.CSV,
    n: Annotated[int, typer.Option("--n", "--records", help="Records to write.")] = 100_000,
    users: Annotated[int | None, typer.Option(help="Users to draw from.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    shuffled: Annotated[bool, typer.Option("--shuffled", help="Records in no order of time.")] = False,
    duplicate_ratio: Annotated[float, typer.Option(help="Share of repeated records, 0 to 1.")] = 0.1,
    malformed_ratio: Annotated[float, typer.Option(help="Share of malformed records, 0 to 1.")] = 0.005,
    truth: Annotated[Path | None, typer.Option(help="Directory for the known right answer.")] = None,
    output: Output = None,
) -> None:
    """Write realistic activity with a known right answer.

    Example: uda generator --filepath big.csv --n 1000000 --truth truth/
    """
    from uda_assets.output import say
    from uda_assets.synthetic import GeneratorConfig, generate

    if mode is not Mode.CSV:
        raise UsageError("the generator writes csv; convert the file with `uda converter`")
    target = _required(filepath or output, "--filepath")
    _refuse_directory(target)
    try:
        config = GeneratorConfig(
            records=n, users=users, seed=seed, shuffled=shuffled, duplicate_ratio=duplicate_ratio,
            malformed_ratio=malformed_ratio,
        )  # fmt: skip
    except ValueError as error:
        raise UsageError(str(error)) from None
    generate(target, config, truth_dir=truth)
    say(f"wrote {n} records to {target}" + (f", the right answer to {truth}" if truth else ""))


@app.command()
def converter(
    context: typer.Context,
    filepath: FilePath = None,
    mode: Annotated[Mode, typer.Option(help="Reads csv, writes parquet: both names are taken.")] = Mode.CSV,
    n: Annotated[int | None, typer.Option("--n", hidden=True)] = None,
    output: Annotated[
        Path | None, typer.Option(readable=False, help="Directory to write; its quarantine goes beside it.")
    ] = None,
    error_mode: ErrorModeOption = None,
    max_reject_ratio: Ratio = None,
    data_root: DataRoot = None,
) -> None:
    """Convert a CSV file, or all pending drops of the data root, to Parquet.

    A file below the data root's datasets/ is committed to the data root. Any other is converted beside itself, or to
    --output. The path of what was written is printed.

    Example: uda converter --filepath data/datasets/sample.csv
    """
    del mode, n
    settings = _settings(context, error_mode=error_mode, max_reject_ratio=max_reject_ratio, data_root=data_root)
    from uda_assets.build import convert_pending, open_lake, platform_table

    lake, platforms = open_lake(settings), platform_table(settings)
    drop = _drop_name(lake, filepath) if filepath and not output else None
    if filepath and drop is None:
        _convert_one(filepath, output, settings, platforms)
        return
    from uda_assets.conversion import convert_drops
    from uda_assets.output import say

    with lake.writing(settings.lock_timeout):
        if drop:
            report = convert_drops(lake, [drop], platforms, settings)
        else:
            report = convert_pending(lake, settings, platforms)
    for manifest in report.converted:
        say(_account(manifest.drop, manifest.records, manifest.quarantined, manifest.reasons))
        typer.echo(lake.parquet_dir(manifest.drop))
    faults = [f"{name}: {rejection.reason}: {rejection.advice}" for name, rejection in report.rejected.items()]
    faults += report.put_off.values()
    if faults:
        raise UdaError("; ".join(faults))
    if not report.converted:
        say(f"no drops are pending below {lake.datasets}")


def _convert_one(source: Path, output: Path | None, settings: Settings, platforms: Any) -> None:
    """Convert a file that is no drop of the data root; what was at the target before stays until all is done."""
    import shutil
    import tempfile

    from uda_assets.errors import DropRejected
    from uda_assets.ingest.convert import convert
    from uda_assets.lake import make_dir
    from uda_assets.output import say

    _readable(source)
    target = output or source.with_name(f"{source.name}.parquet")
    if target.exists() and not (target / "_common_metadata").exists():
        raise UdaError(f"{target} exists and is not a converted drop; name another --output")
    make_dir(target.parent)
    with _named(source), tempfile.TemporaryDirectory(dir=target.parent, prefix=".uda-") as scratch:
        staged = Path(scratch)
        done = convert(
            source, source.name, staged / "data", staged / "quarantine", platforms, threads=settings.threads,
            fail_fast=settings.error_mode is ErrorMode.FAIL_FAST, spill=staged,
        )  # fmt: skip
        if done.reject_ratio > settings.max_reject_ratio:
            raise DropRejected(f"{source}: {done.quarantined} of {done.records} records are malformed")
        if target.exists():
            target.replace(staged / "superseded")
        (staged / "data").replace(target)
        (staged / "quarantine").replace(target.with_name(f"{target.name}.quarantine"))
        shutil.rmtree(staged / "superseded", ignore_errors=True)
    say(_account(str(source), done.records, done.quarantined, done.reasons))
    typer.echo(target)


@app.command()
def inspector(
    context: typer.Context,
    filepath: FilePath = None,
    mode: Mode = Mode.CSV,
    n: N = None,
    since: Since = None,
    until: Until = None,
    output: Output = None,
    form: FormatOption = None,
    error_mode: ErrorModeOption = None,
    max_reject_ratio: Ratio = None,
    data_root: DataRoot = None,
) -> None:
    """One file in, one leaderboard out; needs no data root and no build.

    Example: uda inspector --filepath drop.csv --n 10 --output top.csv
    """
    settings = _settings(
        context, n=n, since=since, until=until, error_mode=error_mode, max_reject_ratio=max_reject_ratio,
        data_root=data_root,
    )  # fmt: skip
    from uda_assets.output import Format, output_kind, print_table, say, write_table

    path = _required(filepath, "--filepath")
    if output:
        _ = form or output_kind(output)
        _refuse_directory(output)
    from uda_assets.build import platform_table
    from uda_assets.inspection import inspect_csv, inspect_parquet

    if mode is Mode.CSV:
        _readable(path)
        with _named(path):
            found = inspect_csv(path, settings, platform_table(settings))
    else:
        if not path.is_dir():
            _readable(path)
        found = inspect_parquet(path, settings)
    if output:
        write_table(found.leaderboard, output, Format(form.value) if form else None)
    else:
        print_table(found.leaderboard, Format((form or TableFormat.TABLE).value))
    say(_account(str(path), found.records, found.quarantined, found.reasons))


@app.command()
def supplier(
    context: typer.Context,
    filepath: Annotated[
        Path | None, typer.Option(help="Directory to supply; default: the data root's datasets.")
    ] = None,
    mode: Mode = Mode.CSV,
    n: Annotated[int, typer.Option("--n", "--records", help="Records a drop.")] = 1000,
    drops: Annotated[int | None, typer.Option(help="Stop after this many drops; endless by default.")] = None,
    interval: Annotated[float, typer.Option(help="Seconds between drops.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Same seed, same drops.")] = 0,
    malformed_ratio: Annotated[float, typer.Option(help="Share of malformed records, 0 to 1.")] = 0.005,
    compression: Compression = Compression.NONE,
    corrections: Annotated[float, typer.Option(help="Chance that an earlier drop is delivered anew, 0 to 1.")] = 0.0,
    duplicates: Annotated[float, typer.Option(help="Chance of a copy under a new name, 0 to 1.")] = 0.0,
    late: Annotated[float, typer.Option(help="Chance of activity some days old, 0 to 1.")] = 0.0,
    half_written: Annotated[float, typer.Option(help="Chance of a file that lies half-written first, 0 to 1.")] = 0.0,
    output: Output = None,
    data_root: DataRoot = None,
) -> None:
    """Deliver a drop every few seconds, as a supplier would.

    Example: uda supplier --drops 20 --interval 2
    """
    settings = _settings(context, data_root=data_root)
    from uda_assets.output import say
    from uda_assets.synthetic import SupplierConfig, supply

    if mode is not Mode.CSV:
        raise UsageError("the supplier delivers csv")
    target = filepath or output or settings.root / "datasets"
    if target.exists() and not target.is_dir():
        raise UdaError(f"{target} is not a directory")
    try:
        config = SupplierConfig(
            drops=drops, records=n, interval=interval, seed=seed, malformed_ratio=malformed_ratio,
            compression=compression.value, corrections=corrections, duplicates=duplicates, late=late,
            half_written=half_written,
        )  # fmt: skip
    except ValueError as error:
        raise UsageError(str(error)) from None
    delivered = supply(target, config, on_drop=lambda path: say(f"delivered {path}"))
    say(f"{delivered} drops delivered to {target}")


@app.command(name="drops")
def list_drops(context: typer.Context, form: FormatOption = None, data_root: DataRoot = None) -> None:
    """The drop ledger: where each drop stands and what became of its records.

    Example: uda drops --format json
    """
    settings = _settings(context, data_root=data_root)
    from uda_assets.build import platform_table
    from uda_assets.catalogue import read_catalogue
    from uda_assets.output import Format, print_table
    from uda_assets.warehouse import drops_frame

    entries = read_catalogue(_lake(settings), platform_table(settings), settings.max_reject_ratio)
    print_table(drops_frame(entries), Format((form or TableFormat.TABLE).value))


@app.command()
def quarantine(
    context: typer.Context,
    drop: Annotated[str | None, typer.Option(help="Only this drop.")] = None,
    form: FormatOption = None,
    data_root: DataRoot = None,
) -> None:
    """The malformed records, each with drop, line, reason and raw text.

    Example: uda quarantine --drop sample.csv --format csv
    """
    settings = _settings(context, data_root=data_root)
    from uda_assets.output import Format, print_table
    from uda_assets.warehouse import read_quarantine

    lake = _lake(settings)
    if drop is not None and lake.manifest(drop) is None:
        raise UdaError(f"there is no committed drop {drop!r}; `uda drops` lists them")
    print_table(read_quarantine(lake, drop), Format((form or TableFormat.TABLE).value))


@app.command()
def forget(
    context: typer.Context,
    drop: Annotated[str, typer.Argument(help="The drop's name, as `uda drops` lists it.")],
    data_root: DataRoot = None,
) -> None:
    """Take a drop's contribution out of the leaderboards for good.

    Example: uda forget supplier-a/2026-01-31.csv
    """
    settings = _settings(context, data_root=data_root)
    from uda_assets.build import forget as forget_drop
    from uda_assets.output import say

    published = forget_drop(_lake(settings), settings, drop)
    say(f"forgot {drop}; the leaderboard in {published.csv} is without it")


@app.command()
def leaderboard(
    context: typer.Context,
    n: N = None,
    since: Since = None,
    until: Until = None,
    platform: Annotated[str | None, typer.Option(help="Only this platform, by any of its spellings.")] = None,
    output: Output = None,
    form: FormatOption = None,
    data_root: DataRoot = None,
) -> None:
    """The leaderboard of the committed sessions, with any N and window.

    Example: uda leaderboard --n 7 --since 2026-01-01 --platform iOS
    """
    settings = _settings(context, n=n, since=since, until=until, data_root=data_root)
    import polars as pl

    from uda_assets.build import platform_table
    from uda_assets.output import Format, output_kind, print_table, write_table
    from uda_assets.warehouse import leaderboard_of

    if output:
        _ = form or output_kind(output)
        _refuse_directory(output)
    lake = _lake(settings)
    manifest = lake.sessions_manifest()
    if manifest is None:
        raise UdaError(
            "nothing is built yet; run `uv run dagster asset materialize -m uda_assets.definitions "
            "--select '+top_n_by_platform'` first"
        )
    table = leaderboard_of(lake, settings, manifest)
    if platform is not None:
        name = platform_table(settings).resolve(platform) or platform
        table = table.filter(pl.col("platform") == name)
    if output:
        write_table(table, output, Format(form.value) if form else None)
    else:
        print_table(table, Format((form or TableFormat.TABLE).value))


@app.command()
def dev(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port of the web page.")] = 3000,
    data_root: DataRoot = None,
) -> None:
    """Dagster's UI and daemon with a history that survives a restart, kept below the data root.

    Example: uda dev --port 3001
    """
    settings = _settings(context, data_root=data_root)
    from uda_assets.lake import make_dir

    home = settings.root.absolute() / ".dagster"
    make_dir(home)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(_INSTANCE, encoding="utf-8")
    environment = os.environ | {"DAGSTER_HOME": str(home), "UDA_DATA_ROOT": str(settings.root.absolute())}
    command = [sys.executable, "-m", "dagster", "dev", "-m", "uda_assets.definitions", "-h", "127.0.0.1"]
    raise typer.Exit(subprocess.run([*command, "-p", str(port)], env=environment, check=False).returncode)  # noqa: S603


def _required(path: Path | None, option: str) -> Path:
    if path is None:
        raise UsageError(f"{option} is missing")
    return path


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in what is said of its content."""
    try:
        yield
    except DropUnreadable as error:
        raise UdaError(f"{path}: {error}") from None


def _refuse_directory(path: Path) -> None:
    if path.is_dir():
        raise UdaError(f"{path} is a directory; name a file")


def _readable(path: Path) -> None:
    """Say at once what is wrong with an input file."""
    if path.is_dir():
        raise UdaError(f"{path} is a directory; name a CSV file")
    if not path.exists():
        raise UdaError(f"{path} does not exist")
    if not path.is_file():
        raise UdaError(f"{path} is not a regular file; write what it gives to a file and name that")
    if not os.access(path, os.R_OK):
        raise UdaError(f"{path} cannot be read: permission denied")


def _lake(settings: Settings) -> Lake:
    from uda_assets.build import open_lake

    if not settings.root.is_dir():
        raise UdaError(f"there is no data root at {settings.root}; name one by --data-root or UDA_DATA_ROOT")
    return open_lake(settings)


def _drop_name(lake: Lake, path: Path) -> str | None:
    """The name of the drop that a path is, or None where it is outside the data root's datasets."""
    from uda_assets.lake import printable_name

    _readable(path)
    try:
        # A drop may be a link to a file elsewhere.
        name = (path.parent.resolve() / path.name).relative_to(lake.datasets.resolve()).as_posix()
    except ValueError:
        return None
    if name in lake.drops():
        return name
    _, fault = lake.inaccessible().get(printable_name(name), ("", ""))
    raise UdaError(
        f"{path} is not a drop: "
        + (fault or "its name must end in .csv, .csv.gz or .csv.zst and not start with a dot, nor may UDA_INCLUDE, "
           "UDA_EXCLUDE or UDA_MODIFIED_AFTER leave it out")
    )  # fmt: skip


def _account(what: str, records: int, quarantined: int, reasons: dict[str, int] | Counter[str]) -> str:
    by_reason = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    return f"{what}: {records} records, {records - quarantined} kept, {quarantined} quarantined" + (
        f" ({by_reason})" if by_reason else ""
    )


def _with_subcommand(arguments: list[str]) -> list[str]:
    """``--op NAME`` anywhere is the same as the subcommand NAME in front."""
    for position, argument in enumerate(arguments):
        if argument == "--op":
            if position + 1 == len(arguments):
                raise UsageError("--op needs a name, such as inspector")
            return [arguments[position + 1], *arguments[:position], *arguments[position + 2 :]]
        if argument.startswith("--op="):
            return [argument.removeprefix("--op="), *arguments[:position], *arguments[position + 1 :]]
    return arguments


def run(arguments: list[str]) -> int:
    """Run the program and return its exit code; no error that a user can cause shows a traceback."""
    try:
        if not arguments:
            app(["--help"], standalone_mode=False, prog_name="uda")
            return 2
        result = app(_with_subcommand(arguments), standalone_mode=False, prog_name="uda")
    except BrokenPipeError:
        # The reader of our output has seen enough; what is still in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail("stopped; nothing is left half-written", 128 + signal.SIGINT)
    except Exception as error:
        explained = _explain(error)
        if explained is None:
            raise
        return _fail(*explained)
    return result if isinstance(result, int) else 0


def _explain(error: Exception) -> tuple[str, int] | None:
    """What to say of an error, and the exit code; None where it is our own fault and the traceback tells more."""
    if isinstance(error, UdaError):
        return str(error), 2 if isinstance(error, UsageError) else 1
    if isinstance(error, TyperException):
        return error.format_message() or "see `uda --help`", 2
    if isinstance(error, OSError):
        return f"{error.filename or 'the file system'}: {error.strerror or error}", 1
    if isinstance(error, MemoryError):
        return "there is not enough memory; see UDA_MEMORY_LIMIT and UDA_THREADS", 1
    if type(error).__module__.partition(".")[0] in _LIBRARIES:
        # What they say of damaged files; they are not imported here to ask.
        return str(error).strip().partition("\n")[0], 1
    return None


_LIBRARIES = frozenset({"duckdb", "_duckdb", "polars", "pyarrow"})


def _fail(message: str, code: int) -> int:
    print(f"uda: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    return code


def main() -> None:
    """Entry point of the console script."""
    if sys.stderr is None:
        # print() would put messages among the data.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.exit(run(sys.argv[1:]))
