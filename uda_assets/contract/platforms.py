"""The platform table: the canonical names of platforms and their spellings."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from uda_assets.basics.errors import UdaError
from uda_assets.basics.settings import Settings

DEFAULT_PLATFORMS: Mapping[str, tuple[str, ...]] = {"Android": (), "Web": (), "iOS": ()}
"""The built-in canonical names and their further spellings. A name's own normalised form is always a spelling of it."""

_FILE = "platforms.toml"


class ContractError(UdaError):
    """The platform table is contradictory or not well formed."""


def normalise_platform(spelling: str) -> str:
    """Return the form in which spellings of a platform are compared: NFKC, trimmed and casefolded.

    Casefolding can undo NFKC, as with ``ß`` and an accent. So the steps are repeated until they change nothing.
    Normalising twice is then the same as normalising once, on which stored spellings rely.
    """
    while True:
        normal = unicodedata.normalize("NFKC", spelling).strip().casefold()
        if normal == spelling:
            return normal
        spelling = normal


_LONGEST_PLATFORM = 255 - len("platform=")
"""The largest length of a percent-encoded platform, whose directory is named ``platform=…``."""


def _fits(platform: str) -> bool:
    return len(platform) <= _LONGEST_PLATFORM and len(quote(platform, safe=" ")) <= _LONGEST_PLATFORM


def _require_usable(name: str) -> None:
    if not name.strip() or name != name.strip() or not name.isprintable():
        raise ContractError(f"platform name {name!r} must be printable text without surrounding white space")
    if not _fits(name):
        raise ContractError(f"platform name {name[:40]!r}… is too long for a directory's name; shorten it")


def _literal(text: str) -> str:
    """Return a pattern that matches this text alone."""
    return re.sub(r"[*?[]", r"[\g<0>]", text)


@dataclass(frozen=True)
class Platforms:
    """The platform table: it maps each spelling to a canonical platform.

    Attributes:
        table: The further spellings of each canonical name.
        keep_unknown: Whether to keep records of unknown platforms under their normalised spelling instead of
            quarantining them. A spelling that is too long for the name of a directory is quarantined all the same.
        patterns: Patterns of normalised spellings, each with a canonical name. They come before the table, and the
            first one that matches counts.
    """

    table: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(DEFAULT_PLATFORMS))
    keep_unknown: bool = False
    patterns: tuple[tuple[str, str], ...] = ()

    def preceded(self, table: Mapping[str, Iterable[str]]) -> Platforms:
        """Return this table with a supplier's own spellings before it; these may be patterns.

        Raises:
            ContractError: A name is empty, too long or not printable.
        """
        for name in table:
            _require_usable(name)
        own = [(spelling, name) for name, spellings in table.items() for spelling in (*spellings, _literal(name))]
        return replace(self, patterns=tuple((normalise_platform(spelling), name) for spelling, name in own))

    def extended(self, further: Mapping[str, Iterable[str]], *, keep_unknown: bool | None = None) -> Platforms:
        """Return a table with ``further`` platforms and spellings; ``keep_unknown`` overrides its own unless None."""
        table = {name: tuple(spellings) for name, spellings in self.table.items()}
        for name, spellings in further.items():
            table[name] = tuple(dict.fromkeys((*table.get(name, ()), *spellings)))
        return Platforms(table, self.keep_unknown if keep_unknown is None else keep_unknown, self.patterns)

    @cached_property
    def spellings(self) -> dict[str, str]:
        """The canonical name for each normalised spelling.

        Raises:
            ContractError: A name is empty, too long or not printable, or a spelling means two platforms.
        """
        names: dict[str, str] = {}
        for name, further in self.table.items():
            _require_usable(name)
            for spelling in (name, *further):
                known = names.setdefault(normalise_platform(spelling), name)
                if known != name:
                    raise ContractError(
                        f"platform spelling {spelling!r} is listed under both {known!r} and {name!r}; keep only one"
                    )
        return names

    def resolve(self, spelling: str) -> str | None:
        """Return the canonical platform for a spelling, or None if it is unknown."""
        normal = normalise_platform(spelling)
        for pattern, name in self.patterns:
            if fnmatchcase(normal, pattern):
                return name
        return self.spellings.get(normal) or (normal if self.keep_unknown and normal and _fits(normal) else None)

    @property
    def fingerprint(self) -> str:
        """A hash of the table; tables with the same meaning have the same hash."""
        meaning = json.dumps([sorted(self.spellings.items()), self.keep_unknown, *self.patterns])
        return hashlib.sha256(meaning.encode()).hexdigest()


def read_platforms(path: Path) -> Platforms:
    """Return the built-in platform table extended by a TOML file, if that exists.

    The file has a table ``[platforms]`` of canonical names, each with a list of further spellings. It may have a line
    ``keep_unknown = true`` at its top.

    Raises:
        ContractError: The file cannot be read, has other content, or the resulting table is contradictory.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        unknown = sorted(content.keys() - {"platforms", "keep_unknown"})
        if unknown:
            raise ContractError(f"unknown entry {unknown[0]!r}; list platforms below a line [platforms]")
        return platforms_from(content.get("platforms", {}), keep_unknown=content.get("keep_unknown"))
    except (FileNotFoundError, NotADirectoryError):
        return Platforms()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ContractError) as error:
        raise ContractError(f"{path}: {error}") from None


def platforms_from(table: object, base: Platforms | None = None, *, keep_unknown: object = None) -> Platforms:
    """Return a platform table extended by what a file or a run config contains.

    Args:
        table: Further platforms and spellings; not validated yet.
        base: The table to extend, by default the built-in one.
        keep_unknown: Overrides that of ``base`` unless None; not validated yet.

    Raises:
        ContractError: ``table`` does not map names to lists of spellings, ``keep_unknown`` is not a bool, or the
            resulting table is contradictory.
    """
    if not isinstance(table, Mapping) or not all(isinstance(name, str) for name in table):
        raise ContractError("platforms must be a table of platform names")
    for name, spellings in table.items():
        if not isinstance(spellings, list) or not all(isinstance(spelling, str) for spelling in spellings):
            raise ContractError(f"platform {name!r} must have a list of spellings")
    if keep_unknown is not None and not isinstance(keep_unknown, bool):
        raise ContractError("keep_unknown must be true or false")
    platforms = (base or Platforms()).extended(table, keep_unknown=keep_unknown)
    _ = platforms.spellings  # raises an error if the table is contradictory
    return platforms


def platform_table(root: Path, settings: Settings, further: object = None) -> Platforms:
    """Return the platform table in force.

    It is the built-in table, extended by ``platforms.toml`` in the data root and by the ``further`` platforms of a run
    config.

    Raises:
        ContractError: The file or the run config is not well formed, or the resulting table is contradictory.
    """
    return platforms_from(further or {}, read_platforms(root / _FILE), keep_unknown=settings.keep_unknown_platforms)
