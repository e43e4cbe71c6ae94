"""Runs on a disk that fails at one call after the other, each followed by a run on a sound one.

    LD_PRELOAD=disk.so python -m uda_assets_tests.failing.walk '{"library": "disk.so", "root": "data", "calls": 10}'

Each run is a fork of this process, which itself only prepares and compares, so that one takes no longer than its work.
The oracle is that of the runs that are killed: plain Python over the raw files. For each run a line of JSON is printed.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from uda_assets.basics.settings import load_settings
from uda_assets.cli.program import explain
from uda_assets.lake import open_lake
from uda_assets.pipeline.context import open_run
from uda_assets.pipeline.conversion import convert_pending
from uda_assets.pipeline.publishing import publish_committed
from uda_assets_tests.integration.test_kills import (
    Feed,
    InDirectory,
    N,
    answer,
    assert_complete,
    assert_no_debris,
    assert_readable,
)

SHORT = -1
KINDS = {
    "full": (errno.ENOSPC, 1, 0),
    "faulty": (errno.EIO, 0, 0),
    "short": (SHORT, 0, 0),
    "unreadable": (errno.EIO, 0, 1),
}
"""A disk that stays full, one that fails once, one that writes less than it was given, and one that fails to read."""


class Orders(msgspec.Struct, frozen=True):
    """What to do: where, at how many calls spread over a run, or at every so many, and with which seed."""

    library: str
    root: str
    calls: int = 0
    every: int = 0
    seed: int = 1


class Case(msgspec.Struct, frozen=True):
    """A run on a failing disk.

    Attributes:
        kind, call: What failed when; ``what`` it was: ``write``, ``rename`` …; empty where nothing did.
        told: What a person is told; empty where the run got done.
        wrong: What did not hold; empty where all did.
        of: Calls that the run made.

    """

    kind: str
    call: int
    what: str
    told: str
    wrong: str
    of: int


def main(orders: Orders) -> None:
    """Walk over the calls of a run."""
    root, pristine = Path(orders.root), Path(f"{orders.root}-before")
    place = InDirectory(root)
    library = ctypes.CDLL(orders.library)
    library.failing_last.restype = ctypes.c_char_p
    feed = Feed(root, orders.seed)
    for _ in range(4):
        feed.change()
    assert not in_a_fork(lambda: chain(root))
    feed.completed()
    before = dict(feed.contributions)
    feed.change()
    whole = [answer(contributions).board for contributions in (before, feed.contributions)]
    # A drop that cannot be read stays as it was, and the others go on.
    partly = [answer(contributions).board for contributions in between(before, feed.contributions)]
    shutil.copytree(root, pristine)

    def failing(kind: str, call: int) -> Case:
        library.failing_arm(str(root).encode(), ctypes.c_long(call), *KINDS[kind])
        told = ""
        try:
            chain(root)
        except Exception as error:
            explained = explain(error)
            told = explained[0] if explained else "".join(traceback.format_exception(error))
        return Case(kind, call, library.failing_last().decode(), told, "", library.failing_calls())

    def sound(kind: str) -> None:
        assert_readable(place, partly if kind == "unreadable" else whole)
        chain(root)
        assert_complete(place, feed)
        assert_no_debris(place, feed)

    def one(kind: str, call: int) -> Case:
        shutil.rmtree(root)
        shutil.copytree(pristine, root)
        case = msgspec.json.decode(in_a_fork(lambda: msgspec.json.encode(failing(kind, call))), type=Case)
        return msgspec.structs.replace(case, wrong=in_a_fork(lambda: sound(kind)).decode())

    for kind, call in calls(orders, {kind: one(kind, 1 << 40).of for kind in KINDS}):
        print(msgspec.json.encode(one(kind, call)).decode(), flush=True)


def between(before: dict[str, bytes], after: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
    """What may contribute where each changed drop may have got through or not."""
    changed = sorted(drop for drop in before | after if before.get(drop) != after.get(drop))
    for chosen in itertools.product((before, after), repeat=len(changed)):
        mixed = {drop: content for drop, content in after.items() if drop not in changed}
        mixed |= {drop: of[drop] for drop, of in zip(changed, chosen, strict=True) if drop in of}
        yield mixed


def calls(orders: Orders, totals: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Which call is to fail in which way: every so many in each way, or so many in all, each way in turn."""
    for place, (kind, total) in enumerate(totals.items()):
        if orders.every:
            yield from ((kind, call) for call in range(1, total + 1, orders.every))
        else:
            share = orders.calls // len(totals)
            step = max(1, total // share)
            yield from ((kind, call) for call in range(1 + step * place // len(totals), total + 1, step))


def chain(root: Path) -> None:
    """Convert, merge and publish."""
    settings = load_settings({}, data_root=str(root), threads=2, lock_timeout=0, n=N)
    lake = open_lake(settings)
    with open_run(lake, settings) as run:
        convert_pending(run)
        publish_committed(run)


def in_a_fork(work: Callable[[], Any]) -> bytes:
    """What some work gives in a process of its own: bytes; nothing; or the traceback, where it fails."""
    read, write = os.pipe()
    process = os.fork()
    if not process:
        try:
            said = work() or b""
        except BaseException:
            said = traceback.format_exc().encode()
        view = memoryview(said)
        while view:
            view = view[os.write(write, view) :]
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(process, 0)
    return said if status == 0 else b"the run died: %d" % status


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Orders))
