"""Activity with a known right answer, of any size, reproducible from a seed.

Everything about a record is a pure function of two numbers: its session's number says who and where, its event's number
says when and what. So records can be drawn a chunk at a time, in order of time or shuffled, on several threads, and
the right answer follows from the numbers drawn, without a look at the file. Memory holds a few chunks, the users, and
how many sessions each of them has.

    session number -> user, platform, session id           Population
    event number   -> session, instant, details            Timeline
    both           -> the fields of a record, as text      Scribe
    line number    -> event, duplicate or malformed        plan, Painter
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from uda_assets.contract.columns import COLUMNS
from uda_assets.synthetic.config import MAX_RECORDS, GeneratorConfig
from uda_assets.synthetic.files import Sink, check_target, opened, written_atomically
from uda_assets.synthetic.order import event_order
from uda_assets.synthetic.painter import Painter, painted, plan
from uda_assets.synthetic.population import Population
from uda_assets.synthetic.timeline import Timeline
from uda_assets.synthetic.truth import GeneratedTruth, Tally

__all__ = ["MAX_RECORDS", "GeneratedTruth", "GeneratorConfig", "generate"]

HEADER = ",".join(COLUMNS).encode() + b"\n"


def generate(
    path: Path,
    config: GeneratorConfig,
    *,
    truth_dir: Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> GeneratedTruth:
    """Write a file of activity and work out the right answer to it.

    The file appears under its name when it is complete, after the truth; until then it is beside it, under a name that
    is not a drop's. Directories are made where they are missing.

    Args:
        path: The file to write; a name in ``SUFFIXES`` chooses the compression.
        config: What to generate.
        truth_dir: Where to write the right answer: ``truth.json`` and ``session_counts.csv``.
        on_progress: Called now and then with the number of records written so far.

    Returns:
        The right answer.

    Raises:
        UsageError: The file's name has none of the suffixes.
        OSError: A file cannot be written.
    """
    suffix = check_target(path)
    for directory in [path.parent] if truth_dir is None else [path.parent, truth_dir]:
        directory.mkdir(parents=True, exist_ok=True)
    with written_atomically(path) as part:
        with opened(part, suffix) as sink:
            truth = _write(sink, config, on_progress)
        if truth_dir is not None:
            truth.write(truth_dir)
    return truth


def _write(sink: Sink, config: GeneratorConfig, on_progress: Callable[[int], None] | None) -> GeneratedTruth:
    population, timeline = Population(config), Timeline(config)
    tally = Tally(config, population)
    sink.write(HEADER)
    written = 0
    chunks = plan(config, event_order(config, timeline))
    with closing(painted(Painter(config, population, timeline), chunks)) as ready:
        for chunk in ready:
            for page in chunk.pages:
                sink.write(page)
            tally.add(chunk)
            written += chunk.lines
            if on_progress is not None:
                on_progress(written)
    return tally.truth()
