"""The compiled kernel (``kernel.c``), called through ctypes, which releases the global interpreter lock."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable, Mapping, Sequence
from ctypes import POINTER, Structure, byref, c_char_p, c_int32, c_int64, c_ubyte, c_void_p
from enum import IntEnum, IntFlag
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from uda_assets.basics.errors import UdaError
from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.dialects import EPOCHS, ISO, Dialect
from uda_assets.contract.reasons import Reason
from uda_assets.kernel.zones import offsets_of_day

LIBRARY = Path(__file__).with_name(f"kernel-{sys.platform}.so")
"""The compiled kernel; the build of the package makes it (``build.py``)."""

REASONS = tuple(Reason)
"""The kernel numbers reasons in this order."""


class Status(IntEnum):
    """Why the kernel returned."""

    DONE = 0
    NEEDS_PLATFORM = 1
    NEEDS_DAY = 2
    NEEDS_EXTENT = 3
    NEEDS_DATA = 4
    TOO_LONG = 5
    NO_MEMORY = 6


class Wanted(IntFlag):
    """What the kernel is to collect: accepted records by platform, sessions, malformed records."""

    RECORDS = 1
    SESSIONS = 2
    FAULTS = 4


_FORMATS = (ISO, *EPOCHS)
"""The kernel numbers forms of times in this order; patterns come last."""


class Extent(NamedTuple):
    """What follows a line that ends inside a record, up to the record's end.

    Every line end between ``start`` and ``end`` lies in quotes. So what follows is the same for each record that is
    open at one of them, and has to be found only once.

    Attributes:
        start: The offset of the line after the open one.
        end: The offset after the record's line end.
        lines: The number of physical lines between both.
        last_bad_quote: The offset of the last misplaced quote, or -1.
        last_invalid: The offset of the last byte that is not UTF-8, or -1.
        state: The kernel's state at all line ends inside, or -1 if it is not always the same.
        unterminated: Whether the drop ends before the record.
    """

    start: int
    end: int
    lines: int = 0
    last_bad_quote: int = -1
    last_invalid: int = -1
    state: int = 0
    unterminated: int = 0

    def covers(self, offset: int, state: int) -> bool:
        """Return whether a record that is open at an offset in a state ends where this extent ends."""
        return self.start <= offset < self.end and (self.state == state or self.start == offset)

    def moved(self, by: int) -> Extent:
        """Return the extent with offsets that are larger by a number."""
        bad_quote, invalid = (at + by if at >= 0 else -1 for at in (self.last_bad_quote, self.last_invalid))
        return self._replace(start=self.start + by, end=self.end + by, last_bad_quote=bad_quote, last_invalid=invalid)


class Columns(NamedTuple):
    """Where the contract's columns are in a drop.

    Attributes:
        width: The number of columns of the drop.
        parts: For each column of the contract the positions, from 0, of the columns whose texts are joined to its
            value. A column without parts has a constant.
        constants: The values of the columns without parts.
    """

    width: int
    parts: Mapping[str, Sequence[int]]
    constants: Mapping[str, str] = {}  # read only


# ---- C structures ----------------------------------------------------------------------------------------------------


class CText(Structure):
    """Bytes of a text, which belong to someone else."""

    _fields_ = [("at", c_void_p), ("length", c_int64)]

    @property
    def value(self) -> bytes:
        """A copy of the bytes."""
        return ctypes.string_at(self.at, self.length) if self.length else b""


class CFormat(Structure):
    """A form of times."""

    _fields_ = [("kind", c_int32), ("pattern", CText)]


class CDialect(Structure):
    """A dialect, and where the contract's columns are."""

    _fields_ = [
        ("delimiter", c_ubyte), ("quote", c_ubyte), ("escape", c_ubyte), ("trailing_delimiter", c_ubyte),
        ("width", c_int32), ("slots", c_int32), ("nulls", c_int32), ("formats", c_int32),
        ("slot_of", POINTER(c_int32)), ("parts", POINTER(c_int32)), ("part_end", c_int32 * len(COLUMNS)),
        ("constant", CText * len(COLUMNS)), ("null", POINTER(CText)), ("format", POINTER(CFormat)),
        ("is_local", c_int32),
        ("longest", c_int64),
    ]  # fmt: skip


