"""The columns of a record."""

from __future__ import annotations

COLUMNS = ("user_id", "session_id", "platform", "activity_time", "activity_type")
"""The required columns of a drop, in the order in which the program writes them."""
WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""The characters with Unicode's White_Space property, for :meth:`str.strip`, which by itself would trim others, too."""


def comparable(name: str) -> str:
    """Return the form in which names of columns are compared: trimmed and casefolded."""
    return name.strip(WHITE_SPACE).casefold()
