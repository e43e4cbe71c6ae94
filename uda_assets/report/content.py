"""The content of a report, read from the published warehouse only, and limited in size whatever the data.

This module passes all text from data through :mod:`uda_assets.report.text`, which shortens it and escapes invisible
characters. What is left out is counted, so that the report can say how much it leaves out.
"""

from __future__ import annotations

import importlib.metadata
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import duckdb
import msgspec

from uda_assets.basics.errors import UdaError
from uda_assets.basics.settings import Settings
from uda_assets.contract.platforms import Platforms, platform_table
from uda_assets.contract.reasons import ADVICE
from uda_assets.ingest.convert import CONVERTER_VERSION
from uda_assets.lake import Lake
from uda_assets.report.sources import Sources, read_sources
from uda_assets.report.text import Shortened, shortened_sql, shown
from uda_assets.storage import root_of
from uda_assets.warehouse.lookup import published_warehouse
from uda_assets.warehouse.movement import Against, period_before
from uda_assets.warehouse.ranking import Window

MOST_PLATFORMS = 50
MOST_USERS = 200
MOST_GONE = 50
MOST_BUCKETS = 400
MOST_DROPS = 1000
MOST_FAULTY_DROPS = 50
MOST_SAMPLES = 50
_SAMPLES_PER_REASON = 5
_LONGEST_RAW = 240
_LONGEST_ADVICE = 400
_MOST_SPELLINGS = 20
_MOST_NARROW_BARS = 24
"""If no user has more sessions than this, the distribution has a bar for each number; else the bars double in width."""

_UNITS = {"day": 1, "week": 7, "month": 28, "year": 365, "decade": 3652, "century": 36524}
"""Units of a time chart's buckets, with the approximate number of days in each."""

_STRAY_SHARE = 2000
"""If a chart by day cannot show the whole time, one in this many sessions may be left out at each end."""


class Move(msgspec.Struct, frozen=True, array_like=True):
    """How a listed user moved; ``previous`` is the earlier rank, if there was one."""

    movement: str
    previous: int | None


class ListedUser(msgspec.Struct, frozen=True, array_like=True):
    """A user on a leaderboard, with the movement against each comparison of the report."""

    user: str
    sessions: int
    moves: list[Move | None]


class DepartedUser(msgspec.Struct, frozen=True, array_like=True):
    """A user who left a leaderboard, with the earlier rank and the current number of sessions."""

    user: str
    previous: int
    sessions: int


class Bar(msgspec.Struct, frozen=True, array_like=True):
    """The number of users who have from ``low`` to ``high`` sessions, and the total of their sessions."""

    low: int
    high: int
    users: int
    sessions: int


class PlatformContent(msgspec.Struct, kw_only=True):
    """A platform: its leaderboard down to rank ``MOST_USERS``, its totals, and the users who left.

    Attributes:
        listed: Number of users on the published leaderboard; ``top`` may contain fewer.
        listed_sessions: Total of their sessions.
        moved: For each comparison, the number of users by movement.
        gone: For each comparison, the users who left, in the order of their earlier ranks, up to ``MOST_GONE``.
    """

    name: str
    users: int
    sessions: int
    listed: int = 0
    listed_sessions: int = 0
    top: list[ListedUser] = []
    bars: list[Bar] = []
    moved: list[dict[str, int]] = []
    gone: list[list[DepartedUser]] = []


class Timeline(msgspec.Struct, kw_only=True):
    """Sessions by the time at which they started.

    Attributes:
        unit: The width of a bucket, one of ``_UNITS``: ``day``, ``week`` …
        starts: First day of each bucket.
        sessions: Sessions by bucket, for each platform of the report and then for all other platforms together.
        outside: Number of sessions that are too far from the others to be shown.
    """

    unit: str = "day"
    starts: list[date] = []
    sessions: list[list[int]] = []
    outside: int = 0


class Comparison(msgspec.Struct, frozen=True):
    """An earlier leaderboard with which ranks are compared."""

    name: str
    detail: str


class Charted(msgspec.Struct, kw_only=True):
    """The data that the page's script draws; it is embedded as JSON."""

    n: int
    platforms: list[PlatformContent]
    comparisons: list[Comparison]
    timeline: Timeline


