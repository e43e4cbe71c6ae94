"""The reasons for which records are quarantined."""

from __future__ import annotations

from enum import StrEnum

from uda_assets.basics.errors import UdaError


class Reason(StrEnum):
    """A reason for which a record is quarantined. The members are in order of precedence.

    Attributes:
        explanation: What is wrong and what to do, in one line.
    """

    explanation: str

    def __new__(cls, value: str, explanation: str) -> Reason:
        """Create a member whose value is its name, and which carries its explanation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.explanation = explanation
        return member

    ENCODING = (
        "encoding",
        "the record has bytes that are not in the drop's encoding; save the file as UTF-8, or state its encoding in "
        "suppliers.toml",
    )
    UNTERMINATED_QUOTE = (
        "unterminated_quote",
        "a quoted field has no closing quote; add it, and double each quote that is part of the text",
    )
    BAD_QUOTE = (
        "bad_quote",
        "a field has text outside its quotes, or a quote but none around it; quote the whole field and double each "
        "quote inside it; if the supplier escapes quotes, state escape in suppliers.toml",
    )
    TOO_FEW_FIELDS = "too_few_fields", "the record has fewer fields than the header; add the missing commas"
    TOO_MANY_FIELDS = (
        "too_many_fields",
        "the record has more fields than the header; quote fields that contain a comma, or state trailing_delimiter in "
        "suppliers.toml",
    )
    CONTROL_CHARACTER = "control_character", "a required field contains a control character or line end; remove it"
    MISSING_USER_ID = "missing_user_id", "user_id is empty; fill it in"
    MISSING_SESSION_ID = "missing_session_id", "session_id is empty; fill it in"
    MISSING_PLATFORM = "missing_platform", "platform is empty; fill it in"
    UNKNOWN_PLATFORM = (
        "unknown_platform",
        "the platform is not in the platform table; correct it, or add it or its spelling to platforms.toml, or to "
        "platforms in suppliers.toml",
    )
    MISSING_ACTIVITY_TIME = "missing_activity_time", "activity_time is empty; fill it in"
    BAD_ACTIVITY_TIME = (
        "bad_activity_time",
        "activity_time is not an ISO 8601 time; write it like 2026-01-31T08:15:00Z, or state time.formats in "
        "suppliers.toml",
    )
    MISSING_ACTIVITY_TYPE = "missing_activity_type", "activity_type is empty; fill it in"


STRUCTURAL = frozenset(list(Reason)[: list(Reason).index(Reason.CONTROL_CHARACTER) + 1])
"""Reasons that concern the structure of a record. Only the first physical line of such a record is quarantined."""


ADVICE: dict[str, str] = {reason.value: reason.explanation for reason in Reason}
"""What is wrong and what to do, by the name of the reason."""


class MalformedRecord(UdaError):
    """A ``fail_fast`` run met its first malformed record."""

    def __init__(self, drop: str, line: int, reason: str, raw: str) -> None:
        super().__init__(f"drop {drop!r}, line {line}: {reason}: {ADVICE[reason]}. Its text: {raw[:200]!r}")
        self.drop, self.line, self.reason, self.raw = drop, line, reason, raw

    def __reduce__(self) -> tuple[type[MalformedRecord], tuple[str, int, str, str]]:
        return type(self), (self.drop, self.line, self.reason, self.raw)
