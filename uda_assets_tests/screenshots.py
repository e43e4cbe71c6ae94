"""Pictures for the documentation, of the real UI and the real report: ``python -m uda_assets_tests.screenshots DIR``.

Two deliveries are published, then a third with a file that is no drop and one that is unusually short, so that there is
something to see of everything.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, ViewportSize

from uda_assets_tests.support.browser import Console, chromium
from uda_assets_tests.support.dev_server import dev_server, materialize
from uda_assets_tests.support.places import SAMPLE

LARGEST = 150_000
"""Bytes of a picture."""
_DROPS, _FIRST = 12, 8
_NO_DROP = b"user_id,session_id,device\n1,2,ios\n"
_WIDE: ViewportSize = {"width": 1400, "height": 900}
_PHONE: ViewportSize = {"width": 390, "height": 844}
_GRAPH: ViewportSize = {"width": 1700, "height": 500}
_SETTLED = 2000
"""Milliseconds for what moves on a page to come to rest."""


def main(target: Path) -> None:
    """Make all pictures below ``target`` anew."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory, "data")
        drops = sample_drops()
        deliver(root, dict(list(drops.items())[:_FIRST]))
        with dev_server(root) as address, chromium() as browser:
            materialize(address)
            deliver(root, drops)
            materialize(address)
            console = Console(browser, address, viewport=_WIDE)
            for name, show in _WHEN_ALL_IS_WELL.items():
                show(console)
                save(console.page, target / name)
            first = next(iter(drops.values())).splitlines(keepends=True)
            deliver(root, {"acme/day13.csv": b"".join(first[:40]), "umbra/export.csv": _NO_DROP})
            materialize(address)
            for name, show in _WHEN_NOT.items():
                show(console)
                save(console.page, target / name)
            for name, options in _REPORTS.items():
                page = browser.new_page(**options)
                page.goto((root / "results/report.html").as_uri())
                save(page, target / name)


def sample_drops() -> dict[str, bytes]:
    """The sample as a supplier's drops of some days."""
    header, *lines = SAMPLE.read_bytes().splitlines(keepends=True)
    size = -(-len(lines) // _DROPS)
    return {
        f"acme/day{place + 1:02}.csv": b"".join([header, *lines[place * size : (place + 1) * size]])
        for place in range(_DROPS)
    }


def deliver(root: Path, drops: Mapping[str, bytes]) -> None:
    """Write files below ``datasets/``; one that is there stays as it is."""
    for name, content in drops.items():
        path = root / "datasets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(content)


def save(page: Page, path: Path) -> None:
    """A picture of a page at rest, with a palette of as many colours as make it small enough."""
    page.wait_for_timeout(_SETTLED)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colours in (256, 128, 64, 32):
        small = io.BytesIO()
        picture.quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            small, "PNG", optimize=True
        )
        if len(small.getvalue()) < LARGEST:
            path.write_bytes(small.getvalue())
            print(f"{path} {len(small.getvalue()):,} bytes, {colours} colours", file=sys.stderr)
            return
    raise AssertionError(f"{path} does not get smaller than {LARGEST:,} bytes")


def _graph(console: Console) -> None:
    # From a certain size on, the assets show their checks.
    console.page.set_viewport_size(_GRAPH)
    page = console.open("/locations/uda_assets.definitions/asset-groups/leaderboards")
    page.get_by_text("Hide navigation").click()
    page.get_by_text("Checks").first.wait_for()


def _leaderboard(console: Console) -> None:
    console.page.set_viewport_size(_WIDE)
    console.open("/assets/top_n_by_platform")
    console.dialog("chart").locator("img").wait_for()


def _columns(console: Console) -> None:
    console.open("/assets/top_n_by_platform")
    console.entry("leaders")


def _plots(console: Console) -> None:
    page = console.open("/assets/platform_parquet")
    page.get_by_text("Plots", exact=True).click()
    page.locator("canvas").first.scroll_into_view_if_needed()


def _launchpad(console: Console) -> None:
    page = console.open("/locations/uda_assets.definitions/jobs/leaderboard_job/playground")
    page.get_by_text("No errors").first.wait_for()


def _ledger(console: Console) -> None:
    console.open("/assets/top_n_by_platform")
    console.dialog("ledger")


def _quarantine(console: Console) -> None:
    console.open("/assets/platform_parquet")
    console.dialog("quarantine_by_reason")


def _checks(console: Console) -> None:
    page = console.open("/assets/platform_parquet?view=checks")
    page.get_by_text("drop_volume_usual").first.click()
    page.get_by_text("[Show Markdown]").wait_for()


_WHEN_ALL_IS_WELL: dict[str, Callable[[Console], None]] = {
    "asset-graph.png": _graph,
    "leaderboard-chart.png": _leaderboard,
    "leaderboard-page.png": _columns,
    "plots.png": _plots,
    "launchpad.png": _launchpad,
}
_WHEN_NOT: dict[str, Callable[[Console], None]] = {
    "drop-ledger.png": _ledger,
    "quarantine.png": _quarantine,
    "checks.png": _checks,
}
_REPORTS: dict[str, dict[str, Any]] = {
    "report.png": {"viewport": _WIDE, "color_scheme": "light"},
    "report-phone-dark.png": {"viewport": _PHONE, "color_scheme": "dark"},
}

PICTURES = {*_WHEN_ALL_IS_WELL, *_WHEN_NOT, *_REPORTS}

if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures"))
