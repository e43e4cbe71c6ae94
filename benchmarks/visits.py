"""A second shape of data, so that we do not tune to what our own generator makes.

    python -m benchmarks.visits visits.csv --truth DIR --n 10000000 --malformed-ratio 0.005 --shuffled

Sessions of four events within an hour, over 30 days; 100,000 users whose sessions follow Zipf's law; user ids of 12 and
session ids of 17 characters; times in milliseconds. A malformed record has an impossible time, no user, or a field too
few. DIR/session_counts.csv is the right answer, from the numbers that the file was made of.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl

USERS = 100_000
EVENTS = 4
PLATFORMS = ["Android", "Web", "iOS"]
KINDS = ["view", "click", "purchase", "scroll", "login"]
_DAY, _HOUR = 86_400_000, 3_600_000
_BEGIN = 1_767_225_600_000  # 2026-01-01, in milliseconds since 1970


def visits(records: int, seed: int, *, shuffled: bool, malformed_ratio: float) -> pl.DataFrame:
    """Events in order of time or at random, as numbers; ``fault`` is 0 where a record is sound."""
    random = np.random.default_rng(seed)
    session = np.arange(records) // EVENTS
    sessions = int(session[-1]) + 1
    weights = 1 / np.arange(1, USERS + 1)
    user = random.choice(USERS, sessions, p=weights / weights.sum())
    platform = random.integers(0, len(PLATFORMS), sessions)
    started = _BEGIN + random.integers(0, 30 * _DAY, sessions)
    time = started[session] + random.integers(0, _HOUR, records)
    order = random.permutation(records) if shuffled else np.argsort(time, kind="stable")
    fault = np.where(random.random(records) < malformed_ratio, random.integers(1, 4, records), 0)
    return pl.DataFrame(
        {
            "session": session[order], "user": user[session][order], "platform": platform[session][order],
            "time": time[order], "kind": random.integers(0, len(KINDS), records), "fault": fault,
        }
    )  # fmt: skip


def lines(events: pl.DataFrame) -> pl.DataFrame:
    """The lines of the file."""
    fault = pl.col("fault")
    at = pl.col("time").cast(pl.Datetime("ms")).dt.to_string("%Y-%m-%dT%H:%M:%S%.3fZ")
    fields = [
        pl.when(fault == 1).then(pl.lit("")).otherwise(_user()),
        pl.concat_str(pl.lit("s"), (pl.col("session") * 7919).cast(pl.String).str.zfill(16)),
        _named("platform", PLATFORMS),
        pl.when(fault == 2).then(at.str.replace("-01-|-02-", "-13-")).otherwise(at),
    ]
    kind = pl.when(fault == 3).then(pl.lit("")).otherwise(pl.concat_str(pl.lit(","), _named("kind", KINDS)))
    return events.select(line=pl.concat_str(pl.concat_str(fields, separator=","), kind))


def truth(events: pl.DataFrame) -> pl.DataFrame:
    """The number of sessions by platform and user, the largest first."""
    sound = events.filter(pl.col("fault") == 0).select("platform", "user", "session").unique()
    counts = sound.group_by("platform", "user").len("session_count")
    named = counts.select(_named("platform", PLATFORMS).alias("platform"), _user().alias("user_id"), "session_count")
    return named.sort("platform", "session_count", "user_id", descending=[False, True, False])


def _user() -> pl.Expr:
    return pl.concat_str(pl.lit("u"), (pl.col("user") * 104_729 % 99_999_999_977).cast(pl.String).str.zfill(11))


def _named(column: str, names: list[str]) -> pl.Expr:
    return pl.col(column).replace_strict(list(range(len(names))), names, return_dtype=pl.String)


def main() -> None:
    """Write the file and its truth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--malformed-ratio", type=float, default=0.0)
    parser.add_argument("--shuffled", action="store_true")
    given = parser.parse_args()
    events = visits(given.n, given.seed, shuffled=given.shuffled, malformed_ratio=given.malformed_ratio)
    given.truth.mkdir(parents=True, exist_ok=True)
    truth(events).write_csv(given.truth / "session_counts.csv")
    written = given.target.with_suffix(".part")
    with written.open("wb") as file:
        file.write(b"user_id,session_id,platform,activity_time,activity_type\n")
        for piece in events.iter_slices(1_000_000):
            lines(piece).write_csv(file, include_header=False, quote_style="never")
    written.replace(given.target)


if __name__ == "__main__":
    main()
