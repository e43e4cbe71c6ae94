"""The valid files from which the corpus is made: small, so that a pollution can be tried at each of their bytes."""

from __future__ import annotations

from typing import NamedTuple

COLUMNS = b"user_id,session_id,platform,activity_time,activity_type"


class Base(NamedTuple):
    """A valid file as its rows of fields, each as it is spelled, the header first; all have LF line ends."""

    name: str
    rows: tuple[tuple[bytes, ...], ...]

    @property
    def lines(self) -> list[bytes]:
        """The rows as lines, without their ends."""
        return [b",".join(row) for row in self.rows]

    @property
    def data(self) -> bytes:
        """The file."""
        return as_file(self.rows)


def as_file(rows: tuple[tuple[bytes, ...], ...] | list[list[bytes]], delimiter: bytes = b",") -> bytes:
    """Rows of fields as a file."""
    return b"".join(delimiter.join(row) + b"\n" for row in rows)


def _rows(text: str) -> tuple[tuple[bytes, ...], ...]:
    """Rows written one a line, their fields with a bar between them; ``^`` is a line end inside a field."""
    return tuple(tuple(field.replace("^", "\n").encode() for field in line.split("|")) for line in text.split("\n"))


PLAIN = Base(
    "plain",
    _rows(
        "user_id|session_id|platform|activity_time|activity_type\n"
        "u1|s1|iOS|2026-01-31T08:15:00Z|view\n"
        "u2|s2|android|2026-01-31 08:16:00+01:00|click\n"
        "u1|s3|web|2026-01-31T08:17:00.5|view\n"
        "u3|s4|WEB|2024-02-29T23:59:59Z|view"
    ),
)
QUOTED = Base(
    "quoted",
    _rows(
        '"user_id"|"session_id"|"platform"|"activity_time"|"activity_type"\n'
        '"u,1"|"s1"|"iOS"|"2026-01-31T08:15:00Z"|"say ""hi"""\n'
        '"u2"|"s,2"|"Android"|"2026-01-31T08:16:00Z"|"view"\n'
        '""""|"s3"|"Web"|"2026-01-31T08:17:00Z"|"a, b"'
    ),
)
NOTED = Base(
    "noted",
    _rows(
        "note|user_id|session_id|platform|activity_time|activity_type|more\n"
        'x|u1|s1|ios|2026-01-31T08:15:00Z|view|"a, b"\n'
        '"over^two lines"|u2|s2|web|2026-01-31T08:16:00Z|view|\n'
        '|u3|s3|android|2026-01-31T08:17:00Z|click|"^three^"'
    ),
)
UNICODE = Base(
    "unicode",
    _rows(
        "user_id|session_id|platform|activity_time|activity_type\n"
        "Zo\u00eb|s\u00e91|\uff49\uff2f\uff33|2026-01-31T08:15:00Z|\u8cfc\u5165\n"
        "\U0001d518ser|s2|\u24e6eb|2026-01-31T08:16:00Z|vi\u00ebw\n"
        "\u674e|s3|android|2026-01-31T08:17:00Z|\U0001f4b0"
    ),
)
BASES = (PLAIN, QUOTED, NOTED, UNICODE)