class CExtent(Structure):
    """An :class:`Extent`."""

    _fields_ = [
        ("start", c_int64), ("end", c_int64), ("lines", c_int64), ("last_bad_quote", c_int64),
        ("last_invalid", c_int64), ("state", c_int32), ("unterminated", c_int32),
    ]  # fmt: skip


class CReader(Structure):
    """The members of the kernel's reader that are read here."""

    _fields_ = [
        ("at", c_int64), ("line", c_int64), ("read", c_int64), ("kept", c_int64),
        ("reasons", c_int64 * len(REASONS)), ("platforms", c_int64), ("spellings", c_int64),
        ("lost_spellings", c_int64), ("sessions", c_int64), ("malformed", c_int64), ("question", CText),
        ("open_at", c_int64), ("open_state", c_int64),
    ]  # fmt: skip


class ArrowSchema(Structure):
    """A schema in Arrow's C data interface."""

    _fields_ = [("words", c_int64 * 7), ("release", c_void_p), ("private_data", c_void_p)]


_Release = ctypes.CFUNCTYPE(None, POINTER(ArrowSchema))


class ArrowArray(Structure):
    """An array in Arrow's C data interface."""

    _fields_ = [("length", c_int64), ("words", c_int64 * 9)]


@cache
def load_library() -> ctypes.CDLL:
    """Load the kernel.

    Raises:
        UdaError: The kernel was not built, or not for this machine.
    """
    try:
        library = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise UdaError(
            f"the reader was not built for this machine ({error}); run `uv sync --reinstall-package uda-assets`"
        ) from None
    reader = POINTER(CReader)
    arrow = [POINTER(ArrowSchema), POINTER(ArrowArray)]
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "uda_open": (reader, [POINTER(CDialect), c_int32]),
        "uda_close": (None, [reader]),
        "uda_begin": (None, [reader]),
        "uda_read": (c_int32, [reader, c_char_p, c_int64, c_int32]),
        "uda_answer": (c_int32, [reader, c_int32]),
        "uda_tell_day": (None, [reader, c_int64, c_int32, POINTER(c_int32), POINTER(c_int32)]),
        "uda_follow": (None, [reader, POINTER(CExtent)]),
        "uda_walk": (c_int32, [reader, c_char_p, c_int64, c_int32, POINTER(CExtent), POINTER(c_int32)]),
        "uda_records": (c_int64, [reader, c_int32, *arrow]),
        "uda_sessions": (c_int64, [reader, *arrow]),
        "uda_describe_sessions": (c_int32, [arrow[0]]),
        "uda_malformed": (c_int64, [reader, *arrow]),
        "uda_first_fault": (None, [reader, POINTER(c_int64), POINTER(c_int32), POINTER(CText)]),
        "uda_spelling": (c_int64, [reader, c_int64, POINTER(CText)]),
        "uda_split": (c_int32, [reader, c_char_p, c_int64]),
        "uda_field": (None, [reader, c_int32, POINTER(CText)]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


# ---- What Python uses ------------------------------------------------------------------------------------------------


class Exported:
    """A struct array that the kernel hands over; consumers take it by Arrow's PyCapsule interface.

    Attributes:
        schema: The C structure of the schema.
        array: The C structure of the array.
    """

    def __init__(self) -> None:
        self.schema, self.array = ArrowSchema(), ArrowArray()

    def release_schema(self) -> None:
        """Free the schema, if the array alone was consumed."""
        _Release(self.schema.release)(byref(self.schema))

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Return the capsules. They refer to this object, which must live until they are consumed."""
        del requested_schema
        return capsule(self.schema, b"arrow_schema"), capsule(self.array, b"arrow_array")


def capsule(structure: Structure, name: bytes) -> object:
    """Return a capsule for a C structure, as Arrow's PyCapsule interface asks for."""
    return _new_capsule(ctypes.addressof(structure), name, None)


_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, c_char_p, c_void_p)(("PyCapsule_New", ctypes.pythonapi))


