"""Files that are giants in one way: what they hold, and what must come of them within a gibibyte of memory.

``python -m uda_assets_tests.corpus.giants ROOT`` converts the drops of a data root and prints, as JSON, what came of
each and the peak memory of its process.
"""

from __future__ import annotations

import gzip
import json
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

import zstandard

MIB = 1 << 20
HEADER = b"user_id,session_id,platform,activity_time,activity_type"
REST = b"s1,iOS,2026-01-31T08:15:00Z,view"
RECORD = b"u1," + REST + b"\n"
_MOST_WRITTEN = 1025 * MIB
AROUND = 1000
"""Sound records before the giant one, and behind it."""


Write = Callable[[BinaryIO, int], None]
"""Writes a file that is so many bytes large in what makes it a giant."""


class Giant(NamedTuple):
    """A file that is a giant in one way.

    Attributes:
        name: How its name ends says whether it is an archive.
        write: Writes it.
        expected: The reason for which it is rejected, or records kept and records quarantined by reason.
        size: In mebibytes.
        small: The same in the default suite, where all bounds are smaller.
        settings: Where they are not the defaults.

    """

    name: str
    write: Write
    expected: str | tuple[int, dict[str, int]]
    size: int
    small: float
    settings: Mapping[str, str] = MappingProxyType({})


def _among_records(giant: Write, names: bytes = b"", more: bytes = b"") -> Write:
    """A file with a giant among sound records; ``names`` and ``more`` are further columns of header and records."""

    def write(file: BinaryIO, size: int) -> None:
        record = RECORD[:-1] + more + b"\n"
        file.write(HEADER + names + b"\n" + record * AROUND)
        giant(file, size)
        file.write(b"\n" + record * AROUND)

    return write


def _repeated(before: bytes, text: bytes, after: bytes = b"") -> Write:
    def write(file: BinaryIO, size: int) -> None:
        file.write(before)
        piece = text * (MIB // 16 // len(text))
        for _ in range(size // len(piece)):
            file.write(piece)
        file.write(after)

    return write


def _sparse_line(file: BinaryIO, size: int) -> None:
    file.write(HEADER + b"\n" + RECORD)
    file.truncate(size)


def _columns(file: BinaryIO, size: int) -> None:
    """A million further columns where ``size`` is a mebibyte."""
    count = size * 1_000_000 // MIB
    file.write(HEADER + b",c" * count + b"\n")
    for _ in range(20):
        file.write(RECORD[:-1] + b"," * count + b"\n")


def _header(file: BinaryIO, size: int) -> None:
    file.write(HEADER + b"," * size + b"\n" + RECORD)


def _gzip_bomb(text: bytes) -> Write:
    """Members that are alike, since making one of ten gibibytes would take minutes."""

    def write(file: BinaryIO, size: int) -> None:
        file.write(gzip.compress(HEADER + b"\n", mtime=0))
        length = min(size, 512 * MIB)
        member = gzip.compress(text * (length // len(text)), 6, mtime=0)
        for _ in range(size // length):
            file.write(member)

    return write


def _zstd_bomb(file: BinaryIO, size: int) -> None:
    piece = RECORD * (MIB // 16 // len(RECORD))
    with zstandard.ZstdCompressor(level=1).stream_writer(file, closefd=False) as archive:
        archive.write(HEADER + b"\n")
        for _ in range(size // len(piece)):
            archive.write(piece)


def _many_lines(text: bytes) -> Write:
    return _among_records(_repeated(b"", text))


GIANTS = (
    Giant("line.csv", _among_records(_repeated(b"", b"x")), "record_too_long", 100, 1.5),
    Giant("long_line.csv", _among_records(_repeated(b"", b"x")), "record_too_long", 600, 4),
    Giant("longest_line.csv", _sparse_line, "record_too_long", 3072, 8),
    Giant("line_within_bounds.csv", _among_records(_repeated(b"", b"x")), (2000, {"too_few_fields": 1}), 60, 0.9),
    Giant("commas.csv", _among_records(_repeated(b"", b",")), (2000, {"too_many_fields": 1}), 60, 0.9),
    Giant("quotes.csv", _among_records(_repeated(b"", b'"')), (2000, {"too_few_fields": 1}), 60, 0.9),
    Giant("stray_quote.csv", _among_records(_repeated(b'u"', b",x")), (2000, {"bad_quote": 1}), 60, 0.9),
    Giant("no_text.csv", _among_records(_repeated(b"", b"\xff")), "record_too_long", 60, 0.9),
    Giant("latin.csv", _among_records(_repeated(b"", b"\xe9")), (2000, {"encoding": 1}), 15, 0.2),
    Giant("user.csv", _among_records(_repeated(b"", b"u", b"," + REST)), (2001, {}), 50, 0.7),
    Giant("field.csv", _among_records(_repeated(RECORD[:-1] + b',"', b"x", b'"'), b",note", b","), (2001, {}), 50, 0.7),
    Giant(
        "field_of_lines.csv",
        _among_records(_repeated(RECORD[:-1] + b',"', b"some text\n", b'"'), b",note", b","), (2001, {}), 50, 0.7,
    ),
    Giant(
        "field_of_quotes.csv",
        _among_records(_repeated(RECORD[:-1] + b',"', b'""', b'"'), b",note", b","), (2001, {}), 50, 0.7,
    ),
    Giant("columns.csv", _columns, (20, {}), 1, 0.1),
    Giant("header.csv", _header, "too_many_columns", 60, 1.5, {"UDA_MAX_RECORD_BYTES": "64MiB"}),
    Giant("blank_lines.csv", _many_lines(b"\n"), (2000, {}), 60, 0.5),
    Giant("nulls.csv.gz", _gzip_bomb(b"\0"), "compression_too_high", 10_240, 70),
    Giant(
        "records.csv.gz", _gzip_bomb(RECORD), "decompressed_too_large", 10_240, 20,
        {"UDA_MAX_DECOMPRESSED_BYTES": "1GiB"},
    ),
    Giant("records.csv.zst", _zstd_bomb, "compression_too_high", 10_240, 70),
)  # fmt: skip


class Outcome(NamedTuple):
    """What came of each drop, as :class:`Giant` has it, and the peak memory of the process in bytes."""

    drops: dict[str, str | tuple[int, dict[str, int]]]
    peak: int


def convert(root: Path) -> Outcome:
    """Convert a data root in this process, which may write no file of more than a gibibyte."""
    from uda_assets.basics.settings import load_settings
    from uda_assets.lake import open_lake
    from uda_assets.pipeline.context import open_run
    from uda_assets.pipeline.conversion import convert_pending

    settings = load_settings(data_root=str(root), max_reject_ratio=1.0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_WRITTEN, resource.RLIM_INFINITY))
    lake = open_lake(settings)
    with open_run(lake, settings) as run:
        report = convert_pending(run)
    drops: dict[str, str | tuple[int, dict[str, int]]] = {
        drop: rejection.reason for drop, rejection in report.rejected.items()
    }
    drops |= {manifest.drop: (manifest.kept, manifest.reasons) for manifest in report.converted}
    return Outcome(drops, _peak())


def _peak() -> int:
    """Of this program alone: the kernel's ``ru_maxrss`` is also that of whoever started it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


if __name__ == "__main__":
    print(json.dumps(convert(Path(sys.argv[1]))))
