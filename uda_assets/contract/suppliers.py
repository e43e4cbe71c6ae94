"""The suppliers' file: which drops come from whom, and how they are written."""

from __future__ import annotations

import codecs
import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from uda_assets.basics.errors import UdaError
from uda_assets.basics.settings import Settings
from uda_assets.contract.columns import COLUMNS, WHITE_SPACE, comparable
from uda_assets.contract.dialects import DEFAULT_DIALECT, EPOCHS, ISO, Dialect, usual_delimiter
from uda_assets.contract.platforms import ContractError, Platforms, platform_table

if TYPE_CHECKING:
    from pathlib import Path as Location

FILE = "suppliers.toml"

KEYS = (
    "name", "drops", "delimiter", "quote", "escape", "encoding", "skip_lines", "header", "trailing_delimiter", "null",
    "columns", "constants", "time", "platforms",
)  # fmt: skip
"""The keys of an entry."""

DIRECTIVES = "YymdHIMSfpbBaAjzZ%"
"""What may follow a percent sign in a pattern of times."""
_FULL_DATES = (("Yy", "mbB", "d"), ("Yy", "j"))
_MOST_LINES_SKIPPED = 1_000_000
_UNFIT_CODECS = re.compile(r"idna|punycode|unicode.escape|raw.unicode.escape|undefined|mbcs|oem")


class SupplierError(UdaError):
    """The suppliers' file is contradictory or not well formed."""


class Supplier(NamedTuple):
    """An entry of the suppliers' file.

    Attributes:
        name: The supplier's name.
        drops: Patterns of the names of its drops, as of :mod:`fnmatch`; ``*`` also matches ``/``.
        dialect: How its drops are written.
        platforms: For platforms the supplier's own spellings, which may be patterns.
    """

    name: str
    drops: tuple[str, ...]
    dialect: Dialect
    platforms: Mapping[str, tuple[str, ...]]

    def delivers(self, drop: str) -> bool:
        """Return whether a drop has a name of this supplier's drops."""
        return any(fnmatchcase(drop, pattern) for pattern in self.drops)


class Suppliers(tuple[Supplier, ...]):
    """The entries of the suppliers' file, in order. The first one that matches a drop counts."""

    __slots__ = ()

    def of(self, drop: str) -> Supplier | None:
        """Return the supplier of a drop, if there is an entry for it."""
        return next((supplier for supplier in self if supplier.delivers(drop)), None)

    def named(self, name: str) -> Supplier:
        """Return the supplier with a name.

        Raises:
            SupplierError: There is none.
        """
        for supplier in self:
            if supplier.name == name:
                return supplier
        known = ", ".join(supplier.name for supplier in self) or "none"
        raise SupplierError(f"there is no supplier {name!r} in {FILE}; there are: {known}")

    def dialect_of(self, drop: str) -> Dialect:
        """Return how a drop is written."""
        supplier = self.of(drop)
        return (supplier.dialect if supplier else DEFAULT_DIALECT).of(drop)


class Rulebook:
    """What decides how drops are read: the platform table, and the suppliers' entries.

    Attributes:
        platforms: The platform table for drops without a supplier.
        suppliers: The entries.
    """

    def __init__(self, platforms: Platforms, suppliers: Suppliers = Suppliers()) -> None:  # noqa: B008 - never changed
        self.platforms, self.suppliers = platforms, suppliers
        self._keys: dict[tuple[str, str], str] = {}
        self._own = {supplier: platforms.preceded(spellings) for supplier, _, _, spellings in suppliers if spellings}

    def platforms_of(self, drop: str) -> Platforms:
        """Return the platform table for a drop: its supplier's own spellings come before all others."""
        supplier = self.suppliers.of(drop)
        return self._own.get(supplier.name, self.platforms) if supplier else self.platforms

    def dialect_key(self, drop: str) -> str:
        """Return what stands for the dialect of a drop in its manifest; nothing for the default one."""
        supplier = self.suppliers.of(drop)
        if supplier is None:
            return ""
        # This is asked for every drop, and there are few answers.
        place = (supplier.name, usual_delimiter(drop))
        if place not in self._keys:
            self._keys[place] = supplier.dialect.key(drop)
        return self._keys[place]

    def reading_of(self, file: str, supplier: str | None) -> tuple[Dialect, Platforms]:
        """Return how a file is read: as by a named supplier, or by the one whose patterns match the file's name.

        Raises:
            SupplierError: There is no supplier of that name.
        """
        if supplier is None:
            return self.suppliers.dialect_of(file), self.platforms_of(file)
        found = self.suppliers.named(supplier)
        return found.dialect.of(file), self._own.get(found.name, self.platforms)

    @property
    def key(self) -> str:
        """A hash of all of it."""
        suppliers = [
            (name, drops, dialect.key(""), self._own[name].fingerprint if name in self._own else "")
            for name, drops, dialect, _ in self.suppliers
        ]
        return hashlib.sha256(repr((self.platforms.fingerprint, suppliers)).encode()).hexdigest()


