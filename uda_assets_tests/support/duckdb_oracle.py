"""Session counts of a CSV file by DuckDB alone: lines as text, taken apart by regular expressions.

Shares no code and no parser with the project. Knows the platforms that are built in, and no records of several lines.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl

# Bare, or quoted with doubled quotes inside.
_FIELD = '("(?:[^"]|"")*"|[^",]*)'
_SPACE = r"[\s\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x0b]"
_TIME = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:[0-5]\d(\.\d{1,9})?)?(Z|z| UTC|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)?"
_WIDE = "ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ"
_NARROW = "abcdefghijklmnopqrstuvwxyz" * 2

SESSION_COUNTS = f"""
WITH lines AS (
    SELECT regexp_extract_all(line, '(?:^|,){_FIELD}', 1) AS fields
    FROM read_csv($file, columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '', escape = '', header = false,
                  skip = 1, ignore_errors = true, auto_detect = false)
    WHERE regexp_full_match(line, '{_FIELD}(,{_FIELD}){{4}}')),
unquoted AS (
    SELECT list_transform(fields, lambda field: regexp_replace(regexp_replace(
        CASE WHEN field LIKE '"%' THEN replace(field[2:-2], '""', '"') ELSE field END,
        '^{_SPACE}+', ''), '{_SPACE}+$', '')) AS fields
    FROM lines),
named AS (
    SELECT fields[1] AS user_id, fields[2] AS session_id, fields[4] AS moment, fields[5] AS activity,
           CASE lower(translate(fields[3], '{_WIDE}', '{_NARROW}'))
               WHEN 'ios' THEN 'iOS' WHEN 'android' THEN 'Android' WHEN 'web' THEN 'Web' END AS platform
    FROM unquoted)
SELECT platform, user_id, count(DISTINCT session_id) AS session_count FROM named
WHERE user_id <> '' AND session_id <> '' AND activity <> '' AND platform IS NOT NULL
  AND regexp_full_match(moment, '{_TIME}')
  AND try_cast(regexp_extract(upper(moment), '^[-0-9]+[T ][:0-9]+') AS TIMESTAMP) IS NOT NULL
  AND NOT regexp_matches(concat(user_id, session_id, platform, activity), '\\p{{Cc}}')
GROUP BY platform, user_id ORDER BY platform, session_count DESC, user_id"""


def session_counts(path: Path) -> pl.DataFrame:
    """Sessions by platform and user, in the order of a leaderboard without bound."""
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        rows = connection.execute(SESSION_COUNTS, {"file": str(path)}).fetchall()
    return pl.DataFrame(
        rows, schema={"platform": pl.String, "user_id": pl.String, "session_count": pl.Int64}, orient="row"
    )
