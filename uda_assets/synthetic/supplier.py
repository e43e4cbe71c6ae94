"""A simulated supplier: a drop every few seconds, whole or not at all, as a well-behaved or a sloppy one delivers."""

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

from uda_assets.synthetic.generator import MAX_RECORDS, GeneratorConfig, generate

_FEED = "feed"
_NUMBERED = re.compile(r"drop-(\d+)\.csv(?:\.gz|\.zst)?$")
_SUFFIX = {"none": ".csv", "gz": ".csv.gz", "zst": ".csv.zst"}
_START = datetime(2026, 1, 1, tzinfo=UTC)
# Drops of one feed draw from one population, and neighbours share sessions that go on over the file's end.
_USERS = 500
_NEW_SESSIONS = 0.15
_A_YEAR = 366 * 86_400


@dataclass(frozen=True)
class SupplierConfig:
    """What to supply.

    Attributes:
        drops: How many; None is endless.
        records: Records a drop.
        interval: Seconds between drops.
        seed: Chooses the population, the records and which drops misbehave.
        malformed_ratio: Share of malformed records, 0 to 1.
        compression: How drops are packed.
        corrections, duplicates, late, half_written: Chance, 0 to 1, that an emission writes an earlier drop anew,
            copies one under a new name, holds activity some days old, or first lies about as a ``.part`` file.

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
            raise ValueError(f"drops must not be negative, not {self.drops}")
        if not 1 <= self.records <= MAX_RECORDS:
            raise ValueError(f"records must be from 1 to {MAX_RECORDS}, not {self.records}")
        if not 0 <= self.interval <= _A_YEAR:
            raise ValueError(f"interval must be from 0 to {_A_YEAR} seconds, not {self.interval}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be from 0 to {2**63 - 1}, not {self.seed}")
        if self.compression not in _SUFFIX:
            raise ValueError(f"compression must be none, gz or zst, not {self.compression}")
        for name in ("malformed_ratio", "corrections", "duplicates", "late", "half_written"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)}")


def supply(
    datasets: Path,
    config: SupplierConfig,
    *,
    on_drop: Callable[[Path], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Deliver drops to ``datasets / "feed"``; numbering goes on where an earlier feed ended.

    Each drop is written under a name that is no drop's, then renamed.

    Returns:
        The number of drops delivered.
    """
    first = _next_number(datasets)
    delivered = 0
    for number in itertools.count(first) if config.drops is None else range(first, first + config.drops):
        if delivered:
            sleep(config.interval)
        target = _deliver(datasets, number, config, sleep)
        delivered += 1
        if on_drop:
            on_drop(target)
    return delivered


def _next_number(datasets: Path) -> int:
    found = (_NUMBERED.search(path.name) for path in (datasets / _FEED).rglob("drop-*"))
    return max((int(match.group(1)) for match in found if match), default=0) + 1


def _deliver(datasets: Path, number: int, config: SupplierConfig, sleep: Callable[[float], None]) -> Path:
    random = np.random.default_rng([config.seed, number])
    correct, copy, late, slow = (
        bool(random.random() < chance)
        for chance in (config.corrections, config.duplicates, config.late, config.half_written)
    )
    earlier = sorted(path for path in (datasets / _FEED).rglob("drop-*") if _NUMBERED.search(path.name))
    target, source = _path(datasets, number, config, late=late), None
    if earlier and correct:
        target = earlier[int(random.integers(len(earlier)))]
    elif earlier and copy:
        # The earlier drop may be of a feed that was packed in another way, and a copy stays as it is.
        source = earlier[-1]
        target = target.with_name(target.name.removesuffix(_suffix(target)) + _suffix(source))
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part") if not slow else target.with_name(f"{target.name}.part")
    try:
        _write(part, target, number, config, source, slow, sleep)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _write(
    part: Path, target: Path, number: int, config: SupplierConfig, source: Path | None, slow: bool,
    sleep: Callable[[float], None],
) -> None:  # fmt: skip
    """Write a drop's content to ``part``: a copy of ``source``, or new records."""
    whole = target.with_name(f".new-{target.name}")
    try:
        if source:
            shutil.copyfile(source, whole)
        else:
            generate(whole, _records(target, number, config))
        if slow:
            content = whole.read_bytes()
            part.write_bytes(content[: len(content) // 2])
            sleep(config.interval)
        whole.replace(part)
    finally:
        whole.unlink(missing_ok=True)


def _records(target: Path, number: int, config: SupplierConfig) -> GeneratorConfig:
    match = _NUMBERED.search(target.name)
    of_drop = int(match.group(1)) if match else number
    day = datetime.strptime(target.parent.name, "%Y-%m-%d").replace(tzinfo=UTC)
    return GeneratorConfig(
        records=config.records,
        users=_USERS,
        seed=config.seed,
        malformed_ratio=config.malformed_ratio,
        start=day,
        days=1,
        first_session=int(of_drop * config.records * _NEW_SESSIONS),
        variant=number,
    )


def _suffix(drop: Path) -> str:
    return drop.name[drop.name.index(".") :]


def _path(datasets: Path, number: int, config: SupplierConfig, *, late: bool) -> Path:
    day = _START + timedelta(days=number // 24) - timedelta(days=3 if late else 0)
    return datasets / _FEED / f"{day:%Y-%m-%d}" / f"drop-{number:06d}{_SUFFIX[config.compression]}"
