"""The pollutions: each kind is a function that gives the files of a base on which it was tried at every place.

Kinds are those of published collections: misplaced and other delimiters, quotes and escapes, header rows, preambles
and several tables in a file (Pollock, Vitagliano et al., VLDB 2023), and the line ends, encodings and archives that the
test suites of CSV libraries keep.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import zstandard

from uda_assets_tests.corpus.base import BASES, COLUMNS, PLAIN, Base, as_file
from uda_assets_tests.corpus.found import FOUND
from uda_assets_tests.ingest.malformed import CASES
from uda_assets_tests.ingest.strategies import INTERESTING, VALUES


class Polluted(NamedTuple):
    """A file of the corpus: its kind, its name (unique within the kind), what it holds and how its name ends."""

    kind: str
    name: str
    data: bytes
    suffix: str = ".csv"


Files = Iterator[tuple[str, bytes]]


def _at_every_byte(base: Base, change: Callable[[bytes, int], bytes]) -> Files:
    for place in range(len(base.data)):
        yield f"{base.name}-{place}", change(base.data, place)


def _at_every_field(base: Base, change: Callable[[bytes], bytes]) -> Files:
    """The base with one field changed, at every row and column, the header included; then with each column changed."""
    for row, fields in enumerate(base.rows):
        for column in range(len(fields)):
            rows = [list(fields) for fields in base.rows]
            rows[row][column] = change(rows[row][column])
            yield f"{base.name}-row{row}-column{column}", as_file(rows)
    for column in range(len(base.rows[0])):
        rows = [[change(text) if at == column else text for at, text in enumerate(fields)] for fields in base.rows]
        yield f"{base.name}-column{column}", as_file(rows)


def _at_every_line(base: Base, added: bytes) -> Files:
    for line in range(len(base.lines) + 1):
        lines = [*base.lines[:line], added, *base.lines[line:]]
        yield f"{base.name}-line{line}", b"".join(text + b"\n" for text in lines)


def _cut(data: bytes, place: int, length: int = 1) -> bytes:
    return data[:place] + data[place + length :]


def _without_each(base: Base, byte: bytes) -> Files:
    """The base without one occurrence of the byte, for each that it has."""
    for place, code in enumerate(base.data):
        if code == ord(byte):
            yield f"{base.name}-{place}", _cut(base.data, place)


def _put(data: bytes, place: int, text: bytes, instead_of: int = 0) -> bytes:
    return data[:place] + text + data[place + instead_of :]


# -- delimiters, quotes, escapes -------------------------------------------------------------------------------------


def extra_delimiter(base: Base) -> Files:
    yield from _at_every_byte(base, lambda data, place: _put(data, place, b","))
    for count in (2, 10, 1000):
        for name, data in _at_every_field(base, lambda field, count=count: field + b"," * count):  # type: ignore[misc]
            yield f"{count}-{name}", data


def missing_delimiter(base: Base) -> Files:
    yield from _without_each(base, b",")


def extra_quote(base: Base) -> Files:
    for text in (b'"', b'""'):
        for name, data in _at_every_byte(base, lambda data, place, text=text: _put(data, place, text)):  # type: ignore[misc]
            yield f"{len(text)}-{name}", data


def missing_quote(base: Base) -> Files:
    yield from _without_each(base, b'"')


def quoted_line(base: Base) -> Files:
    for line in range(len(base.lines)):
        for how in (b'"%s"', b'"%s', b'%s"', b'""%s""'):
            lines = base.lines
            lines[line] = how % lines[line]
            yield f"{base.name}-line{line}-{how.decode().replace('%s', 'x')}", b"\n".join(lines)


def other_delimiter(base: Base) -> Files:
    for delimiter in (b";", b"\t", b"|", b":", b" ", b"~", b"^", b"\x1f", b"\x01", b"||", b", ", "\uff0c".encode()):
        name = f"{base.name}-{delimiter.hex()}"
        yield name, as_file(base.rows, delimiter)
        yield f"{name}-header", delimiter.join(base.rows[0]) + b"\n" + as_file(base.rows[1:])
        yield f"{name}-body", base.lines[0] + b"\n" + as_file(base.rows[1:], delimiter)
        for line in range(1, len(base.rows)):
            lines = base.lines
            lines[line] = delimiter.join(base.rows[line])
            yield f"{name}-line{line}", b"\n".join(lines) + b"\n"


def other_quote(base: Base) -> Files:
    quotes = ("'", "`", "\u201c", "\u2018", "\u00ab", "\uff02", "''", "\x02")
    for quote in quotes:
        mark = quote.encode()
        yield f"{base.name}-{mark.hex()}", base.data.replace(b'"', mark)
        for name, data in _at_every_field(base, lambda field, mark=mark: mark + field + mark):  # type: ignore[misc]
            yield f"{mark.hex()}-{name}", data


def other_escape(base: Base) -> Files:
    for escape in (b"\\", b"'", b"/", b"^", b"%"):
        yield f"{base.name}-{escape.hex()}-all", base.data.replace(b'""', escape + b'"')
        for name, data in _at_every_field(base, lambda field, mark=escape: b'"a' + mark + b'" ' + field + b'"'):  # type: ignore[misc]
            yield f"{escape.hex()}-{name}", data
        for name, data in _at_every_field(base, lambda field, mark=escape: field + mark + b",b"):  # type: ignore[misc]
            yield f"{escape.hex()}-delimiter-{name}", data


def nested_quotes(base: Base) -> Files:
    for depth in (1, 2, 3, 4, 5, 8, 16, 33, 200, 5001):
        for name, data in _at_every_field(base, lambda field, depth=depth: b'"' * depth + field + b'"' * depth):  # type: ignore[misc]
            yield f"{depth}-{name}", data


# -- headers, preambles, tables --------------------------------------------------------------------------------------


def header_rows(base: Base) -> Files:
    yield from _at_every_line(base, base.lines[0])
    for name, added in {
        "types": b",".join([b"string"] * len(base.rows[0])),
        "units": b",".join([b""] * len(base.rows[0])),
        "upper": base.lines[0].upper(),
        "two": base.lines[0] + b"\n" + base.lines[0],
        "other": b"id,time,kind",
    }.items():
        for place, data in _at_every_line(base, added):
            yield f"{name}-{place}", data
    yield f"{base.name}-without", b"\n".join(base.lines[1:]) + b"\n"
    yield f"{base.name}-commented", b"#" + base.data
    yield f"{base.name}-split", base.data.replace(b",", b"\n,", 1)


def header_names(base: Base) -> Files:
    for column in range(len(base.rows[0])):
        name = base.rows[0][column]
        for what, spelled in {
            "empty": b"", "upper": name.upper(), "padded": b" \t" + name + b" ", "dashed": name.replace(b"_", b"-"),
            "camel": name.title().replace(b"_", b""), "spaced": name.replace(b"_", b" "), "quoted": b'"' + name + b'"',
            "starred": name + b"*", "first": base.rows[0][0], "wide": name.decode().replace("i", "\uff49").encode(),
        }.items():  # fmt: skip
            row = [spelled if at == column else text for at, text in enumerate(base.rows[0])]
            yield f"{base.name}-{column}-{what}", b",".join(row) + b"\n" + as_file(base.rows[1:])


def preamble(base: Base) -> Files:
    texts = (
        b"sep=,", b"# made by export 1.2", b"Report of January", b'"Report, ""quoted"""', b"-- 3 rows", b"%YAML 1.2",
        b"Name,Value\nrows,3", b"\n\nTitle\n", b"a,b,c,d,e", b"a,b,c,d,e,f,g", b"<html><body>", b'{"rows": 3}', b"\x0c",
        b"//", b"PK\x03\x04", b"\x1b[2J", b'"',
    )  # fmt: skip
    for number, text in enumerate(texts):
        for place, data in _at_every_line(base, text):
            yield f"{number}-{place}", data


