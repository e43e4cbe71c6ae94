"""Platforms and their spellings."""

from __future__ import annotations

import hashlib
import json
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from uda_assets.basics.errors import UdaError
from uda_assets.basics.settings import Settings

DEFAULT_PLATFORMS: Mapping[str, tuple[str, ...]] = {"Android": (), "Web": (), "iOS": ()}
"""Canonical platform names and their further spellings; a name's own normalised form is always one of its spellings."""


_FILE = "platforms.toml"


class ContractError(UdaError):
    """The platform table contradicts itself or is not well formed."""


def normalise_platform(spelling: str) -> str:
    """The form under which spellings of a platform are compared: NFKC, trimmed, casefolded."""
    return unicodedata.normalize("NFKC", spelling).strip().casefold()


_LONGEST_PLATFORM = 255 - len("platform=")
"""Bytes of a platform, percent-encoded, that the name of its directory has room for."""


def _fits(platform: str) -> bool:
    return len(platform) <= _LONGEST_PLATFORM and len(quote(platform, safe=" ")) <= _LONGEST_PLATFORM


@dataclass(frozen=True)
class Platforms:
    """The platform table: which spelling means which canonical platform.

    Attributes:
        table: Canonical name to its further spellings.
        keep_unknown: Keep records of unknown platforms under their normalised spelling instead of quarantining them,
            as long as that can be the name of a directory.

    """

    table: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(DEFAULT_PLATFORMS))
    keep_unknown: bool = False

    def extended(self, further: Mapping[str, Iterable[str]], *, keep_unknown: bool | None = None) -> Platforms:
        """A table that also knows ``further`` platforms and spellings."""
        table = {name: tuple(spellings) for name, spellings in self.table.items()}
        for name, spellings in further.items():
            table[name] = tuple(dict.fromkeys((*table.get(name, ()), *spellings)))
        return Platforms(table, self.keep_unknown if keep_unknown is None else keep_unknown)

    @cached_property
    def spellings(self) -> dict[str, str]:
        """Normalised spelling to canonical name.

        Raises:
            ContractError: A name is empty or has control characters, or one spelling means two platforms.

        """
        found: dict[str, str] = {}
        for name, further in self.table.items():
            if not name.strip() or name != name.strip() or not name.isprintable():
                raise ContractError(f"platform name {name!r} must be printable, without white space around it")
            if not _fits(name):
                raise ContractError(f"platform name {name[:40]!r}… is too long for a directory of its own")
            for spelling in (name, *further):
                known = found.setdefault(normalise_platform(spelling), name)
                if known != name:
                    raise ContractError(f"platform spelling {spelling!r} is listed under both {known!r} and {name!r}")
        return found

    def resolve(self, spelling: str) -> str | None:
        """The canonical platform of ``spelling``, or None where it is unknown."""
        normal = normalise_platform(spelling)
        return self.spellings.get(normal) or (normal if self.keep_unknown and normal and _fits(normal) else None)

    @property
    def fingerprint(self) -> str:
        """A hash of the table, equal for equal meaning."""
        meaning = json.dumps([sorted(self.spellings.items()), self.keep_unknown])
        return hashlib.sha256(meaning.encode()).hexdigest()


def read_platforms(path: Path) -> Platforms:
    """The platform table with what a TOML file adds to it; a file that is not there adds nothing.

    The file holds a table ``[platforms]`` of canonical names, each with a list of further spellings, and optionally
    ``keep_unknown = true`` at its top.

    Raises:
        ContractError: The file is not such a table, or holds something else.

    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        unknown = sorted(content.keys() - {"platforms", "keep_unknown"})
        if unknown:
            raise ContractError(f"unknown entry {unknown[0]!r}; platforms stand below a line [platforms]")
        return platforms_from(content.get("platforms", {}), keep_unknown=content.get("keep_unknown"))
    except (FileNotFoundError, NotADirectoryError):
        return Platforms()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ContractError) as error:
        raise ContractError(f"{path}: {error}") from None


def platforms_from(table: object, base: Platforms | None = None, *, keep_unknown: object = None) -> Platforms:
    """The platform table ``base`` with what was read from a file or a run config, checked.

    Raises:
        ContractError: ``table`` does not map names to lists of spellings, or contradicts itself.

    """
    if not isinstance(table, Mapping) or not all(isinstance(name, str) for name in table):
        raise ContractError("platforms must be a table of platform names")
    for name, spellings in table.items():
        if not isinstance(spellings, list) or not all(isinstance(spelling, str) for spelling in spellings):
            raise ContractError(f"platform {name!r} must have a list of spellings")
    if keep_unknown is not None and not isinstance(keep_unknown, bool):
        raise ContractError("keep_unknown must be true or false")
    platforms = (base or Platforms()).extended(table, keep_unknown=keep_unknown)
    _ = platforms.spellings  # contradictions show here
    return platforms


def platform_table(root: Path, settings: Settings, further: object = None) -> Platforms:
    """The platform table in force: built in, ``platforms.toml`` at the data root, and what a run config adds."""
    return platforms_from(further or {}, read_platforms(root / _FILE), keep_unknown=settings.keep_unknown_platforms)