class Kernel:
    """A reader of blocks; one thread at a time may use it.

    Args:
        dialect: How the drop is written.
        columns: Where the contract's columns are.
        wanted: What to collect.
        longest: The largest size of a record or line in bytes.

    Raises:
        UdaError: The kernel was not built for this machine.
        MemoryError: There is not enough memory.
    """

    def __init__(self, dialect: Dialect, columns: Columns, wanted: Wanted, longest: int) -> None:
        self._library = load_library()
        self._reader = None
        self._width, self._zone = columns.width, dialect.timezone
        described, self._kept_alive = _describe(dialect, columns, longest)
        self._reader = self._library.uda_open(byref(described), wanted)
        if not self._reader:
            raise MemoryError("no memory for a reader")

    def __del__(self) -> None:
        if self._reader:
            self._library.uda_close(self._reader)

    @property
    def state(self) -> Any:
        """The counts and offsets of the block: ``at``, ``line``, ``read``, ``kept``, ``platforms`` and so on."""
        return self._reader.contents  # type: ignore[union-attr]

    def begin(self) -> None:
        """Forget the last block."""
        self._library.uda_begin(self._reader)

    def read(self, block: bytes, *, is_last: bool) -> Status:
        """Read a block of whole lines, from where the kernel stopped.

        Args:
            block: The bytes. They may become more between two calls.
            is_last: Whether the block ends with the drop.
        """
        status = Status(self._library.uda_read(self._reader, block, len(block), is_last))
        if status is Status.NO_MEMORY:
            raise MemoryError("no memory for the records of a block")
        return status

    @property
    def question(self) -> str:
        """The spelling of a platform that the kernel asks about."""
        return str(self.state.question.value, "utf-8")

    def answer(self, platform: int) -> None:
        """Tell the kernel the number of the platform that it asked about, or -1 if it is unknown."""
        if self._library.uda_answer(self._reader, platform):
            raise MemoryError("no memory for a platform's spelling")

    def tell_day(self) -> None:
        """Tell the kernel the offsets of the local day that it asked about."""
        pieces = offsets_of_day(self._zone, self.state.open_at)
        numbers = c_int32 * len(pieces)
        seconds, offsets = numbers(*(second for second, _ in pieces)), numbers(*(offset for _, offset in pieces))
        self._library.uda_tell_day(self._reader, self.state.open_at, len(pieces), seconds, offsets)

    def follow(self, extent: Extent) -> None:
        """Tell the kernel what follows an open line; offsets are those of the block."""
        self._library.uda_follow(self._reader, byref(CExtent(*extent)))

    def walk(self, blocks: Iterable[tuple[bytes, bool]], start: int, state: int) -> Extent:
        """Find the end of a record that is open at an offset.

        Args:
            blocks: Blocks of whole lines from there on, and whether each is the last one of the drop.
            start: The offset.
            state: The kernel's state there.
        """
        found, now = CExtent(start, start, 0, -1, -1, state, 0), c_int32(state)
        for block, is_last in blocks:
            if self._library.uda_walk(self._reader, block, len(block), is_last, byref(found), byref(now)):
                break
        return Extent(*(getattr(found, name) for name in Extent._fields))

    @property
    def reasons(self) -> dict[str, int]:
        """The number of malformed records by reason."""
        return {reason.value: count for reason, count in zip(REASONS, self.state.reasons, strict=True) if count}

    @property
    def spellings(self) -> dict[str, int]:
        """The number of records by spelling of their platform."""
        text, found = CText(), {}
        for number in range(self.state.spellings):
            if count := self._library.uda_spelling(self._reader, number, byref(text)):
                found[str(text.value, "utf-8")] = count
        return found

    @property
    def first_fault(self) -> tuple[int, str, str] | None:
        """The first malformed record: its line from 0 at the start of the block, the reason, and the raw text."""
        if not self.state.malformed:
            return None
        line, reason, raw = c_int64(), c_int32(), CText()
        self._library.uda_first_fault(self._reader, byref(line), byref(reason), byref(raw))
        return line.value, REASONS[reason.value].value, str(raw.value, "utf-8")

    def records(self, platform: int) -> Exported | None:
        """Take the accepted records of a platform: user_id, session_id, activity_time, activity_type."""
        return self._exported(self._library.uda_records, platform)

    def sessions(self) -> Exported | None:
        """Take the sessions: platform (its number), user_id, session_id, started_at, ended_at, events."""
        return self._exported(self._library.uda_sessions)

    def malformed(self) -> Exported | None:
        """Take the malformed records: line (from 0), reason (its number), raw."""
        return self._exported(self._library.uda_malformed)

    def _exported(self, function: Any, *arguments: int) -> Exported | None:
        exported = Exported()
        rows = function(self._reader, *arguments, byref(exported.schema), byref(exported.array))
        if rows < 0:
            raise MemoryError("no memory for the columns of a block")
        return exported if rows else None

    def split(self, line: bytes) -> list[str] | None:
        """Return the trimmed fields of a line, or None if its quotes are not in order; at most as many as columns."""
        count = self._library.uda_split(self._reader, line, len(line))
        if count < 0:
            return None
        text, fields = CText(), []
        for number in range(min(count, self._width)):
            self._library.uda_field(self._reader, number, byref(text))
            fields.append(str(text.value, "utf-8"))
        return fields