def several_tables(base: Base) -> Files:
    for other, between in product(BASES, (b"", b"\n", b"\n\n", b",,,,\n", b"Table 2\n", b"---\n", b'"', b"\x1d")):
        yield f"{base.name}-{other.name}-{between.hex()}", base.data + between + other.data
        yield (
            f"{base.name}-{other.name}-{between.hex()}-beside",
            b"\n".join(
                left + b"," + between.replace(b"\n", b"") + right
                for left, right in zip(base.lines, other.lines, strict=False)
            ),
        )


def columns(base: Base) -> Files:
    """Columns left out, doubled and exchanged, in the whole file and in one row."""
    width = len(base.rows[0])
    for first, second in product(range(width), range(width)):
        order = list(range(width))
        if first == second:
            order.pop(first)
        else:
            order[first] = second
        for only in (None, *range(len(base.rows))):
            rows = [
                [row[at] for at in order] if only in (None, number) else list(row)
                for number, row in enumerate(base.rows)
            ]
            yield f"{base.name}-{first}-{second}-{only}", as_file(rows)


# -- lines -----------------------------------------------------------------------------------------------------------

LINE_ENDS = {
    "lf": b"\n",
    "crlf": b"\r\n",
    "cr": b"\r",
    "lfcr": b"\n\r",
    "crcrlf": b"\r\r\n",
    "crcr": b"\r\r",
    "nel": b"\xc2\x85",
    "ls": b"\xe2\x80\xa8",
    "ps": b"\xe2\x80\xa9",
    "vt": b"\x0b",
    "ff": b"\x0c",
    "rs": b"\x1e",
    "nul": b"\0",
    "backslash": b"\\n",
    "comma": b",\n",
    "space": b" \n",
    "ctrl-z": b"\x1a\n",
    "latin-nel": b"\x85",
}


