"""Unpacking archives of one drop into temporary files, within bounds."""

from __future__ import annotations

import bz2
import lzma
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from uda_assets.basics.bounds import Bounds
from uda_assets.basics.errors import DropUnreadable, UdaError, one_line
from uda_assets.basics.interruption import raise_if_stopped
from uda_assets.storage.disk import naming_file
from uda_assets.storage.drop_names import is_delimited_text, is_hidden_or_unfinished

_CHUNK = 1 << 20


@contextmanager
def temporary_file(spill: Path | None) -> Iterator[tuple[BinaryIO, Path]]:
    """Yield an unnamed temporary file, and the directory that an error names."""
    with tempfile.TemporaryFile(dir=spill) as file:
        yield file, spill or Path(tempfile.gettempdir())


@contextmanager
def decompressed(
    file: BinaryIO, compression: str, spill: Path | None, bounds: Bounds, most: int | None
) -> Iterator[BinaryIO]:
    """Yield a temporary file with the content of an archive."""
    with temporary_file(spill) as (plain, directory):
        if file.seek(0, os.SEEK_END):
            file.seek(0)
            with _broken_archives(), _unpacked(file, compression) as archive:
                written = 0
                while (most is None or written < most) and (chunk := archive.read(_CHUNK)):
                    raise_if_stopped()
                    written += len(chunk)
                    bounds.require_within(written, file.tell())
                    with naming_file(directory):
                        plain.write(chunk)
            with naming_file(directory):
                plain.flush()
        yield plain


_BROKEN = (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)


@contextmanager
def _broken_archives() -> Iterator[None]:
    """Turn the errors of all libraries for a broken archive into one."""
    try:
        yield
    except _BROKEN as error:
        if isinstance(error, UdaError) or getattr(error, "errno", None) is not None:
            raise  # the disk failed, and the archive may be sound
        raise DropUnreadable(
            "broken_archive", f"cannot be decompressed ({one_line(error)}); deliver the file again"
        ) from error


@contextmanager
def _unpacked(file: BinaryIO, compression: str) -> Iterator[Any]:
    """Open an archive; all of its members or frames are read, but a ``.zip`` file must hold one drop alone."""
    if compression == ".zip":
        with zipfile.ZipFile(file) as archive, archive.open(_only_member(archive)) as member:
            yield member
    elif compression in (".bz2", ".xz"):
        with bz2.BZ2File(file) if compression == ".bz2" else lzma.LZMAFile(file) as unpacked:
            yield unpacked
    else:
        import pyarrow as pa  # noqa: PLC0415 - for a plain drop, the import would take longer than the reading

        codec = "gzip" if compression == ".gz" else "zstd"
        with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), codec) as stream:
            yield stream


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    found = [
        info
        for info in archive.infolist()
        if not info.is_dir()
        and is_delimited_text(info.filename)
        and not any(map(is_hidden_or_unfinished, info.filename.split("/")))
        and not info.filename.startswith("__MACOSX/")
    ]
    if len(found) != 1:
        raise DropUnreadable(
            "not_one_file",
            f"it holds {len(found)} files that end in .csv, .tsv or .txt instead of one; deliver each file by itself",
        )
    return found[0]
