"""Files of the corpus as drops of one data root, and what the whole chain must make of them by the reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from uda_assets_tests.corpus.judging import expected
from uda_assets_tests.corpus.pollutions import Polluted

MAX_REJECT_RATIO = 0.5

REASONS = {
    "empty": {"no_header"},
    "header_unreadable": {"binary_content", "bad_header"},
    **{reason: {reason} for reason in ("missing_column", "duplicate_column", "broken_archive", "too_many_malformed")},
}
"""What the reference reader calls a rejection, and how the chain may call it."""


class Promise(NamedTuple):
    """What must come of a data root.

    Attributes:
        leaderboard: The Result CSV.
        committed: Records read, kept and quarantined of each drop that counts.
        rejected: The reference's rejection of each that does not.
        quarantine: Drop, line, reason and raw text of each malformed record.

    """

    leaderboard: str
    committed: dict[str, tuple[int, int, int]]
    rejected: dict[str, str]
    quarantine: list[tuple[str, int, str, str]]


def deliver(files: Iterable[Polluted], root: Path) -> dict[str, Polluted]:
    """Write files as drops below a data root; gives them by their names there."""
    drops = {f"{file.kind}/{number:05d}{file.suffix}": file for number, file in enumerate(files)}
    for name, file in drops.items():
        path = root / "datasets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
    return drops


def promise(drops: dict[str, Polluted], n: int) -> Promise:
    """What the rules make of drops, by the reference reader and sets."""
    sessions: set[tuple[str, str, str]] = set()
    made = Promise("", {}, {}, [])
    for drop, file in drops.items():
        rejection, kept, quarantined = expected(file)
        records = len(kept) + len(quarantined)
        if records and len(quarantined) / records > MAX_REJECT_RATIO:
            rejection = "too_many_malformed"
        if rejection:
            made.rejected[drop] = rejection
            continue
        made.committed[drop] = (records, len(kept), len(quarantined))
        made.quarantine.extend((drop, int(str(line)), str(reason), str(raw)) for line, reason, raw in quarantined)
        sessions.update((str(row[2]), str(row[0]), str(row[1])) for row in kept)
    return made._replace(leaderboard=_leaderboard(sessions, n), quarantine=sorted(made.quarantine))


def _leaderboard(sessions: set[tuple[str, str, str]], n: int) -> str:
    counts = Counter((platform, user) for platform, user, _ in sessions)
    lines = ["platform,user_id,session_count"]
    for platform in sorted({platform for platform, _ in counts}, key=str.encode):
        ranked = sorted((-count, user.encode()) for (of, user), count in counts.items() if of == platform)
        lines += [f"{_field(platform)},{_field(user.decode())},{-count}" for count, user in ranked[:n]]
    return "".join(line + "\n" for line in lines)


def _field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set('",\r\n') else text