def line_ends(base: Base) -> Files:
    for (first, one), (second, other) in product(LINE_ENDS.items(), LINE_ENDS.items()):
        lines = base.data.split(b"\n")[:-1]
        ends = [one if number % 2 == 0 else other for number in range(len(lines))]
        yield f"{base.name}-{first}-{second}", b"".join(map(bytes.__add__, lines, ends))
    for name, end in LINE_ENDS.items():
        for line, _ in enumerate(base.lines):
            ended = [text + (end if at == line else b"\n") for at, text in enumerate(base.lines)]
            yield f"{base.name}-{name}-line{line}", b"".join(ended)


def blank_lines(base: Base) -> Files:
    blanks = (b"", b" ", b"\t", "\u3000\u2028".encode(), b",", b",,,,", b",,,,,,", b'""', b'" "', b"#", b"\xef\xbb\xbf")
    for number, blank in enumerate(blanks):
        for place, data in _at_every_line(base, blank):
            yield f"{number}-{place}", data


def lines_moved(base: Base) -> Files:
    for first, second in product(range(len(base.lines)), range(len(base.lines))):
        lines = base.lines
        lines.insert(second, lines.pop(first))
        yield f"{base.name}-{first}-{second}", b"\n".join(lines)
    for line in range(len(base.lines)):
        yield f"{base.name}-without-{line}", b"\n".join(_without(base.lines, line))
        yield f"{base.name}-joined-{line}", b"\n".join(base.lines[: line + 1]) + b",".join(base.lines[line + 1 :])


def _without(lines: list[bytes], line: int) -> list[bytes]:
    return lines[:line] + lines[line + 1 :]


# -- bytes and encodings ---------------------------------------------------------------------------------------------


def truncated(base: Base) -> Files:
    yield from _at_every_byte(base, lambda data, place: data[:place])
    for name, data in _at_every_byte(base, lambda data, place: data[place:]):
        yield f"tail-{name}", data


def nul_bytes(base: Base) -> Files:
    yield from _at_every_byte(base, lambda data, place: _put(data, place, b"\0"))
    yield f"{base.name}-every", b"\0".join(bytes([code]) for code in base.data)
    yield f"{base.name}-padded", base.data + b"\0" * 4096
    yield f"{base.name}-before", b"\0" * 512 + base.data


def flipped_bits(base: Base) -> Files:
    yield from _at_every_byte(base, lambda data, place: _put(data, place, bytes([data[place] ^ 1 << place % 8]), 1))


def deleted_bytes(base: Base) -> Files:
    for length in (1, 2, 7, 30):
        for name, data in _at_every_byte(base, lambda data, place, length=length: _cut(data, place, length)):  # type: ignore[misc]
            yield f"{length}-{name}", data


def inserted(base: Base) -> Files:
    for number, text in enumerate(INTERESTING):
        for place in range(number % 3, len(base.data), 7):
            yield f"{base.name}-{number}-{place}", _put(base.data, place, text)


def byte_order_marks(base: Base) -> Files:
    marks = {
        "utf8": b"\xef\xbb\xbf",
        "utf16le": b"\xff\xfe",
        "utf16be": b"\xfe\xff",
        "utf32le": b"\xff\xfe\0\0",
        "utf32be": b"\0\0\xfe\xff",
        "utf7": b"+/v8-",
        "twice": b"\xef\xbb\xbf" * 2,
        "cut": b"\xef\xbb",
    }
    for name, mark in marks.items():
        yield f"{base.name}-{name}", mark + base.data
        yield f"{base.name}-{name}-alone", mark
        for place, data in _at_every_line(base, mark):
            yield f"{name}-{place}", data
        for line in range(len(base.lines)):
            lines = base.lines
            lines[line] = mark + lines[line]
            yield f"{base.name}-{name}-before-{line}", b"\n".join(lines)
    for codec in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-16", "utf-32", "utf-7", "utf-8-sig"):
        yield f"{base.name}-{codec}", base.data.decode().encode(codec)


