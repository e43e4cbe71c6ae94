"""Results as Markdown for Dagster's UI: small tables and pictures. No text from data can break out of them."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from heapq import nlargest
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from uda_assets.basics.visible import visibly
from uda_assets.contract.dictionary import SESSIONS
from uda_assets.contract.reasons import ADVICE
from uda_assets.lake import DropManifest, Rejection
from uda_assets.pipeline.status import DropEntry, Status
from uda_assets.report.text import shown
from uda_assets.warehouse.lookup import Session

if TYPE_CHECKING:
    import polars as pl

MOST_ROWS = 50
"""The most rows of a table. A note says how many more there are."""
_LONGEST_ID = 60
_LONGEST_TEXT = 240
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>~$&@])")


class Verbatim(NamedTuple):
    """A text from data, which is shown as it is in a code span. No Markdown, link or direction mark works in it."""

    text: str


def markdown_table(
    names: Sequence[str], rows: Iterable[Sequence[Any]], *, total: int | None = None, most: int = MOST_ROWS
) -> str:
    """Return a table in GitHub's Markdown, or "none" if there are no rows. No text can leave its cell.

    Args:
        names: The columns.
        rows: Rows of numbers, texts, moments, ``Verbatim`` and None. Only the rows that are shown are consumed.
        total: The number of all rows, for the note on those that are not shown.
        most: The most rows to show.
    """
    body = list(islice(rows, most))
    if not body:
        return "none"
    numeric = [_is_numeric([row[place] for row in body]) for place in range(len(names))]
    lines = [_line(names), _line("---:" if right else "---" for right in numeric)]
    lines += [_line(_cell(value) for value in row) for row in body]
    if total is not None and total > len(body):
        lines.append(f"\n… and {total - len(body):,} more")
    return "\n".join(lines)


def _is_numeric(values: list[object]) -> bool:
    return any(isinstance(value, int) for value in values) and all(isinstance(value, int | None) for value in values)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Verbatim):
        return _code(shown(value.text, _LONGEST_ID)[: 2 * _LONGEST_ID])
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int):
        return f"{value:,}"
    return escaped(str(value))


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is, cut if it is long, with controls and direction marks made visible."""
    visible = visibly(text[: _LONGEST_TEXT + 1])
    return _SPECIAL.sub(r"\\\1", visible if len(visible) <= _LONGEST_TEXT else f"{visible[: _LONGEST_TEXT - 1]}…")


def _code(text: str) -> str:
    if not text or "\\|" in text:  # A code span in a table cannot hold this.
        return escaped(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")


def picture(png: bytes, description: str) -> str:
    """Return a picture that is embedded in the Markdown."""
    return f"![{escaped(description)}](data:image/png;base64,{base64.b64encode(png).decode()})"


def leaderboard_table(board: pl.DataFrame, places: int = MOST_ROWS) -> str:
    """Return the first places of each platform, fewer of each if there are many platforms.

    Args:
        board: A leaderboard in ``LEADERBOARD_SCHEMA``, in its order.
        places: The most places of each platform.
    """
    ranked = [
        (platform, list(islice(rows, places)))
        for platform, rows in groupby(board.iter_rows(), key=lambda row: row[0])
    ]  # fmt: skip
    each = max(1, 2 * MOST_ROWS // max(1, len(ranked)))
    rows = [
        (place, Verbatim(platform), Verbatim(user), count)
        for platform, first in ranked
        for place, (_, user, count) in enumerate(first[:each], 1)
    ]
    names = ["rank", "platform", "user_id", "session_count"]
    return markdown_table(names, rows, total=board.height, most=2 * MOST_ROWS)


def sessions_table(sessions: Iterable[Session]) -> str:
    """Return sessions as a table."""
    rows = (
        (*map(Verbatim, (platform, user, session)), started, ended, events)
        for platform, user, session, started, ended, events in sessions
    )
    return markdown_table([column.name for column in SESSIONS.columns], rows)


_URGENCY = [
    Status.REJECTED,
    Status.IGNORED,
    Status.PENDING,
    Status.VANISHED,
    Status.FORGOTTEN,
    Status.COMMITTED,
]
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def ledger_table(entries: Sequence[DropEntry]) -> str:
    """Return the drop ledger. Drops that need attention come first, then those that were converted last."""
    ordered = sorted(entries, key=lambda entry: entry.converted_at or _LONG_AGO, reverse=True)
    ordered.sort(key=lambda entry: _URGENCY.index(entry.status))
    names = ["drop", "status", "supplier", "records", "quarantined", "converted (UTC)", "what to do"]
    rows = (
        (Verbatim(entry.drop), entry.status.value, Verbatim(entry.supplier or ""), entry.records, entry.quarantined,
         entry.converted_at, what_to_do(entry))
        for entry in ordered
    )  # fmt: skip
    return markdown_table(names, rows, total=len(entries))


def what_to_do(entry: DropEntry) -> str:
    """Return what a person should do about a drop, which is mostly nothing."""
    if entry.status in (Status.REJECTED, Status.IGNORED):
        return entry.reason or ""
    if entry.status is Status.COMMITTED:
        return "see uda quarantine --drop …" if entry.quarantined else ""
    return _ADVICE[entry.status]


_ADVICE = {
    Status.PENDING: "nothing: the conversion takes it next",
    Status.VANISHED: "nothing, if the file was removed on purpose: its records still count; uda forget removes them",
    Status.FORGOTTEN: "nothing: it does not count until another file is delivered under this name",
}


def conversions_table(manifests: Sequence[DropManifest]) -> str:
    """Return the converted drops as a table."""
    rows = ((Verbatim(one.drop), one.records, one.kept, one.quarantined) for one in manifests)
    return markdown_table(["drop", "records", "kept", "quarantined"], rows, total=len(manifests))


def rejections_table(rejected: Mapping[str, Rejection]) -> str:
    """Return the drops that were rejected whole, each with the reason and what to do."""
    rows = ((Verbatim(drop), one.reason, one.records or None, one.advice) for drop, one in rejected.items())
    return markdown_table(["drop", "reason", "records", "what to do"], rows, total=len(rejected))


def quarantine_table(manifests: Mapping[str, DropManifest]) -> str:
    """Return the malformed records by reason, with the drop that has most of them and how to mend them."""
    records: Counter[str] = Counter()
    drops: Counter[str] = Counter()
    worst: dict[str, tuple[int, str]] = {}
    for drop, manifest in manifests.items():
        for reason, count in manifest.reasons.items():
            records[reason] += count
            drops[reason] += 1
            worst[reason] = max(worst.get(reason, (0, "")), (count, drop))
    rows = [
        (reason, count, drops[reason], Verbatim(worst[reason][1]), ADVICE[reason])
        for reason, count in records.most_common()
    ]
    return markdown_table(["reason", "records", "drops", "most in", "how to mend"], rows, total=len(rows))


def worst_drops_table(manifests: Mapping[str, DropManifest]) -> str:
    """Return the drops with most malformed records, each with its share of them and the commonest reason."""
    faulty = [one for one in manifests.values() if one.quarantined]
    rows = (
        (Verbatim(one.drop), one.quarantined, f"{one.quarantined / one.records:.1%}",
         max(one.reasons, key=one.reasons.__getitem__))
        for one in nlargest(MOST_ROWS, faulty, key=lambda one: one.quarantined)
    )  # fmt: skip
    return markdown_table(["drop", "quarantined", "of its records", "mostly"], rows, total=len(faulty))


def cases_table(cases: Sequence[str]) -> str:
    """Return the cases in which a promise does not hold."""
    return markdown_table(["case"], ((case,) for case in cases), total=len(cases))
