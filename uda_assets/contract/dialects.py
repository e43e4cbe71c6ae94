"""How the files of a supplier are written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath

import msgspec

ISO, EPOCHS = "iso", ("epoch_s", "epoch_ms", "epoch_us")
"""The names of time formats that are not patterns."""
COMMA, TAB = ",", "\t"


def usual_delimiter(drop: str) -> str:
    """Return the delimiter of a drop of which no other is stated: a tab if its name says so."""
    return TAB if ".tsv" in PurePosixPath(drop.lower()).suffixes[-2:] else COMMA


@dataclass(frozen=True)
class Dialect:
    """How a drop is written. The defaults are those of a drop whose supplier has no entry.

    Attributes:
        delimiter: The character between fields; None for a comma, or a tab in a ``.tsv`` file.
        quote: The character around quoted fields, which is doubled inside them; empty for none.
        escape: The character that makes the next one literal, inside quotes and out; empty for none.
        encoding: The codec of the text; a byte order mark wins over it.
        skip_lines: The number of physical lines before the header.
        header: The names of the columns, for files without a header.
        trailing_delimiter: Whether each line may end in one more delimiter.
        null: Texts that stand for an empty field, quoted or not, after trimming.
        columns: For columns of the contract the names that the supplier gives them; several are joined by slashes.
        constants: The values of columns of the contract that a file does not have.
        formats: The forms of times, tried in this order: ``iso``, ``epoch_s``, ``epoch_ms``, ``epoch_us``, or a pattern
            of :func:`time.strptime`.
        timezone: The time zone of times without an offset.
        byte_order_mark: Whether a byte order mark decides the encoding; in the default dialect only UTF-8 has one.
    """

    delimiter: str | None = None
    quote: str = '"'
    escape: str = ""
    encoding: str = "utf-8"
    skip_lines: int = 0
    header: tuple[str, ...] = ()
    trailing_delimiter: bool = False
    null: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    formats: tuple[str, ...] = (ISO,)
    timezone: str = "UTC"
    byte_order_mark: bool = False

    def of(self, drop: str) -> Dialect:
        """Return the dialect with the delimiter that follows from a drop's name, unless it is given."""
        return replace(self, delimiter=self.delimiter or usual_delimiter(drop))

    def key(self, drop: str) -> str:
        """Return a hash of all in which the dialect differs from the default for a drop, or nothing if it does not.

        That byte order marks are heeded is left out: it concerns only the drops that have one.
        """
        default = asdict(DEFAULT_DIALECT.of(drop))
        own = asdict(replace(self.of(drop), byte_order_mark=False))
        different = {name: value for name, value in own.items() if value != default[name]}
        return hashlib.sha256(msgspec.json.encode(different, order="sorted")).hexdigest() if different else ""


DEFAULT_DIALECT = Dialect()
CSV = DEFAULT_DIALECT.of("a.csv")
"""The default dialect of a drop whose name does not ask for tabs."""
