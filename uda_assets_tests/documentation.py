"""What the documentation repeats of the code, made from the code: ``uv run python -m uda_assets_tests.documentation``.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; a test fails where it is not as it would be made.
Commands are taken from the pages too, so that a test can run them; see test_documentation.py.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from uda_assets_tests.support.places import PROJECT

PAGES = (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")), PROJECT / "benchmarks/README.md")

_TABLE = re.compile(r"(?ms)^<!-- table: ([\w-]+) -->\n.*?^<!-- end -->$")
_FENCE = re.compile(r"(?ms)^( *)```([^\n`]*)\n(.*?)^\1```$")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*(?:uv|uda|dagster|python|pip|git|dask|curl) (?!…)\S.*")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: Of the code, the first word behind the fence.
        tested_by: Who runs it where the test of the documentation cannot, a path in the project.
        text: The code.
    """

    page: Path
    language: str
    tested_by: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for indent, info, text in _FENCE.findall(page.read_text(encoding="utf-8")):
        language, _, tested_by = info.strip().partition(" tested-by=")
        found.append(Block(page, language, tested_by, re.sub(f"(?m)^{indent}", "", text)))
    return found


def inline_commands(page: Path) -> set[str]:
    """The commands that stand within the text of a page."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {found for found in _INLINE.findall(prose) if _COMMAND.fullmatch(found)}


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join([_row(*header), _row(*("---" for _ in header)), *(_row(*row) for row in rows)])


def _described() -> Iterator[tuple[tuple[str, ...], str]]:
    """Names of settings with what their class's docstring says of them."""
    from uda_assets.basics.settings import Settings

    _, _, attributes = inspect.cleandoc(Settings.__doc__ or "").partition("Attributes:\n")
    for names, text in re.findall(r"(?ms)^    (\w[\w, ]*): (.*?)(?=^    \w|\Z)", attributes):
        yield tuple(names.split(", ")), " ".join(text.split()).replace("``", "`")


def settings_table() -> str:
    """The settings as a table: variable, default, meaning."""
    import msgspec

    from uda_assets.basics.settings import Settings

    defaults = {field.name: field.default for field in msgspec.structs.fields(Settings)}
    meaning = {name: text for group, text in _described() for name in group}
    missing = defaults.keys() ^ meaning.keys()
    assert not missing, f"the docstring of Settings and its fields differ in {sorted(missing)}"
    rows = [(f"`UDA_{name.upper()}`", _default(name, defaults[name]), text) for name, text in meaning.items()]
    return _table(("variable", "default", "meaning"), rows)


def _default(name: str, value: object) -> str:
    if name == "threads":
        return "processors"  # a number that differs from machine to machine
    if value is None or value == "":
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def commands_table() -> str:
    """The commands of the program with the first sentence of their help."""
    from uda_assets.cli.program import app

    rows = []
    for name, command in app.commands.items():
        (said, *_) = re.split(r"(?<=\.)\s", " ".join((command.help or "").split()))
        rows.append((f"`uda {name}`", said.rstrip(".")))
    return _table(("command", "does"), rows)


def reasons_table() -> str:
    """Why a record is malformed, in order of precedence, and how it is mended."""
    from uda_assets.contract.reasons import Reason

    return _table(("reason", "what is wrong, and what to do"), [(f"`{each}`", each.explanation) for each in Reason])


def columns_table() -> str:
    """The tables of the warehouse with their columns."""
    from uda_assets.contract import dictionary

    tables = {
        "sessions": dictionary.SESSIONS.columns,
        "top_n_by_platform": dictionary.LEADERBOARD.columns,
        "daily_top_n_by_platform": (dictionary.DAY, *dictionary.DAILY_LEADERBOARD.columns),
        "drops": dictionary.DROPS.columns,
        "quarantine": dictionary.QUARANTINE.columns,
    }
    return _table(
        ("table", "column", "type", "meaning"),
        [
            (f"`{name}`", f"`{column.name}`", column.kind, column.description)
            for name, columns in tables.items()
            for column in columns
        ],
    )


def checks_table() -> str:
    """The asset checks with their descriptions."""
    from uda_assets_tests.support.definitions import defs

    graph = defs.resolve_asset_graph()
    specs = sorted(
        (graph.get_check_spec(key) for key in graph.asset_check_keys), key=lambda spec: (spec.asset_key.path, spec.name)
    )
    rows = [
        (
            f"`{spec.name}`",
            f"`{spec.asset_key.path[-1]}`",
            "yes" if spec.blocking else "",
            " ".join((spec.description or "").split()),
        )
        for spec in specs
    ]
    return _table(("check", "of", "blocks", "promises"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "commands": commands_table,
    "reasons": reasons_table,
    "columns": columns_table,
    "checks": checks_table,
}


def renewed(text: str) -> str:
    """A page with its tables made anew."""
    return _TABLE.sub(
        lambda found: f"<!-- table: {found[1]} -->\n{TABLES[found[1]]()}\n<!-- end -->", text
    )  # fmt: skip


def main() -> None:
    """Write each page whose tables are not as they would be made now."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (now := renewed(text)) != text:
            page.write_text(now, encoding="utf-8")
            print(page.relative_to(PROJECT))


if __name__ == "__main__":
    main()
