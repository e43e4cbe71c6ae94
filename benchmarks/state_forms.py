"""In which form to keep the state: what files and databases take to write, read, change and look through it.

    uv run python -m benchmarks.state_forms --drops 10000 --drops 100000

A file is written anew for each change, as in :mod:`uda_assets.lake.root`. A database has one row a drop; its connection
for changes is open beforehand, and what a tick compares is a column of its own. The garbage collector is off.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import re
import sqlite3
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import zstandard
from blake3 import blake3
from msgspec.msgpack import decode, encode

from uda_assets.lake.drop_files import part_path
from uda_assets.lake.state import DropFiles, DropManifest, PartFile, SessionsManifest, State, Version
from uda_assets.storage import Signature
from uda_assets.storage.directory import write_durably

REPEATS = 5
PLATFORMS = ("Android", "Web", "iOS")
CODECS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "msgspec": (bytes, bytes),
    "msgspec + zstd 1 (chosen)": (lambda content: zstandard.compress(content, 1), zstandard.decompress),
    "msgspec + zlib 1": (lambda content: zlib.compress(content, 1), zlib.decompress),
}


def made_up(drops: int) -> State:
    """A state of so many drops of 26 suppliers, all converted and merged."""
    chance = random.Random(1)  # noqa: S311  # made up
    days = (date(2016, 1, 31) + timedelta(number) for number in range(drops // 26 + 1))
    names = [f"supplier-{letter}/{day}.csv" for day in days for letter in "abcdefghijklmnopqrstuvwxyz"]
    state = State()
    for drop in sorted(names[:drops]):
        content, fingerprint, *sums = (chance.randbytes(32).hex() for _ in range(8))
        rows = {platform: chance.randrange(1, 10**6) for platform in ("Android", "Web", "iOS")}
        kept, bad = sum(rows.values()), chance.randrange(3, 10**4)
        at = chance.randrange(1_767_225_600_000_000_000, 1_777_225_600_000_000_000)
        state.raw[drop] = Version(Signature(chance.getrandbits(30), at, at + 10**6, chance.getrandbits(24)), content)
        state.files[drop] = DropFiles(chance.getrandbits(63), kept, bad)
        state.drops[drop] = DropManifest(
            drop=drop, content=content, fingerprint=fingerprint, converter_version="3",
            records=kept + bad, kept=kept, quarantined=bad, converted_at=datetime.fromtimestamp(at / 1e9, UTC),
            reasons={"bad_time": bad - 2, "missing_user": 1, "unknown_platform": 1},
            files=[PartFile(part_path(name), name, rows[name], checksum=sums.pop()) for name in rows],
            spellings={**{name.casefold(): count for name, count in rows.items()}, "windows": 1},
            meanings={**{name.casefold(): name for name in rows}, "windows": None},
            checksums=dict(zip(("_common_metadata", "_metadata", "quarantine"), sums, strict=True)),
        )  # fmt: skip
    return merged(state)


def merged(state: State) -> State:
    return state.noting(sessions=SessionsManifest(drops={name: drop.fingerprint for name, drop in state.drops.items()}))


@dataclass
class Form:
    """The whole state in one file, sealed, and a root that names it. Databases differ."""

    directory: Path
    writer: Any = None

    def write(self, state: State, drop: str | None = None) -> int:
        """Write all of it, or one drop if the form allows, to outlast a loss of power. Return the number of bytes."""
        content, name = CODECS[self.directory.name][0](encode(state)), f"{time.time_ns()}.state"
        write_durably(self.directory / name, blake3(content).digest() + content)
        write_durably(self.directory / "root", name.encode())
        return len(content) + 32

    def read(self, *, ticking: bool = False) -> State:
        """Read all of it, or what a tick compares if the form allows."""
        content = (self.directory / (self.directory / "root").read_text()).read_bytes()
        assert blake3(content[32:]).digest() == content[:32]
        return decode(CODECS[self.directory.name][1](content[32:]), type=State)


class Database(Form):
    """A row a drop. Its manifest has the merged fingerprint. Closing a database waits for the disk."""

    def write(self, state: State, drop: str | None = None) -> int:
        names, raw, drops, files = [drop] if drop else list(state.drops), state.raw, state.drops, state.files
        rows = [(name, encode(raw[name]), encode((drops[name], files[name]))) for name in names]
        if drop:
            self.writer = self.writer or self._open("state")
            self.writer.execute("INSERT OR REPLACE INTO drops VALUES (?, ?, ?)", rows[0])
            return 0
        with closing(self._open("new")) as connection:
            connection.execute("CREATE TABLE drops (name VARCHAR PRIMARY KEY, raw BLOB, rest BLOB)")
            connection.execute("BEGIN")
            if isinstance(connection, sqlite3.Connection):
                connection.executemany("INSERT INTO drops VALUES (?, ?, ?)", rows)
            else:
                table = pa.table([list(column) for column in zip(*rows, strict=True)], ["name", "raw", "rest"])
                connection.register("given", table).execute("INSERT INTO drops SELECT * FROM given")
            connection.execute("COMMIT")
        return (self.directory / "new").replace(self.directory / "state").stat().st_size

    def read(self, *, ticking: bool = False) -> State:
        state, columns = State(), "name, raw, NULL" if ticking else "name, raw, rest"
        with closing(self._open("state")) as connection:
            for name, raw, rest in connection.execute(f"SELECT {columns} FROM drops").fetchall():
                state.raw[name] = decode(raw, type=Version)
                if rest:
                    state.drops[name], state.files[name] = decode(rest, type=tuple[DropManifest, DropFiles])
        return merged(state)

    def _open(self, name: str) -> Any:
        if self.directory.name == "DuckDB":
            return duckdb.connect(self.directory / name)
        connection = sqlite3.connect(self.directory / name, isolation_level=None)
        return connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").connection


def median(action: Callable[[], object], *, collecting: bool = False) -> float:
    """Milliseconds that something takes, without those of clearing away what it returns."""
    taken = []
    for _ in range(REPEATS):
        gc.collect()
        gc.freeze()  # what is there by now would not burden a process of its own
        (gc.enable if collecting else gc.disable)()
        began = time.perf_counter()
        found = action()
        taken.append(time.perf_counter() - began)
        del found
    gc.unfreeze()
    return statistics.median(taken) * 1000


def measured(form: Form, state: State) -> list[float]:
    """The cells of a row, in the order of the columns."""
    listing = {name: Signature(*version.signature) for name, version in state.raw.items()}
    drop = list(listing)[len(listing) // 2]
    changed = state.noting(raw={**state.raw, drop: Version(Signature(1, 2, 3, 4), "0" * 64)})

    def differing(raw: dict[str, Version]) -> list[str]:
        return [name for name, seen in listing.items() if (known := raw.get(name)) is None or known.signature != seen]

    def mark() -> str:
        return repr([(entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(form.directory)])

    writing, size = median(lambda: form.write(state)), form.write(state)
    assert form.read() == state
    reading, tick = median(form.read), median(lambda: differing(form.read(ticking=True).raw))
    memory = {mark(): form.read(ticking=True).raw}
    remembered = median(lambda: differing(memory[mark()]))
    form.write(state, drop)
    turns = iter([changed, state] * REPEATS)  # a database need not write what is there already
    changing = median(lambda: form.write(next(turns), drop))
    assert differing(form.read(ticking=True).raw) == [drop]
    return [size / 1e6, writing, reading, changing, tick, remembered]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drops", type=int, action="append", help="may be repeated; default: 10000")
    for drops in parser.parse_args().drops or [10_000]:
        state = made_up(drops)
        print(f"\n{drops} drops, {os.cpu_count()} cores; medians of {REPEATS}, in ms")
        print(f"\n| | size, MB | write all | read all | change one drop | tick | tick, remembered |\n|{' --- |' * 7}")
        with tempfile.TemporaryDirectory() as work:
            for name in (*CODECS, "SQLite", "DuckDB"):
                Path(work, name).mkdir()
                form = (Form if name in CODECS else Database)(Path(work, name))
                print(f"| {name} | {' | '.join(f'{cell:.1f}' for cell in measured(form, state))} |", flush=True)
        content = encode(state)
        off, on = (median(partial(decode, content, type=State), collecting=on) for on in (False, True))
        print(f"\nDecoding takes {off:.0f} ms, and {on:.0f} ms if the garbage collector is on. Without types:")
        # The first two bytes say that a text of 64 characters follows, or 32 bytes.
        short = re.sub(rb"\xd9\x40([0-9a-f]{64})", lambda hit: b"\xc4\x20" + bytes.fromhex(hit[1].decode()), content)
        for what, packed in (("text", content), ("bytes", short)):
            cells = len(packed) / 1e6, len(zstandard.compress(packed, 1)) / 1e6, median(partial(decode, packed))
            print("Checksums as {}: {:.1f} MB, by zstd {:.1f} MB, {:.0f} ms.".format(what, *cells))


if __name__ == "__main__":
    main()
