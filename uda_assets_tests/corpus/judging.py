"""Judging a file of the corpus: the fast reader's answer against the reference reader's, and the records counted."""

from __future__ import annotations

import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context

import zstandard

from uda_assets_tests.corpus.pollutions import Polluted, corpus
from uda_assets_tests.ingest.fast import Answer, convert_split, read_fast, read_slow

_BLOCKS = (1 << 20, 150, 37)
_SPLIT_EVERY = 12
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_LINE = re.compile(rb"[^\r\n]+")


@dataclass
class Figures:
    """What came of the files.

    Attributes:
        files, records, kept, quarantined, rejected: Numbers of files and of records in them.
        rejections: Rejected files by reason.
        disagreements: Files of which the fast reader says something else than the reference reader.
        losses: Files of which the records do not add up.

    """

    files: int = 0
    records: int = 0
    kept: int = 0
    quarantined: int = 0
    rejections: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.files} files, {self.records} records, {self.kept} kept, {self.quarantined} quarantined, "
            f"{self.rejections.total()} files rejected {dict(sorted(self.rejections.items()))}, "
            f"{len(self.disagreements)} disagreements, {len(self.losses)} losses"
        )

    def add(self, others: Figures) -> None:
        """Count what was judged elsewhere."""
        for name in ("files", "records", "kept", "quarantined"):
            setattr(self, name, getattr(self, name) + getattr(others, name))
        self.rejections += others.rejections
        self.disagreements += others.disagreements
        self.losses += others.losses


def judge_corpus() -> Figures:
    """Judge all files, by as many processes as there are processors."""
    slices = 4 * (os.cpu_count() or 1)
    total = Figures()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for part in pool.map(_judge_slice, range(slices), [slices] * slices):
            total.add(part)
    return total


def _judge_slice(start: int, step: int) -> Figures:
    return judge_all(islice(corpus(), start, None, step))


def judge_all(files: Iterable[Polluted]) -> Figures:
    """Judge files one after another."""
    figures = Figures()
    for number, file in enumerate(files):
        _judge(file, number, figures)
    return figures


def expected(file: Polluted) -> Answer:
    """What the reference reader gives, of an archive by way of the standard library's or zstandard's decompression."""
    try:
        return read_slow(unpacked(file.data, file.suffix))
    except (EOFError, OSError, zlib.error, zstandard.ZstdError):
        return "broken_archive", [], []


def unpacked(data: bytes, suffix: str) -> bytes:
    """The plain bytes of a drop: of all members or frames of an archive, which are whole and have nothing behind them.

    A member of a `.gz` file may also be a zlib stream, which has a checksum too.
    """
    if suffix == ".csv":
        return data
    plain = b""
    while data:
        member = zlib.decompressobj(_GZIP_OR_ZLIB) if suffix == ".csv.gz" else _frame()
        plain += member.decompress(data)
        if not member.eof:
            raise EOFError
        data = member.unused_data
    return plain


def _frame() -> zstandard.ZstdDecompressionObj:
    return zstandard.ZstdDecompressor().decompressobj()


def _judge(file: Polluted, number: int, figures: Figures) -> None:
    label = f"{file.kind}/{file.name}"
    figures.files += 1
    reference = expected(file)
    try:
        answers = [_read(file, number)]
        if file.suffix == ".csv" and number % _SPLIT_EVERY == 0:
            answers.append(convert_split(file.data, part_bytes=max(100, len(file.data) // 4), block_bytes=_BLOCKS[0]))
    except Exception as error:
        figures.disagreements.append(f"{label}: {type(error).__name__}: {error}")
        return
    if any(answer != reference for answer in answers):
        figures.disagreements.append(f"{label}: {_difference(answers[0], reference)}")
    rejection, kept, quarantined = answers[0]
    if rejection:
        figures.rejections[rejection] += 1
    else:
        figures.records += len(kept) + len(quarantined)
        figures.kept += len(kept)
        figures.quarantined += len(quarantined)
        if not _adds_up(file, kept, quarantined):
            figures.losses.append(label)


def _read(file: Polluted, number: int) -> Answer:
    return read_fast(
        file.data,
        block_bytes=max(_BLOCKS[number % len(_BLOCKS)], len(file.data) // 16),
        threads=1 + number % 2,
        suffix=file.suffix.removeprefix(".csv"),
    )


def _adds_up(file: Polluted, kept: Sequence[object], quarantined: Sequence[object]) -> bool:
    """Whether there are as many records as lines that hold something; told where no quote joins lines to records."""
    plain = unpacked(file.data, file.suffix)
    if b'"' in plain:
        return True  # the reader counts them on its own, which `read_fast` sees to
    lines = sum(bool(line.decode(errors="replace").strip(_WHITE)) for line in _LINE.findall(plain.removeprefix(_BOM)))
    return len(kept) + len(quarantined) == lines - 1


_BOM = b"\xef\xbb\xbf"
_WHITE = "\t\x0b\x0c \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def _difference(answer: Answer, reference: Answer) -> str:
    return f"{_shortened(answer)} and not {_shortened(reference)}"


def _shortened(answer: Answer) -> str:
    return repr(answer)[:300]
