"""Users' queries: what they can read, how answers are written, and that nothing else can be read or changed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from uda_assets.basics.errors import UdaError, UsageError
from uda_assets.cli import run
from uda_assets.cli.output import Format, render
from uda_assets.lake import open_lake
from uda_assets.warehouse.answers import Answer
from uda_assets.warehouse.query import QueryableWarehouse, open_warehouse, require_view_body
from uda_assets_tests.support import chain
from uda_assets_tests.support.chain import HEADER, record

CANARY = "the-secret-of-another"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published data root, with data beside it and inside it that a query must not see."""
    base = tmp_path_factory.mktemp("query")
    root = base / "a [root]*'s"
    (base / "secret.csv").write_text(f"a,b\n{CANARY},2\n")
    chain.deliver(root, "sub/a [x]*'y.csv", HEADER + record("s1") + record("s1") + "broken \x1b[31m\n" + record("s2"))
    chain.deliver(root, "b.csv", HEADER + record("s3", "web", "u2"))
    chain.run(root)
    chain.deliver(root, "raw.csv", f"{CANARY}\n")
    (root / "sessions/link.csv").symlink_to(base / "secret.csv")
    return root


@contextmanager
def warehouse_of(root: Path) -> Iterator[QueryableWarehouse]:
    settings = chain.settings_of(root)
    with open_warehouse(open_lake(settings), settings) as warehouse:
        yield warehouse


def ask(root: Path, sql: str) -> list[tuple[Any, ...]]:
    with warehouse_of(root) as warehouse:
        return list(warehouse.answer(sql).rows)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT user_id, session_count FROM session_counts ORDER BY ALL", [("u1", 2), ("u2", 1)]),
        ("FROM top_n_by_platform", [("Web", "u2", 1), ("iOS", "u1", 2)]),
        ("-- why\nSELECT sum(events) FROM sessions; -- said", [(4,)]),
        ('SELECT "drop", line, raw FROM quarantine', [("sub/a [x]*'y.csv", 4, "broken \x1b[31m")]),
        ("WITH these AS (FROM drops) SELECT count(*) FROM these, range(3)", [(6,)]),
        ("VALUES (1), (2)", [(1,), (2,)]),
        ("SELECT count(*) FROM (SHOW TABLES)", [(9,)]),
        ("SELECT column_name FROM (DESCRIBE session_counts)", [("platform",), ("user_id",), ("session_count",)]),
        ("SELECT value FROM json_each('[7]')", [("7",)]),
        ("SELECT started_at::VARCHAR FROM sessions LIMIT 1", [("2026-01-01 00:00:00+00",)]),
    ],
)
def test_what_is_published_can_be_asked(
    root: Path, sql: str, rows: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    assert ask(root, sql) == rows


READS = [
    "FROM '{base}/secret.csv'",
    'FROM "{base}/secret.csv"',
    "FROM read_csv('{base}/secret.csv')",
    "FROM main.read_csv_auto('{base}/secret.csv')",
    "FROM READ_TEXT('{base}/secret.csv')",
    "FROM read_blob(['{base}/secret.csv'])",
    "FROM sniff_csv('{base}/secret.csv')",
    "FROM read_json('/proc/self/environ')",
    "FROM read_text('/etc/passwd')",
    "FROM '/etc/passwd'",
    "FROM read_text('{root}/sessions/link.csv')",
    "FROM read_text('{root}/sessions/../../secret.csv')",
    "FROM read_text('{root}/sessions/platform=iOS/../../datasets/raw.csv')",
    "FROM read_text('{root}/datasets/raw.csv')",
    "FROM read_text('{base}/*.csv')",
    "FROM read_text('file://{base}/secret.csv')",
    "FROM glob('{base}/**')",
    "FROM glob('/etc/*')",
    "FROM parquet_metadata('{base}/secret.csv')",
    "FROM read_duckdb('{base}/other.duckdb', table_name = 't')",
    "FROM query('FROM read_text(''{base}/secret.csv'')')",
    "FROM query_table('{base}/secret.csv')",
    "FROM histogram('{base}/secret.csv', a)",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''{base}/secret.csv'')'))",
    "SELECT (SELECT content FROM read_text('{base}/secret.csv'))",
    "SELECT 1 WHERE EXISTS (FROM read_text('{base}/secret.csv') WHERE content LIKE '%secret%')",
    "FROM drops, LATERAL (FROM read_text('{base}/' || 'secret.csv'))",
    "WITH RECURSIVE r AS (SELECT content FROM read_text('{base}/secret.csv') UNION FROM r) FROM r",
    "SUMMARIZE FROM read_csv('{base}/secret.csv')",
    "DESCRIBE FROM read_csv('{base}/secret.csv')",
    "PIVOT (FROM read_csv('{base}/secret.csv')) ON a IN ('x') USING count(*)",
    "FROM read_csv('{http}/x.csv')",
    "FROM '{http}/x.csv'",
    "FROM read_parquet('s3://bucket/x.parquet')",
    "FROM secret",
    "SELECT getenv('HOME')",
    "FROM enable_logging(storage = 'file', storage_path = '{base}/log')",
    "FROM enable_profiling(save_location = '{base}/profile')",
    "FROM arrow_scan(1, 2, 3)",
    "FROM python_map_function(1)",
]
WRITING = [
    "COPY drops TO '{base}/out.csv'",
    "COPY drops TO '{root}/sessions/out.csv'",
    "COPY (SELECT 1 AS a) TO '{root}/sessions/_manifest.json' (FORMAT csv)",
    "COPY (SELECT 1 AS a, 2 AS b) TO '{root}/sessions/counts' (FORMAT parquet, PARTITION_BY (a), OVERWRITE)",
    "INSERT INTO drops FROM drops RETURNING *",
    "UPDATE drops SET kept = 0",
    "DELETE FROM drops",
]
"""Statements that DuckDB also accepts as the body of a common table expression."""