def describe_sessions(schema: ArrowSchema) -> None:
    """Write the schema of the sessions that :meth:`Kernel.sessions` returns."""
    if not load_library().uda_describe_sessions(byref(schema)):
        raise MemoryError("no memory for a schema")


def _describe(dialect: Dialect, columns: Columns, longest: int) -> tuple[CDialect, list[object]]:
    """Return the dialect as a C structure, and what must live as long as the reader."""
    positions = sorted({position for parts in columns.parts.values() for position in parts})
    slots = {position: slot for slot, position in enumerate(positions)}
    parts = [columns.parts.get(name, ()) for name in COLUMNS]
    slot_of = (c_int32 * max(1, columns.width))(*(slots.get(at, -1) for at in range(columns.width)))
    listed = [slots[position] for part in parts for position in part]
    part_end = [sum(map(len, parts[: number + 1])) for number in range(len(COLUMNS))]
    texts: list[bytes] = []

    def text(value: str) -> CText:
        texts.append(value.encode())
        return CText(ctypes.cast(c_char_p(texts[-1]), c_void_p), len(texts[-1]))

    part_list = (c_int32 * (len(listed) + 1))(*listed)
    nulls = (CText * (len(dialect.null) + 1))(*map(text, dialect.null))
    formats = (CFormat * len(dialect.formats))(
        *(
            CFormat(_FORMATS.index(form), text("")) if form in _FORMATS else CFormat(len(_FORMATS), text(form))
            for form in dialect.formats
        )
    )
    described = CDialect(
        _byte(dialect.delimiter), _byte(dialect.quote), _byte(dialect.escape), dialect.trailing_delimiter,
        columns.width, len(positions), len(dialect.null), len(dialect.formats),
        slot_of, part_list, (c_int32 * len(COLUMNS))(*part_end),
        (CText * len(COLUMNS))(*(text(columns.constants.get(name, "")) for name in COLUMNS)), nulls, formats,
        dialect.timezone != "UTC", longest,
    )  # fmt: skip
    return described, [slot_of, part_list, texts, nulls, formats]


def _byte(character: str | None) -> int:
    return ord(character) if character else 0
