"""Why a record is quarantined."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a record is quarantined, in order of precedence; :attr:`explanation` says what to do about it."""

    explanation: str

    def __new__(cls, value: str, explanation: str) -> Reason:
        """A reason is its name, and carries its explanation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.explanation = explanation
        return member

    ENCODING = "encoding", "bytes that are not UTF-8; save the file as UTF-8"
    UNTERMINATED_QUOTE = "unterminated_quote", "a quoted field that never ends; close the quote or double it"
    BAD_QUOTE = (
        "bad_quote",
        "text beside a quoted field, or a quote inside a bare one; quote the field, double the quote",
    )
    TOO_FEW_FIELDS = "too_few_fields", "fewer fields than the header has columns; add the missing commas"
    TOO_MANY_FIELDS = "too_many_fields", "more fields than the header has columns; quote fields that contain a comma"
    CONTROL_CHARACTER = "control_character", "a control character or line end inside a required field; remove it"
    MISSING_USER_ID = "missing_user_id", "user_id is empty"
    MISSING_SESSION_ID = "missing_session_id", "session_id is empty"
    MISSING_PLATFORM = "missing_platform", "platform is empty"
    UNKNOWN_PLATFORM = "unknown_platform", "no such platform; add it or an alias to platforms.toml"
    MISSING_ACTIVITY_TIME = "missing_activity_time", "activity_time is empty"
    BAD_ACTIVITY_TIME = "bad_activity_time", "not an ISO 8601 time such as 2026-01-31T08:15:00Z"
    MISSING_ACTIVITY_TYPE = "missing_activity_type", "activity_type is empty"


STRUCTURAL = frozenset(list(Reason)[: list(Reason).index(Reason.CONTROL_CHARACTER) + 1])
"""Reasons that say the record's shape is wrong: of such a record only the first physical line is quarantined."""
