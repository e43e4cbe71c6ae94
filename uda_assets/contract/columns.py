"""The columns of a record."""

from __future__ import annotations

COLUMNS = ("user_id", "session_id", "platform", "activity_time", "activity_type")
"""The required columns of a drop, in the order in which the program writes them."""
WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""The characters with Unicode's White_Space property, which :meth:`polars.Expr.str.strip_chars` trims, as the inside of
a regex character class."""
