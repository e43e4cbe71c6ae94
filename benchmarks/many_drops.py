"""P6: many small drops, by ``benchmarks.drops`` where it is there; its tables are taken over as they are."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from benchmarks.contest import Contest, Context, Row, Run
from benchmarks.processes import measure, module

MODULE = "benchmarks.drops"


def contests(context: Context) -> Iterator[Contest]:
    """One, whatever the sizes: the number of drops is what counts."""
    if find_spec(MODULE) is None:
        return
    usage = measure(module(MODULE, "--work", context.scratch))
    row = Row("all of it", ours=True, runs=[Run(usage.seconds)])
    yield Contest("P6", "Many drops", [row], document=usage.out)
