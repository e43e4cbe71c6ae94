"""A drop that is written anew while it is read: what is committed is one version of it, never something between."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from uda_assets.engines import polars as engine
from uda_assets.ingest.source import Source
from uda_assets_tests.support.chain import HEADER, deliver, ledger, published, record, run

LINES = 5_000


def content(version: str) -> str:
    """As many bytes in each version, so that size alone tells nothing."""
    return HEADER + "".join(record(f"{version}{number:06d}") for number in range(LINES))


def acting_after(patch: pytest.MonkeyPatch, reads: int, action: Callable[[], None]) -> list[int]:
    """Do something after so many reads of any drop; how many are still to come."""
    real, left = Source.read, [reads]

    def reading(self: Source, offset: int, length: int) -> bytes:
        found = real(self, offset, length)
        left[0] -= 1
        if left[0] == 0:
            action()
        return found

    patch.setattr(Source, "read", reading)
    return left


@pytest.mark.parametrize("way", ["in place", "renamed over"])
def test_what_is_committed_is_one_version(tmp_path: Path, way: str) -> None:
    """After each of the first reads in turn the whole file is written anew, with the times that it had."""
    drop = tmp_path / "datasets/a.csv"
    deliver(tmp_path, "a.csv", content("a"))
    before = drop.stat()

    def change() -> None:
        other = drop if way == "in place" else drop.with_name(".a")
        other.write_text(content("b"))
        other.replace(drop)
        os.utime(drop, ns=(before.st_atime_ns, before.st_mtime_ns))

    changes = 0
    for reads in (1, 3, 5, 7):
        deliver(tmp_path, "a.csv", content("a"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "block_bytes", lambda _: 1 << 16)
            left = acting_after(patch, reads, change)
            report = run(tmp_path)
        changed = left[0] <= 0
        changes += changed
        assert report.put_off == {}, "it is read again"
        assert ledger(tmp_path)["a.csv"].status == "committed"
        versions = published(tmp_path, "SELECT DISTINCT session_id[1], count(*) FROM sessions GROUP BY ALL")
        assert versions == [("b" if changed else "a", LINES)]
    assert changes >= 3, "the drop is read in several pieces"
