"""What may import what: eight layers of subpackages, no cycles, and Dagster in one place alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from uda_assets_tests.support.places import PROJECT

PACKAGE = PROJECT / "uda_assets"

LAYERS = [
    {"basics"},
    {"contract", "storage"},
    {"kernel", "lake", "synthetic"},
    {"ingest", "warehouse"},
    {"engines", "report"},
    {"pipeline"},
    {"cli", "defs"},
    {"definitions", "__main__"},
]
"""From the bottom up. A subpackage imports itself and what is below it, never its neighbour."""

WITH_DAGSTER = {"defs", "definitions"}


class Import(NamedTuple):
    """An import, wherever in a module it stands."""

    importer: str
    imported: str
    where: str

    @property
    def subpackages(self) -> tuple[str, str]:
        """The subpackages of the importer and of the imported module."""
        return self.importer.split(".")[1], self.imported.split(".")[1]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in PACKAGE.rglob("*.py")}


def imports_of(module: str) -> Iterator[Import]:
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        where = f"{module}, line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (Import(module, name.name, where) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{where}: name the package that it imports from"
            names = [f"{node.module}.{name.name}" for name in node.names]
            yield from (Import(module, name if name in MODULES else str(node.module), where) for name in names)


ALL = [one for module in sorted(MODULES) for one in imports_of(module)]
OURS = [one for one in ALL if one.imported in MODULES and one.imported != "uda_assets" and one.importer != "uda_assets"]


def test_every_subpackage_has_its_layer() -> None:
    found = {module.split(".")[1] for module in MODULES if "." in module}
    assert found == set().union(*LAYERS)


def test_imports_point_downwards() -> None:
    layer_of = {name: number for number, names in enumerate(LAYERS) for name in names}
    upwards = [
        one.where
        for one in OURS
        for importer, imported in [one.subpackages]
        if importer != imported and layer_of[importer] <= layer_of[imported]
    ]
    assert upwards == []


def test_no_modules_import_each_other() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for one in OURS:
        if one.importer != one.imported:
            graph[one.importer].add(one.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail(f"these modules import each other: {' -> '.join(cycle.args[1])}")


def test_dagster_is_known_in_one_place_alone() -> None:
    knowing = {
        one.importer.split(".")[1]
        for one in ALL
        if one.imported.split(".")[0] in {"dagster", "dagster_duckdb", "dagster_webserver"}
    }
    assert knowing == WITH_DAGSTER


def test_no_private_modules_of_other_packages_are_imported() -> None:
    private = [
        one.where
        for one in ALL
        if not one.imported.startswith("uda_assets")
        and any(part.startswith("_") and part != "__future__" for part in one.imported.split("."))
    ]
    assert private == []