def encodings(base: Base) -> Files:
    text = base.data.decode()
    for codec in ("latin-1", "cp1252", "cp1251", "shift_jis", "gb18030", "big5", "euc-kr", "mac-roman", "cp037",
                  "cp437", "iso2022_jp", "koi8-r", "utf-16-le"):  # fmt: skip
        encoded = text.encode(codec, "replace")
        yield f"{base.name}-{codec}", encoded
        for line, words in enumerate(text.split("\n")[:-1]):
            lines = base.data.split(b"\n")
            lines[line] = words.encode(codec, "replace")
            yield f"{base.name}-{codec}-line{line}", b"\n".join(lines)


def cut_characters(base: Base) -> Files:
    """Each character of several bytes without one of them, and in forms that are not allowed."""
    wrong = (
        b"\xff",
        b"\xc0\x80",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\x80",
    )
    for place, code in enumerate(base.data):
        if code >= 0x80:
            yield f"{base.name}-{place}", _cut(base.data, place)
            for number, text in enumerate(wrong):
                yield f"{base.name}-{place}-{number}", _put(base.data, place, text, 1)
    for number, text in enumerate(wrong):
        for name, data in _at_every_field(base, lambda field, text=text: field + text):  # type: ignore[misc]
            yield f"{number}-{name}", data


# -- values ----------------------------------------------------------------------------------------------------------

_SPACES = "\t\x0b\x0c\x1c\x1d\x1e\x1f \x85\xa0\u1680\u180e\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
_TEXTS = (
    "=1+1", "@SUM(A1)", "'; DROP TABLE sessions; --", "<script>alert(1)</script>", "\x1b[31mred", "../../etc/passwd",
    "%2e%2e%2f", "platform=Web", "NULL", "NaN", "\\N", "null", "None", "-", "0", "1e309", "TRUE", "#N/A", "\u202eabc",
    "a" * 10_000, "\U0001f468\u200d\U0001f469\u200d\U0001f467", "e\u0301", "\u00e9", "\ud7ff", "\ufffd", "\ufffe",
    "2026-02-30T00:00:00Z", "1700000000", "31.01.2026 08:15", "2026-01-31T08:15:00.123456789Z", "2026-W05-6",
    "+12026-01-31T08:15:00Z", "2026-01-31T08:15:60Z", "2026-01-31T24:00:00Z", "CON", "iOS\u00ad", "I\u0307OS",
    "\u0131os",
)  # fmt: skip


def white_space(base: Base) -> Files:
    for space, row, column in product(_SPACES, (0, -1), range(len(base.rows[0]))):
        pad = space.encode()
        for where in ("around", "inside"):
            rows = [list(fields) for fields in base.rows]
            field = rows[row][column]
            rows[row][column] = (
                pad + field + pad if where == "around" else b'"' + pad + field.replace(b'"', b"") + pad + b'"'
            )
            yield f"{base.name}-{ord(space):04x}-{where}-{row}-{column}", as_file(rows)