OTHERS = [
    "COPY (SELECT 1) TO '{base}/out.csv'",
    "COPY (SELECT 1) TO '{root}/sessions/out.csv'",
    "COPY drops FROM '{base}/secret.csv'",
    "EXPORT DATABASE '{base}/out'",
    "IMPORT DATABASE '{base}/out'",
    "ATTACH '{base}/other.duckdb'",
    "ATTACH ':memory:' AS other",
    "DETACH a",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{base}/secret.csv'",
    "SET memory_limit = '1TB'",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "SET VARIABLE a = 1",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "CALL enable_logging()",
    "USE memory",
    "CREATE TABLE t (a INT)",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE MACRO f() AS TABLE FROM read_text('{base}/secret.csv')",
    "CREATE SECRET s (TYPE http)",
    "INSERT INTO drops FROM drops",
    "UPDATE drops SET kept = 0",
    "DELETE FROM drops",
    "DROP TABLE drops",
    "ALTER TABLE drops DROP kept",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{base}/out.csv'",
    *(f"WITH x AS ({writing}) SELECT 1" for writing in WRITING),
    *(f"WITH y AS (WITH x AS ({writing}) SELECT 1) FROM y" for writing in WRITING),
    "BEGIN",
    "CHECKPOINT",
    "VACUUM",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY (SELECT 1) TO '{base}/out.csv'",
    "",
    ";",
    "-- nothing",
    "SELECT",
    "SELECT 'open",
    "SELECT * FROM nothing",
    "SELECT nothing FROM drops",
    "SELECT ?",
    "SELECT 'x'::INT",
    "SELECT error('said \x1b[31m')",
]


@contextmanager
def web_server() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join(10)


def test_nothing_else_can_be_read_or_changed(root: Path) -> None:
    base = root.parent
    with duckdb.connect(base / "other.duckdb") as other:
        other.execute(f"CREATE TABLE t AS SELECT '{CANARY}'")
    files = sorted(base.rglob("*"))
    content = (root / "uda.duckdb").read_bytes()
    quoted = {"base": str(base), "root": str(root).replace("'", "''")}
    secret = pl.DataFrame({"a": [CANARY]})
    with web_server() as (address, asked), warehouse_of(root) as warehouse:
        for attack in (*READS, *OTHERS):
            sql = attack.format(**quoted, http=address)
            with pytest.raises(UsageError) as refused:
                list(warehouse.answer(sql).rows)
            assert CANARY not in str(refused.value), sql
            assert "\n" not in str(refused.value), sql
        # The connection is isolated even without the check of the query.
        for attack in READS:
            sql = attack.format(**quoted, http=address)
            try:
                outcome = repr(warehouse.connection.execute(sql).fetchall())
            except duckdb.Error as error:
                outcome = str(error)
            assert CANARY not in outcome, sql
            assert "root:" not in outcome, sql
        for writing in WRITING:
            sql = f"WITH x AS ({writing}) SELECT 1".format(**quoted)
            with pytest.raises(duckdb.BinderException, match="not allowed as CTE bodies inside a VIEW"):
                require_view_body(warehouse.connection, sql)
        assert asked == []
    assert secret.height == 1
    assert sorted(base.rglob("*")) == files
    assert (root / "uda.duckdb").read_bytes() == content


