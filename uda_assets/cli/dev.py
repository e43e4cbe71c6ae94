"""The command ``uda dev``: Dagster's UI and daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from uda_assets.basics.errors import UsageError
from uda_assets.cli import options
from uda_assets.cli.interrupts import interrupts, start_program
from uda_assets.storage import is_remote, make_dir, root_of

if TYPE_CHECKING:
    from uda_assets.basics.settings import Settings

_DAGSTER_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
run_monitoring:
  enabled: true
  poll_interval_seconds: 10
python_logs:
  python_log_level: INFO
# How many days ticks are kept; the sensor ticks every five seconds. UDA_KEEP_RUNS_DAYS says how long runs are kept.
retention:
  sensor:
    purge_after_days: {skipped: 1, started: 7, success: 30, failure: 30}
  schedule:
    purge_after_days: {skipped: 7, started: 7, success: 30, failure: 30}
"""


@options.command(
    "uda dev --port 3001",
    "uda dev",
)
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of the web page.")
@options.data_root
@click.pass_context
def dev(context: click.Context, port: int, data_root: str | None) -> None:
    """Run Dagster's UI and daemon; the history survives restarts, below the data root or in DAGSTER_HOME."""
    settings = options.settings_of(context, data_root=data_root)
    value = os.environ.get("DAGSTER_HOME")
    home = _dagster_home(value) if value else own_dagster_home(settings)
    root = settings.data_root if is_remote(root_of(settings)) else str(root_of(settings).absolute())
    environment = os.environ | {"DAGSTER_HOME": str(home), "UDA_DATA_ROOT": root}
    command = [sys.executable, "-m", "dagster", "dev", "-m", "uda_assets.definitions", "-h", "127.0.0.1"]
    with start_program([*command, "-p", str(port)], environment) as child:
        context.exit(interrupts.wait_for(child))


def _dagster_home(value: str) -> Path:
    """Return the directory that DAGSTER_HOME names; for a wrong one, Dagster itself would show a traceback.

    Raises:
        UsageError: It is not the absolute path of a directory.
    """
    home = Path(os.path.expanduser(value))  # noqa: PTH111 - as Dagster does it
    if not home.is_absolute() or not home.is_dir():
        raise UsageError(
            f"DAGSTER_HOME is {value!r}, which is not the absolute path of a directory; create it or unset DAGSTER_HOME"
        )
    return home


def own_dagster_home(settings: Settings) -> Path:
    """Return our own Dagster instance's directory, and create it if it is missing.

    It is below the data root, or in the user's application directory if the data root is in a bucket.
    """
    root = root_of(settings)
    if is_remote(root):
        home = Path(click.get_app_dir("uda_assets"), quote(settings.data_root, safe=""))
    else:
        home = root.absolute() / ".dagster"
    make_dir(home)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(_DAGSTER_YAML, encoding="utf-8")
    return home
