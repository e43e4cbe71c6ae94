"""Files on which the fast reader once failed or disagreed with the reference, each named for what was wrong."""

from __future__ import annotations

_HEADER = b"user_id,session_id,platform,activity_time,activity_type\n"
_REST = b",s1,iOS,2026-01-31T08:15:00Z,view\n"

FOUND: dict[str, bytes] = {
    "a line of nothing but quotes": _HEADER + b'"' * 100_001 + _REST + b"u1" + _REST,
    "more lines than are read at once": _HEADER + b"\n" * 300_000 + b"u1" + _REST,
    "more malformed lines than are read at once": _HEADER + b"x\n" * 20_000 + b"u1" + _REST,
}
