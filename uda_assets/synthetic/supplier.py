"""A simulated supplier that delivers a drop every few seconds, carefully or carelessly as configured."""

from __future__ import annotations

import itertools
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np

from uda_assets.synthetic.config import MAX_RECORDS, GeneratorConfig, require_range
from uda_assets.synthetic.generator import generate

_FEED = "feed"
_DROP_NAME = re.compile(r"drop-(\d+)\.csv(?:\.gz|\.zst)?$")
_SUFFIX = {"none": ".csv", "gz": ".csv.gz", "zst": ".csv.zst"}
_START = datetime(2026, 1, 1, tzinfo=UTC)
# All drops of a feed have the same users, and consecutive drops share sessions: each has only 15 new sessions for every
# 100 records.
_USERS = 500
_NEW_SESSIONS = 0.15
_LONGEST_INTERVAL = 366 * 86_400


@dataclass(frozen=True)
class SupplierConfig:
    """What to supply.

    Attributes:
        drops: Number of drops; None means that the supplier never stops.
        records: Records per drop.
        interval: Seconds between drops.
        seed: Determines the users, the records, and which drops are irregular.
        malformed_ratio: Share of malformed records, 0 to 1.
        compression: How drops are compressed.
        corrections: Chance, 0 to 1, that a delivery replaces an earlier drop with a changed one.
        duplicates: Chance, 0 to 1, that a delivery is a copy of an earlier drop under a new name.
        late: Chance, 0 to 1, that a drop contains activity that is some days old.
        half_written: Chance, 0 to 1, that half of a drop is first visible under a name that ends in ``.part``.

    Raises:
        ValueError: A value is out of its range; the message is one line.
    """

    drops: int | None = None
    records: int = 1000
    interval: float = 5.0
    seed: int = 0
    malformed_ratio: float = 0.005
    compression: Literal["none", "gz", "zst"] | str = "none"
    corrections: float = 0.0
    duplicates: float = 0.0
    late: float = 0.0
    half_written: float = 0.0

    def __post_init__(self) -> None:
        if self.drops is not None and self.drops < 0:
            raise ValueError(f"drops must be 0 or more, not {self.drops}")
        require_range("records", self.records, 1, MAX_RECORDS)
        require_range("interval", self.interval, 0, _LONGEST_INTERVAL, " seconds")
        require_range("seed", self.seed, 0, 2**63 - 1)
        if self.compression not in _SUFFIX:
            raise ValueError(f"compression must be none, gz or zst, not {self.compression}")
        for name in ("malformed_ratio", "corrections", "duplicates", "late", "half_written"):
            require_range(name, getattr(self, name), 0, 1)


def supply(
    datasets: Path,
    config: SupplierConfig,
    *,
    on_drop: Callable[[Path], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Deliver drops to ``datasets / "feed"`` and return their number.

    The numbers of the drops continue those of the drops that are already there. Each drop is written under a name that
    is not that of a drop, then renamed.
    """
    first = max(map(_number_of, _drops_in(datasets)), default=0) + 1
    delivered = 0
    for number in itertools.count(first) if config.drops is None else range(first, first + config.drops):
        if delivered:
            sleep(config.interval)
        target = _deliver(datasets, number, config, sleep)
        delivered += 1
        if on_drop:
            on_drop(target)
    return delivered


def _drops_in(datasets: Path) -> list[Path]:
    """Return the paths of all drops of the feed, in ascending order."""
    return sorted(path for path in (datasets / _FEED).rglob("drop-*") if _DROP_NAME.search(path.name))


def _number_of(drop: Path) -> int:
    match = _DROP_NAME.search(drop.name)
    assert match, drop
    return int(match.group(1))


def _deliver(datasets: Path, number: int, config: SupplierConfig, sleep: Callable[[float], None]) -> Path:
    """Deliver one drop, or a changed version of an earlier one, and return its path."""
    random = np.random.default_rng([config.seed, number])
    is_correction, is_copy, is_late, is_half_written = (
        bool(random.random() < chance)
        for chance in (config.corrections, config.duplicates, config.late, config.half_written)
    )
    day = _START + timedelta(days=number // 24) - timedelta(days=3 if is_late else 0)
    suffix, copied = _SUFFIX[config.compression], None
    earlier = _drops_in(datasets)
    if earlier and is_copy and not is_correction:
        # A copy keeps the compression of its source, which may differ from this feed's.
        copied = earlier[-1]
        suffix = copied.name[copied.name.index(".") :]
    target = datasets / _FEED / f"{day:%Y-%m-%d}" / f"drop-{number:06d}{suffix}"
    if earlier and is_correction:
        target = earlier[int(random.integers(len(earlier)))]
    target.parent.mkdir(parents=True, exist_ok=True)
    whole = target.with_name(f".new-{target.name}")
    uploaded = target.with_name(f"{target.name}.part") if is_half_written else whole
    try:
        if copied:
            shutil.copyfile(copied, whole)
        else:
            generate(whole, _generator_config(target, number, config))
        if is_half_written:
            content = whole.read_bytes()
            uploaded.write_bytes(content[: len(content) // 2])
            sleep(config.interval)
            whole.replace(uploaded)
        uploaded.replace(target)
    finally:
        whole.unlink(missing_ok=True)
        uploaded.unlink(missing_ok=True)
    return target


def _generator_config(target: Path, number: int, config: SupplierConfig) -> GeneratorConfig:
    """Return the configuration of a drop: its path determines day and sessions, ``number`` the variant of the records.

    A correction thus has the sessions of the drop that it replaces, but other records.
    """
    return GeneratorConfig(
        records=config.records,
        users=_USERS,
        seed=config.seed,
        malformed_ratio=config.malformed_ratio,
        start=datetime.strptime(target.parent.name, "%Y-%m-%d").replace(tzinfo=UTC),
        days=1,
        first_session=int(_number_of(target) * config.records * _NEW_SESSIONS),
        variant=number,
    )