def rulebook(root: Location, settings: Settings, platforms: object = None, suppliers: object = None) -> Rulebook:
    """Return what decides how drops are read: the files at the data root, and what a run config adds.

    Args:
        root: The data root.
        settings: The settings in force.
        platforms: Further platforms of a run config.
        suppliers: Entries of a run config, which come before those of the file.

    Raises:
        ContractError: ``platforms.toml`` is not well formed.
        SupplierError: An entry is not valid.
    """
    return Rulebook(platform_table(root, settings, platforms), read_suppliers(root / FILE, suppliers))


def read_suppliers(path: Location, further: object = None) -> Suppliers:
    """Return the entries of a suppliers' file, if it exists, after those of a run config.

    An entry of the run config replaces its namesake.

    Raises:
        SupplierError: The file cannot be read or has an invalid entry, or the run config has one.
    """
    own = entries_of(further or [], "run config")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return Suppliers(own)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SupplierError(f"{path}: {error}") from None
    unknown = sorted(content.keys() - {"supplier"})
    if unknown:
        raise SupplierError(f"{path}: unknown key {unknown[0]!r}; each entry begins with a line [[supplier]]")
    names = {supplier.name for supplier in own}
    filed = entries_of(content.get("supplier", []), str(path))
    return Suppliers((*own, *(supplier for supplier in filed if supplier.name not in names)))


def entries_of(entries: object, source: str) -> list[Supplier]:
    """Return the suppliers of some entries.

    Args:
        entries: What a file or a run config contains; not validated yet.
        source: Where that is, for error messages.

    Raises:
        SupplierError: An entry is not valid.
    """
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise SupplierError(f"{source}: an entry begins with a line [[supplier]], with two brackets on each side")
    found: list[Supplier] = []
    for number, entry in enumerate(entries, 1):
        supplier = _Entry(entry, f"{source}: supplier {entry.get('name', number)!r}").supplier
        if any(supplier.name == other.name for other in found):
            raise SupplierError(f"{source}: supplier {supplier.name!r}: two entries have this name; rename one")
        found.append(supplier)
    return found


