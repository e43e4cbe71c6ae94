"""One change of the sessions: which units it touches, and how new contributions reach them."""

from __future__ import annotations

from collections import defaultdict

from uda_assets.engines import Engine
from uda_assets.lake import DropManifest, Lake, SessionsManifest, Stage
from uda_assets.pipeline.units import (
    Group,
    PartSource,
    SplitJob,
    Unit,
    UnitChange,
    UnitJob,
    change_unit,
    split,
    without,
)
from uda_assets.storage import Location, make_dir_alone

_LARGE_DROP = 1_000_000
"""A drop with more records than this (in each bucket) gets a segment of its own."""
_LEAST_ROWS_TO_SPLIT = 1_000_000
_MOST_ROWS_TO_SPLIT = 32_000_000


def units_of(manifest: SessionsManifest) -> dict[tuple[str, int], Unit]:
    """Return the units of a manifest, in ascending order."""
    found = {
        key: Unit(*key, [], [], [], []) for key in sorted({(file.platform, file.bucket) for file in manifest.segments})
    }
    for segment in manifest.segments:
        found[segment.platform, segment.bucket].segments.append(segment)
    for kind in ("shared", "counts", "changed"):
        for file in getattr(manifest, kind):
            getattr(found[file.platform, file.bucket], kind).append(file)
    return found


class SessionsChange:
    """One change of the sessions: the drops to put in, and those to take out."""

    def __init__(
        self,
        lake: Lake,
        engine: Engine,
        before: SessionsManifest,
        added: dict[str, DropManifest],
        removed: frozenset[str],
    ) -> None:
        self._lake = lake
        self._engine = engine
        self._before = before
        self._added = added
        self._removed = removed

    def carry_out(self, staged: Stage) -> list[UnitChange]:
        """Return all units after the change. The engine works only on those that it touches."""
        old, new = units_of(self._before), self._new(staged)
        units = [old.get(key, Unit(*key, [], [], [], [])) for key in sorted({*old, *new})]
        changes = {unit[:2]: UnitChange(unit, 0, 0, 0) for unit in units}
        touched = [unit for unit in units if new.get(unit[:2]) or self._is_touched(unit)]
        jobs = [
            UnitJob(self._lake.sessions, unit, new.get(unit[:2], []), self._removed, self._before.generation + 1)
            for unit in touched
        ]
        for unit, changed in zip(touched, self._engine.run(change_unit, jobs, staged.scratch), strict=True):
            changes[unit[:2]] = changed
        return [changes[unit[:2]] for unit in units]

    def _is_touched(self, unit: Unit) -> bool:
        return any(without(segment, self._removed) is not segment for segment in unit.segments)

    def _new(self, staged: Stage) -> dict[tuple[str, int], list[Group]]:
        """Return the contributions to put in, by unit."""
        groups = [(platform, group) for platform in self._platforms() for group in self._groups(platform)]
        if self._before.buckets > 1:
            return self._split(groups, staged)
        found: dict[tuple[str, int], list[Group]] = defaultdict(list)
        for platform, group in groups:
            found[platform, 0].append(group)
        return found

    def _platforms(self) -> list[str]:
        return sorted({file.platform for manifest in self._added.values() for file in manifest.files})

    def _groups(self, platform: str) -> list[Group]:
        """Return the new drops of a platform in groups. Small drops are one group, so that they become one segment."""
        sources = {
            name: [
                PartSource(self._lake.parquet_dir(name) / file.path, name)
                for file in manifest.files
                if file.platform == platform
            ]
            for name, manifest in self._added.items()
        }
        names = [name for name, found in sources.items() if found]
        small = [name for name in names if self._added[name].kept <= _LARGE_DROP * self._before.buckets]
        grouped = [[name] for name in names if name not in set(small)] + ([small] if small else [])
        return [Group(drops, [source for name in drops for source in sources[name]]) for drops in grouped]

    def _split(self, groups: list[tuple[str, Group]], staged: Stage) -> dict[tuple[str, int], list[Group]]:
        """Write the contributions of new drops by bucket, for the tasks that change the units."""
        exchange = staged.shared / "split"
        make_dir_alone(exchange)
        jobs, group_numbers = [], []
        for number, (_, group) in enumerate(groups):
            for sources in self._shares(group.sources):
                jobs.append(SplitJob(sources, self._before.buckets, exchange))
                group_numbers.append(number)
        files: dict[tuple[int, int], list[Location]] = defaultdict(list)
        for number, found in zip(group_numbers, self._engine.run(split, jobs, staged.scratch), strict=True):
            for bucket, paths in found.items():
                files[number, bucket] += paths
        new: dict[tuple[str, int], list[Group]] = defaultdict(list)
        for (number, bucket), paths in sorted(files.items()):
            platform, group = groups[number]
            divided = group_numbers.count(number) > 1
            new[platform, bucket].append(Group(group.drops, split=paths, divided=divided))
        return new

    def _shares(self, sources: list[PartSource]) -> list[list[PartSource]]:
        """Divide part files into shares of about as many rows, one for each task."""
        rows = {
            self._lake.parquet_dir(name) / file.path: file.rows
            for name in {source.drop for source in sources}
            for file in self._added[name].files
        }
        total = sum(rows[source.path] for source in sources)
        share = min(_MOST_ROWS_TO_SPLIT, max(_LEAST_ROWS_TO_SPLIT, total // (2 * self._engine.workers)))
        shares: list[list[PartSource]] = [[]]
        filled = 0
        for source in sources:
            if shares[-1] and filled + rows[source.path] > share:
                shares.append([])
                filled = 0
            shares[-1].append(source)
            filled += rows[source.path]
        return shares