def test_a_query_nested_too_deeply_is_refused(root: Path) -> None:
    for depth in (500, 5_000):
        with pytest.raises(UsageError):
            ask(root, "SELECT " + "(" * depth + "1 + x" + ")" * depth)


def test_missing_session_files_are_reported(tmp_path: Path) -> None:
    chain.deliver(tmp_path, "a.csv", HEADER + record("s1"))
    with pytest.raises(UdaError, match="nothing is built yet"):
        ask(tmp_path, "SELECT 1")
    chain.run(tmp_path)
    for file in (tmp_path / "sessions").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(UdaError, match="materialize top_n_by_platform again") as failure:
        ask(tmp_path, "FROM sessions")
    assert not isinstance(failure.value, UsageError)


def test_a_moved_data_root_is_reported(tmp_path: Path) -> None:
    chain.deliver(tmp_path / "a", "a.csv", HEADER + record("s1"))
    chain.run(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(UdaError, match=r"if the data root was moved .* materialize top_n_by_platform again") as failure:
        ask(tmp_path / "b", "FROM sessions")
    assert not isinstance(failure.value, UsageError)
    assert ask(tmp_path / "b", "SELECT kept FROM drops") == [(1,)]
    chain.run(tmp_path / "b")
    assert ask(tmp_path / "b", "SELECT count(*) FROM sessions") == [(1,)]


VALUES = """
    SELECT 1 AS a, 2 AS a, NULL AS none, '' AS empty, 'x,"y"' AS text, TIMESTAMPTZ '2026-01-01 02:00:00.5+02' AS moment,
        TIMESTAMP '2026-01-01' AS local, DATE '2026-01-01' AS day, TIME '12:30' AS time, 170141183460469231731687303715884105727::HUGEINT AS huge,
        1.50::DECIMAL(9, 2) AS exact, 0.12345678901234567890::DECIMAL(38, 20) AS long, 'nan'::DOUBLE AS nan,
        ['b', NULL, chr(27)] AS list, {'k': TIMESTAMPTZ '2026-01-01', 'l': [1]} AS parts, MAP {chr(155): 1} AS map,
        '\\xAA'::BLOB AS bytes, INTERVAL 3 DAY AS span, chr(27) || '[31m' || chr(155) AS escape, true AS yes
"""  # noqa: E501
JSON = {
    "a": 1, "a_1": 2, "none": None, "empty": "", "text": 'x,"y"', "moment": "2026-01-01T00:00:00.500000+00:00",
    "local": "2026-01-01T00:00:00", "day": "2026-01-01", "time": "12:30:00", "huge": 2**127 - 1, "exact": 1.5,
    "long": "0.12345678901234567890", "nan": "nan", "list": ["b", None, "\x1b"],
    "parts": {"k": "2026-01-01T00:00:00+00:00", "l": [1]}, "map": {"\\x9b": 1}, "bytes": "\\xaa",
    "span": "3 days, 0:00:00", "escape": "\x1b[31m\x9b", "yes": True,
}  # fmt: skip


def test_values_of_all_kinds_are_written(root: Path, tmp_path: Path) -> None:
    text = {}
    with warehouse_of(root) as warehouse:
        for form in Format:
            text[form] = "".join(render(warehouse.answer(VALUES), form))
        with pytest.raises(UsageError, match="cast the column"):
            warehouse.write_parquet(VALUES, tmp_path / "x.parquet")
        warehouse.write_parquet(VALUES.replace("INTERVAL 3 DAY", "3"), tmp_path / "x.parquet")
    assert json.loads(text[Format.JSON]) == [JSON]
    for form in (Format.TABLE, Format.JSON):
        assert not [character for character in text[form] if not character.isprintable() and character != "\n"]
    (row,) = pl.read_csv(text[Format.CSV].encode(), infer_schema=False).rows(named=True)
    assert (row["none"], row["empty"], row["text"]) == (None, "", JSON["text"])
    assert (row["moment"], row["huge"]) == ("2026-01-01T00:00:00.500000+0000", str(2**127 - 1))
    assert json.loads(row["list"]) == JSON["list"]
    assert row["escape"] == JSON["escape"], "a CSV file keeps data as they are"
    written = pl.read_parquet(tmp_path / "x.parquet").row(0, named=True)
    assert (written["a_1"], written["list"]) == (2, JSON["list"])
    assert written["moment"] == datetime(2026, 1, 1, 0, 0, 0, 500000, UTC)


def test_a_table_of_many_rows_is_written_as_it_is_read() -> None:
    taken = 0

    def rows() -> Iterator[tuple[int, str]]:
        nonlocal taken
        for number in range(20_000):
            taken += 1
            yield number, "wide" * (number == 10_000)

    for form in Format:
        taken = 0
        pieces = render(Answer({"n": int, "t": str}, rows()), form)
        assert next(pieces)
        assert taken <= 5_000
        assert ("".join(pieces)).count("\n") >= 14_999
        assert taken == 20_000


def test_the_command(root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    at_root = ("--data-root", str(root))
    assert run([*at_root, "query", "FROM top_n_by_platform", "--format", "csv"]) == 0
    assert capfd.readouterr() == ((root / "results/Result_top_n_by_platform.csv").read_text(), "")
    for name in ("x.csv", "x.json", "x.txt", "x.parquet"):
        assert run(["query", "FROM drops", *at_root, "--output", str(tmp_path / name)]) == 0
        assert capfd.readouterr() == ("", "")
    assert pl.read_csv(tmp_path / "x.csv").height == pl.read_parquet(tmp_path / "x.parquet").height == 2
    assert [row["drop"] for row in json.loads((tmp_path / "x.json").read_text())] == ["b.csv", "sub/a [x]*'y.csv"]
    # The query comes from a pipe, and the reader of its endless answer closes the pipe early.
    script = f"{sys.executable} -m uda_assets query - --format json <<< 'FROM range(1000000000000)' | head -3"
    environment = os.environ | {"UDA_DATA_ROOT": str(root)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)  # noqa: PLW1510
    assert (done.stdout, done.stderr) == ('[\n  {\n    "range": 0\n', "")


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["SELECT 'x\x1b[31m'::INT"], 2, "Could not convert string 'x\\x1b[31m' to INT32"),
        (["SELECT 1 / x FROM drops", "--output", "out.csv"], 2, "Binder Error"),
        (["SELECT if(range = 99999, error('late'), 1) FROM range(100000)", "--output", "out.csv"], 2, "late"),
        (["SELECT if(range = 99999, error('late'), 1) FROM range(100000)", "--output", "out.parquet"], 2, "late"),
        (["SELECT 1", "--output", "out.doc"], 2, "out.doc"),
        (["SELECT 1", "--output", ".", "--format", "csv"], 1, "is a directory"),
        ([], 2, "SQL"),
        (["SELECT 1\0; SELECT 2"], 2, "NUL"),
        (["SELECT '\udcff'"], 2, "not UTF-8"),
        (["SELECT INTERVAL 99999999 YEAR AS x"], 2, "cast it to VARCHAR"),
    ],
)
def test_an_error_in_a_query_is_one_line(
    root: Path,
    arguments: list[str],
    code: int,
    complaint: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(root.parent)
    before = sorted(root.parent.iterdir())
    assert run(["query", "--data-root", str(root), *arguments]) == code
    captured = capfd.readouterr()
    assert captured.out == ""
    assert complaint in captured.err
    assert captured.err.startswith("uda: ")
    assert len(captured.err.splitlines()) == 1
    assert sorted(root.parent.iterdir()) == before


def test_a_query_on_stdin_that_is_not_text(
    root: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"SELECT '\xff'")))
    assert run(["query", "--data-root", str(root), "-"]) == 2
    assert capfd.readouterr() == ("", "uda: the query on stdin is not UTF-8\n")