class _Entry:
    """Validates one entry."""

    def __init__(self, entry: Mapping[str, Any], where: str) -> None:
        self._entry, self._where = entry, where

    def _wrong(self, key: str, complaint: str) -> SupplierError:
        return SupplierError(f"{self._where}: {key} {complaint}")

    @cached_property
    def supplier(self) -> Supplier:
        """The entry.

        Raises:
            SupplierError: It is not valid.
        """
        self._require_known(self._entry, KEYS, "")
        time = self._table("time")
        self._require_known(time, ("formats", "timezone"), "time.")
        dialect = Dialect(
            delimiter=self._character("delimiter", empty=False),
            quote=self._mark("quote", DEFAULT_DIALECT.quote),
            escape=self._mark("escape", DEFAULT_DIALECT.escape),
            encoding=self._encoding(),
            skip_lines=self._skip_lines(),
            header=self._texts("header"),
            trailing_delimiter=self._flag("trailing_delimiter"),
            null=self._nulls(),
            columns=self._columns(),
            constants=self._constants(),
            formats=self._formats(time),
            timezone=self._timezone(time),
            byte_order_mark=True,
        )
        self._require_different(dialect)
        self._require_columns(dialect)
        return Supplier(self._name(), self._drops(), dialect, self._platforms())

    def _require_known(self, table: Mapping[str, Any], known: Iterable[str], prefix: str) -> None:
        known = tuple(known)
        for key in table:
            if key not in known:
                raise self._wrong(
                    f"{prefix}{key}", f"is no key; there are {', '.join(prefix + name for name in known)}"
                )

    # -- kinds of values -----------------------------------------------------------------------------------------------

    def _table(self, key: str) -> Mapping[str, Any]:
        value = self._entry.get(key, {})
        if not isinstance(value, Mapping):
            raise self._wrong(key, f"must be a table, [supplier.{key}]")
        return value

    def _texts(self, key: str, value: object = None) -> tuple[str, ...]:
        value = self._entry.get(key, []) if value is None else value
        if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
            raise self._wrong(key, "must be a list of texts that are not empty")
        return tuple(value)

    def _flag(self, key: str) -> bool:
        value = self._entry.get(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, f"must be true or false, not {value!r}")
        return value

    def _character(self, key: str, *, empty: bool) -> str | None:
        value = self._entry.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.isascii() or len(value) > 1 or (not value and not empty):
            allowed = 'one ASCII character, or "" for none' if empty else "one ASCII character"
            raise self._wrong(key, f"must be {allowed}, not {value!r}")
        if value in ("\n", "\r", "\0"):
            raise self._wrong(key, f"must not be a line end or NUL, as {value!r} is")
        return value

    def _mark(self, key: str, default: str) -> str:
        value = self._character(key, empty=True)
        if value and value in WHITE_SPACE:
            raise self._wrong(key, "must not be white space, which is trimmed")
        return default if value is None else value

    # -- keys ----------------------------------------------------------------------------------------------------------

    def _name(self) -> str:
        name = self._entry.get("name")
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise self._wrong("name", "must be a printable text that is not empty")
        return name

    def _drops(self) -> tuple[str, ...]:
        patterns = self._texts("drops")
        if not patterns:
            raise self._wrong("drops", 'must list patterns of the names of drops, such as ["acme/*"]')
        for pattern in patterns:
            if "[" in pattern and "]" not in pattern[pattern.index("[") + 2 :]:
                raise self._wrong("drops", f"has {pattern!r}, whose [ is not closed")
        return patterns

    def _encoding(self) -> str:
        name = self._entry.get("encoding", DEFAULT_DIALECT.encoding)
        try:
            found = codecs.lookup(name).name
            "".encode(found)  # raises an error if the codec is not one of texts
        except (LookupError, TypeError, ValueError):
            found = ""
        if not found or _UNFIT_CODECS.search(found):
            raise self._wrong("encoding", f"cannot be {name!r}; name a codec of Python's such as utf-16 or cp1252")
        return "utf-8" if found in ("utf-8", "utf-8-sig") else found

    def _skip_lines(self) -> int:
        value = self._entry.get("skip_lines", 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_LINES_SKIPPED:
            raise self._wrong("skip_lines", f"must be a number from 0 to {_MOST_LINES_SKIPPED}, not {value!r}")
        return value

    def _nulls(self) -> tuple[str, ...]:
        nulls = self._texts("null")
        for text in nulls:
            if text != text.strip(WHITE_SPACE) or not text.isprintable():
                raise self._wrong("null", f"has {text!r}; fields are trimmed before they are compared")
        return nulls

    def _columns(self) -> dict[str, tuple[str, ...]]:
        table = self._table("columns")
        self._require_known(table, COLUMNS, "columns.")
        return {
            column: self._texts(f"columns.{column}", [names] if isinstance(names, str) else names)
            for column, names in table.items()
        }

    def _constants(self) -> dict[str, str]:
        table = self._table("constants")
        self._require_known(table, COLUMNS, "constants.")
        for column, value in table.items():
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise self._wrong(f"constants.{column}", f"must be a printable text that is not empty, not {value!r}")
            if column in self._table("columns"):
                raise self._wrong(f"constants.{column}", f"contradicts columns.{column}; keep only one")
        return {column: value.strip() for column, value in table.items()}

    def _formats(self, time: Mapping[str, Any]) -> tuple[str, ...]:
        formats = self._texts("time.formats", time.get("formats", [ISO]))
        if not formats:
            raise self._wrong("time.formats", "must name at least one format")
        for pattern in formats:
            if pattern not in (ISO, *EPOCHS) and (complaint := _pattern_fault(pattern)):
                raise self._wrong("time.formats", f"cannot have {pattern!r}: {complaint}")
        return formats

    def _timezone(self, time: Mapping[str, Any]) -> str:
        name = time.get("timezone", DEFAULT_DIALECT.timezone)
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            raise self._wrong("time.timezone", f"cannot be {name!r}; name a zone such as Europe/Berlin") from None
        return str(name)

    def _platforms(self) -> dict[str, tuple[str, ...]]:
        found = {name: self._texts(f"platforms.{name}", texts) for name, texts in self._table("platforms").items()}
        try:
            _ = Platforms().preceded(found)
        except ContractError as error:
            raise self._wrong("platforms", f"is not right: {error}") from None
        return found

    # -- contradictions ------------------------------------------------------------------------------------------------

    def _require_different(self, dialect: Dialect) -> None:
        delimiter = dialect.delimiter or ","
        for key, value, other, against in (
            ("delimiter", delimiter, dialect.quote, "quote"),
            ("delimiter", delimiter, dialect.escape, "escape"),
            ("escape", dialect.escape, dialect.quote, "quote"),
        ):
            if value and value == other:
                raise self._wrong(key, f"must not be the same character as {against}, {value!r}")

    def _require_columns(self, dialect: Dialect) -> None:
        names = [comparable(name) for name in dialect.header]
        for column in COLUMNS if names else ():
            for wanted in dialect.columns.get(column, (column,)):
                count = names.count(comparable(wanted))
                if count > 1:
                    raise self._wrong("header", f"names {wanted} more than once")
                if not count and column not in dialect.constants:
                    raise self._wrong(
                        "header", f"has no column {wanted}; name it, or give columns.{column} or constants.{column}"
                    )


def _pattern_fault(pattern: str) -> str | None:
    """Return what is wrong with a pattern of times, if anything is."""
    directives = re.findall(r"%(.?)", pattern, re.DOTALL)
    if "%" not in pattern:
        return f"it is neither {ISO}, {', '.join(EPOCHS)} nor a pattern such as %d/%m/%Y %H:%M:%S"
    for directive in directives:
        if not directive or directive not in DIRECTIVES:
            return f"%{directive} is not supported; there are %{', %'.join(DIRECTIVES)}"
    if not any(all(set(choice) & set(directives) for choice in date) for date in _FULL_DATES):
        return "it has no full date (%Y, %m and %d)"
    return None