def control_characters(base: Base) -> Files:
    for code in (*range(0x20), *range(0x7F, 0xA0)):
        for column in range(len(base.rows[0])):
            rows = [list(row) for row in base.rows]
            field = rows[-1][column]
            rows[-1][column] = _put(field, len(field) // 2, chr(code).encode())
            yield f"{base.name}-{code:02x}-{column}", as_file(rows)


def values(base: Base) -> Files:
    texts = [*(text.encode() for text in _TEXTS), *VALUES]
    for number, text in enumerate(texts):
        for column in range(len(base.rows[0])):
            rows = [list(row) for row in base.rows]
            rows[1][column] = text
            rows[-1][column] = b'"' + text.replace(b'"', b'""') + b'"'
            yield f"{base.name}-{number}-{column}", as_file(rows)


def empty(base: Base) -> Files:
    header = base.lines[0]
    for number, data in enumerate(
        (b"", b"\n", b"\r\n" * 3, b" ", b'"', b'""', b",", b"\0", b"\xff", b"\x1a", b"\n" * 5000)
    ):
        yield f"{base.name}-{number}", data
        yield f"{base.name}-{number}-header", data + header
        yield f"{base.name}-{number}-after", header + data
        yield f"{base.name}-{number}-line", header + b"\n" + data


def wide_and_long(base: Base) -> Files:
    for count in (100, 10_000):
        yield f"{base.name}-columns-{count}", b"".join(line + b",x" * count + b"\n" for line in base.lines)
        yield f"{base.name}-names-{count}", base.lines[0] + b",x" * count + b"\n" + b"\n".join(base.lines[1:])
        for name, data in _at_every_field(base, lambda field, count=count: field + b"x" * 5 * count):  # type: ignore[misc]
            yield f"{count}-{name}", data
        for name, data in _at_every_field(base, lambda field, count=count: b'"' + b"x\n" * count + field + b'"'):  # type: ignore[misc]
            if b'""' not in data:
                yield f"{count}-lines-{name}", data


KINDS: dict[str, Callable[[Base], Files]] = {
    function.__name__: function
    for function in (
        extra_delimiter, missing_delimiter, extra_quote, missing_quote, quoted_line, other_delimiter, other_quote,
        other_escape, nested_quotes, header_rows, header_names, preamble, several_tables, columns, line_ends,
        blank_lines, lines_moved, truncated, nul_bytes, flipped_bits, deleted_bytes, inserted, byte_order_marks,
        encodings, cut_characters, white_space, control_characters, values, empty, wide_and_long,
    )
}  # fmt: skip


# -- archives --------------------------------------------------------------------------------------------------------

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".csv.gz": lambda data: gzip.compress(data, mtime=0),
    ".csv.zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def archives() -> Iterator[Polluted]:
    """Archives cut at each byte, with each byte changed, of several members, and of something else."""
    data = PLAIN.data
    for suffix, pack in PACK.items():
        packed, short = pack(data), suffix.rpartition(".")[2]
        for place in range(len(packed)):
            yield Polluted("truncated_archive", f"{short}-{place}", packed[:place], suffix)
            flipped = _put(packed, place, bytes([packed[place] ^ 1 << place % 8]), 1)
            yield Polluted("damaged_archive", f"{short}-{place}", flipped, suffix)
        for place in range(0, len(data) + 1, 2):
            members = pack(data[:place]) + pack(data[place:])
            yield Polluted("concatenated_archives", f"{short}-{place}", members, suffix)
        for name, content in _other_archives(data, pack, packed).items():
            yield Polluted("other_archive", f"{short}-{name}", content, suffix)
    for name, content in {"gz": PACK[".csv.gz"](data), "zst": PACK[".csv.zst"](data)}.items():
        yield Polluted("other_archive", f"plain-{name}", content)


def _other_archives(data: bytes, pack: Callable[[bytes], bytes], packed: bytes) -> dict[str, bytes]:
    return {
        "plain": data,
        "gzip": gzip.compress(data, mtime=0),
        "zstd": zstandard.compress(data),
        "twice": pack(packed),
        "bz2": bz2.compress(data),
        "xz": lzma.compress(data),
        "zlib": zlib.compress(data),
        "zip": b"PK\x03\x04" + data,
        "garbage-after": packed + b"garbage",
        "zeros-after": packed + b"\0" * 512,
        "garbage-before": b"garbage" + packed,
        "empty": pack(b""),
        "empty-members": pack(b"") * 50 + packed + pack(b"") * 50,
        "text-after": packed + data,
        "half-a-member-after": packed + packed[: len(packed) // 2],
        "other-kind-after": packed + gzip.compress(data, mtime=0) + zstandard.compress(data),
        "skippable": b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + packed,
        "one-byte-members": b"".join(pack(bytes([code])) for code in data),
    }


def corpus() -> Iterator[Polluted]:
    """All files, no two alike: each pollution of each base, the archives, and the cases that are pinned by name."""
    seen: set[tuple[str, bytes]] = set()
    for file in _all():
        if (file.suffix, file.data) not in seen:
            seen.add((file.suffix, file.data))
            yield file


def _all() -> Iterator[Polluted]:
    for kind, pollute in KINDS.items():
        for base in BASES:
            for name, data in pollute(base):
                yield Polluted(kind, name, data)
    yield from archives()
    for case in CASES:
        yield Polluted("pinned", case.name, case.data)
    for name, data in FOUND.items():
        yield Polluted("found", name, data)


assert PLAIN.lines[0] == COLUMNS