class ReasonRow(msgspec.Struct, frozen=True):
    """The malformed records of one reason, and what to do about them."""

    reason: str
    records: int
    drops: int
    advice: str


class FaultyDrop(msgspec.Struct, frozen=True):
    """A drop with malformed records, and their most frequent reason."""

    drop: str
    quarantined: int
    mostly: str


class Sample(msgspec.Struct, frozen=True):
    """A malformed record, as it was delivered."""

    reason: str
    drop: str
    line: int
    raw: str


class DropRow(msgspec.Struct, frozen=True):
    """A row of the drop ledger."""

    drop: str
    status: str
    records: int | None
    kept: int | None
    quarantined: int | None
    reason: str
    fingerprint: str
    converted_at: datetime | None
    supplier: str


class Quality(msgspec.Struct, kw_only=True):
    """The data quality of all drops that count.

    Attributes:
        kept: Number of records that were kept.
        quarantined: Number of malformed records.
        sessions: Number of unique sessions of the kept records, over all time.
        shared: Number of sessions that occur in several drops, or None if it is not known.
        reasons: The malformed records by reason.
        faulty: The drops with the most malformed records, up to ``MOST_FAULTY_DROPS``.
        faulty_drops: Number of all drops that have malformed records.
        samples: Samples of the malformed records.
    """

    kept: int
    quarantined: int
    sessions: int
    shared: int | None
    reasons: list[ReasonRow]
    faulty: list[FaultyDrop]
    faulty_drops: int
    samples: list[Sample]

    @property
    def records(self) -> int:
        """The number of records that were read."""
        return self.kept + self.quarantined

    @property
    def repeated(self) -> int:
        """The number of kept records that are not the first of their session."""
        return self.kept - self.sessions


class Provenance(msgspec.Struct, kw_only=True):
    """The publication, software, rules and drops from which the numbers come."""

    published_at: datetime | None
    generation: int | None
    n: int
    since: datetime | None
    until: datetime | None
    versions: dict[str, str]
    rules: str
    spellings: list[tuple[str, str]]
    keep_unknown: bool
    drops: list[DropRow]
    statuses: dict[str, int]


class Content(msgspec.Struct, kw_only=True):
    """The content of a report.

    The totals are over all platforms, including those that the report leaves out.

    Attributes:
        charted: The data that the page's script draws.
        platforms: Number of platforms.
        users: Number of users; a user of two platforms counts twice.
        sessions: Number of sessions in the window.
        quality: The data quality.
        sources: Suppliers, ignored files and excluded users.
        provenance: The provenance of the numbers.
    """

    charted: Charted
    platforms: int
    users: int
    sessions: int
    quality: Quality
    sources: Sources
    provenance: Provenance


def read_content(lake: Lake, settings: Settings) -> Content:
    """Return the content of a report on what is published.

    Raises:
        UdaError: Nothing is published, or the published files cannot be read.
    """
    with published_warehouse(lake, settings) as connection:
        try:
            return _Reader(connection, lake, platform_table(root_of(settings), settings)).content()
        except duckdb.IOException as error:
            fault = str(error).splitlines()[0]
            raise UdaError(
                f"the published files cannot be read ({fault}); materialize top_n_by_platform again"
            ) from None


class _Published(NamedTuple):
    """The parameters of a published leaderboard."""

    generation: int | None
    n: int
    since: datetime | None
    until: datetime | None
    published_at: datetime | None


class _Reader:
    """Reads the content of a report from an open warehouse."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, lake: Lake, rules: Platforms) -> None:
        self._connection, self._lake, self._rules = connection, lake, rules
        boards = self._published_boards()
        self._published = boards["published"]
        self._window = Window(self._published.since, self._published.until)
        self._comparisons = _comparisons(self._published, boards.get("previous"))

    def content(self) -> Content:
        totals = self._rows("""
            SELECT platform, count(*), sum(session_count)::BIGINT FROM session_counts GROUP BY platform
            ORDER BY 3 DESC, platform""")
        platforms = [PlatformContent(name=name, users=users, sessions=sessions) for name, users, sessions in totals]
        platforms = platforms[:MOST_PLATFORMS]
        self._connection.execute("CREATE TEMP TABLE charted (place INTEGER, platform VARCHAR)")
        if platforms:
            rows = [(place, platform.name) for place, platform in enumerate(platforms)]
            self._connection.executemany("INSERT INTO charted VALUES (?, ?)", rows)
        self._read_boards(platforms)
        self._read_departures(platforms)
        self._read_bars(platforms)
        self._connection.execute(f"""
            CREATE TEMP TABLE days AS
            SELECT platform, (epoch_us(started_at) // 86400000000)::INTEGER AS day,
                   count(*) FILTER (WHERE {self._window.condition}) AS sessions, count(*) AS all_sessions,
                   sum(events)::BIGINT AS events
            FROM sessions GROUP BY ALL""")
        timeline = self._timeline(len(platforms))
        for platform in platforms:
            platform.name = shown(platform.name)
        charted = Charted(n=self._published.n, platforms=platforms, comparisons=self._comparisons, timeline=timeline)
        return Content(
            charted=charted,
            platforms=len(totals),
            users=sum(row[1] for row in totals),
            sessions=sum(row[2] for row in totals),
            quality=self._quality(),
            sources=read_sources(self._connection),
            provenance=self._provenance(),
        )

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()

    def _published_boards(self) -> dict[str, _Published]:
        # Moments are read as numbers, because reading the database's own type needs a library of time zones.
        rows = self._rows("""
            SELECT leaderboard, generation, n, epoch_us(since), epoch_us(until), epoch_us(published_at)
            FROM publication""")
        return {row[0]: _Published(row[1], row[2], *map(_moment_of, row[3:])) for row in rows}

    # -- leaderboards ----------------------------------------------------------------------------------------------

    def _read_boards(self, platforms: list[PlatformContent]) -> None:
        moves = self._moves()
        rows = self._rows(f"""
            SELECT place, rank, {shortened_sql("user_id")}, session_count FROM (
                SELECT *, row_number() OVER (PARTITION BY platform ORDER BY session_count DESC, user_id) AS rank
                FROM top_n_by_platform) JOIN charted USING (platform)
            WHERE rank <= {MOST_USERS} ORDER BY place, rank""")
        for place, rank, head, length, digest, sessions in rows:
            user_moves = [moves.get((comparison.name, place, rank)) for comparison in self._comparisons]
            platforms[place].top.append(ListedUser(Shortened(head, length, digest).shown(), sessions, user_moves))
        for place, listed, sessions in self._rows("""
            SELECT place, count(*), sum(session_count)::BIGINT
            FROM top_n_by_platform JOIN charted USING (platform) GROUP BY place"""):
            platforms[place].listed, platforms[place].listed_sessions = listed, sessions

    def _moves(self) -> dict[tuple[str, int, int], Move]:
        rows = self._rows(f"""
            SELECT against, place, rank, movement, previous_rank FROM rank_movement JOIN charted USING (platform)
            WHERE rank <= {MOST_USERS}""")
        return {(against, place, rank): Move(movement, previous) for against, place, rank, movement, previous in rows}

    def _read_departures(self, platforms: list[PlatformContent]) -> None:
        """Set for each platform the users who left, and the number of users by movement."""
        positions = {comparison.name: position for position, comparison in enumerate(self._comparisons)}
        for platform in platforms:
            platform.moved, platform.gone = [{} for _ in positions], [[] for _ in positions]
        counts = self._rows("""
            SELECT against, place, movement, count(*) FROM rank_movement JOIN charted USING (platform) GROUP BY ALL
            ORDER BY ALL""")
        for against, place, movement, users in counts:
            if against in positions:
                platforms[place].moved[positions[against]][movement] = users
        gone = self._rows(f"""
            SELECT against, place, previous_rank, {shortened_sql("user_id")}, session_count
            FROM rank_movement JOIN charted USING (platform) WHERE rank IS NULL
            QUALIFY row_number() OVER (PARTITION BY against, place ORDER BY previous_rank) <= {MOST_GONE}
            ORDER BY against, place, previous_rank""")
        for against, place, previous, head, length, digest, sessions in gone:
            if against in positions:
                user = Shortened(head, length, digest).shown()
                platforms[place].gone[positions[against]].append(DepartedUser(user, previous, sessions))

    # -- charts ----------------------------------------------------------------------------------------------------

    def _read_bars(self, platforms: list[PlatformContent]) -> None:
        (most,) = self._rows("SELECT coalesce(max(session_count), 0) FROM session_counts")[0]
        narrow = most <= _MOST_NARROW_BARS
        bucket = "session_count" if narrow else "floor(log2(session_count))::INTEGER"
        rows = self._rows(f"""
            SELECT place, {bucket} AS bucket, count(*), sum(session_count)::BIGINT
            FROM session_counts JOIN charted USING (platform) GROUP BY place, bucket ORDER BY place, bucket""")
        for place, number, users, sessions in rows:
            low, high = (number, number) if narrow else (2**number, 2 ** (number + 1) - 1)
            platforms[place].bars.append(Bar(low, high, users, sessions))

    def _timeline(self, platforms: int) -> Timeline:
        first, last, total = self._rows(
            "SELECT min(day), max(day), coalesce(sum(sessions), 0)::BIGINT FROM days WHERE sessions > 0"
        )[0]
        if not total:
            return Timeline()
        if last - first >= MOST_BUCKETS:
            first, last = self._without_strays(total)
        unit = next(unit for unit, days in _UNITS.items() if (last - first) // days + 2 <= MOST_BUCKETS)
        start = f"date_trunc('{unit}', DATE '1970-01-01' + day)::DATE"
        rows = self._rows(f"""
            SELECT {start} AS start, coalesce(place, {platforms}) AS place, sum(sessions)::BIGINT
            FROM days LEFT JOIN charted USING (platform)
            WHERE day BETWEEN {first} AND {last} AND sessions > 0 GROUP BY ALL ORDER BY start""")
        starts = [
            row[0]
            for row in self._rows(f"""
            SELECT unnest(generate_series(low, high, INTERVAL 1 {unit}))::DATE FROM (
                SELECT min({start}) AS low, max({start}) AS high FROM (VALUES ({first}), ({last})) AS ends(day))""")
        ]
        position = {start: number for number, start in enumerate(starts)}
        sessions = [[0] * len(starts) for _ in range(platforms + 1)]
        for bucket, place, count in rows:
            sessions[place][position[bucket]] = count
        return Timeline(unit=unit, starts=starts, sessions=sessions, outside=total - sum(row[2] for row in rows))

    def _without_strays(self, total: int) -> tuple[int, int]:
        """Return the first and last day, without the few sessions at either end, which may be centuries away."""
        strays = total // _STRAY_SHARE
        row = self._rows(f"""
            SELECT min(day), max(day) FROM (
                SELECT day, sum(count) OVER (ORDER BY day) AS so_far, count
                FROM (SELECT day, sum(sessions) AS count FROM days WHERE sessions > 0 GROUP BY day))
            WHERE so_far > {strays} AND so_far - count < {total - strays}""")[0]
        return row[0], row[1]

    # -- quality ---------------------------------------------------------------------------------------------------

    def _quality(self) -> Quality:
        kept, sessions = self._rows(
            "SELECT coalesce(sum(events), 0)::BIGINT, coalesce(sum(all_sessions), 0)::BIGINT FROM days"
        )[0]
        self._connection.execute("""
            CREATE TEMP TABLE faults AS
            SELECT reason, drop, count(*) AS records FROM quarantine GROUP BY reason, drop""")
        reasons = self._rows("SELECT reason, sum(records)::BIGINT, count(*) FROM faults GROUP BY reason "
                             "ORDER BY 2 DESC, reason")  # fmt: skip
        faulty = self._rows(f"""
            SELECT {shortened_sql("drop")}, sum(records)::BIGINT AS quarantined, arg_max(reason, (records, reason))
            FROM faults GROUP BY drop ORDER BY quarantined DESC, drop LIMIT {MOST_FAULTY_DROPS}""")
        (faulty_drops,) = self._rows("SELECT count(DISTINCT drop) FROM faults")[0]
        return Quality(
            kept=kept,
            quarantined=sum(row[1] for row in reasons),
            sessions=sessions,
            shared=self._shared(),
            reasons=[
                ReasonRow(shown(reason), records, drops, ADVICE.get(reason, "")) for reason, records, drops in reasons
            ],
            faulty=[FaultyDrop(Shortened(*row[:3]).shown(), row[3], shown(row[4])) for row in faulty],
            faulty_drops=faulty_drops,
            samples=list(self._samples()),
        )

    def _shared(self) -> int | None:
        sessions = self._lake.state().sessions
        if sessions is None or sessions.generation != self._published.generation:
            return None
        return sum(file.rows for file in sessions.shared)

    def _samples(self) -> Iterator[Sample]:
        # Lines are selected before the raw texts are read, so that the texts of millions of records are not sorted.
        self._connection.execute(f"""
            CREATE TEMP TABLE picked AS
            SELECT reason, drop, line FROM quarantine
            QUALIFY row_number() OVER (PARTITION BY reason ORDER BY drop, line) <= {_SAMPLES_PER_REASON}
            ORDER BY reason, drop, line LIMIT {MOST_SAMPLES}""")
        rows = self._rows(f"""
            SELECT reason, line, {shortened_sql("drop")}, {shortened_sql("raw", _LONGEST_RAW)}
            FROM quarantine SEMI JOIN picked USING (reason, drop, line) ORDER BY reason, drop, line""")
        for reason, line, *texts in rows:
            yield Sample(shown(reason), Shortened(*texts[:3]).shown(), line, Shortened(*texts[3:]).shown())

    # -- provenance ------------------------------------------------------------------------------------------------

    def _provenance(self) -> Provenance:
        published = self._published
        rows = self._rows(f"""
            SELECT {shortened_sql("drop")}, status, records, kept, quarantined,
                   {shortened_sql("reason", _LONGEST_ADVICE)}, fingerprint, epoch_us(converted_at), supplier FROM drops
            WHERE status <> 'ignored'
            ORDER BY CASE status WHEN 'rejected' THEN 0 WHEN 'pending' THEN 1 WHEN 'committed' THEN 2 ELSE 3 END,
                     converted_at DESC, drop LIMIT {MOST_DROPS}""")
        return Provenance(
            published_at=published.published_at,
            generation=published.generation,
            n=published.n,
            since=published.since,
            until=published.until,
            versions={name: importlib.metadata.version(name) for name in ("uda-assets", "duckdb", "polars")}
            | {"converter": CONVERTER_VERSION},
            rules=self._rules.fingerprint,
            spellings=list(_spellings(self._rules)),
            keep_unknown=self._rules.keep_unknown,
            drops=[_drop_row(row) for row in rows],
            statuses=dict(
                self._rows(
                    "SELECT status, count(*) FROM drops WHERE status <> 'ignored' GROUP BY status ORDER BY status"
                )
            ),
        )


def _comparisons(published: _Published, previous: _Published | None) -> list[Comparison]:
    comparisons = []
    if previous:
        moment, window = moment_text(previous.published_at), window_text(previous.since, previous.until)
        comparisons.append(Comparison(Against.PUBLICATION.value, f"published {moment}, {window}, top {previous.n:,}"))
    if earlier := period_before(Window(published.since, published.until)):
        comparisons.append(Comparison(Against.PERIOD.value, window_text(*earlier)))
    return comparisons


def window_text(since: datetime | None, until: datetime | None) -> str:
    """Return a window in words."""
    if since is None and until is None:
        return "all time"
    start, end = (
        f" {word} {moment_text(moment)}" if moment else "" for word, moment in (("from", since), ("before", until))
    )
    return f"sessions{start}{end}"


def moment_text(moment: datetime | None) -> str:
    """Return a moment in UTC as people write it; midnight is written as a date only."""
    if moment is None:
        return ""
    text = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
    return f"{text.removesuffix(' 00:00')} UTC"


def _moment_of(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)


def _drop_row(row: tuple[Any, ...]) -> DropRow:
    reason = Shortened(*row[7:10]).shown() if row[7] is not None else ""
    status, records, kept, quarantined = row[3:7]
    return DropRow(
        Shortened(*row[:3]).shown(),
        status,
        records,
        kept,
        quarantined,
        reason,
        row[10] or "",
        _moment_of(row[11]),
        shown(row[12] or ""),
    )


def _spellings(rules: Platforms) -> Iterator[tuple[str, str]]:
    """Yield each platform with its spellings."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for spelling, name in rules.spellings.items():
        spellings[name].append(spelling)
    for name in sorted(spellings)[:MOST_PLATFORMS]:
        listed = sorted(spellings[name])
        further = f" and {len(listed) - _MOST_SPELLINGS:,} more" if len(listed) > _MOST_SPELLINGS else ""
        yield shown(name), ", ".join(shown(spelling) for spelling in listed[:_MOST_SPELLINGS]) + further
