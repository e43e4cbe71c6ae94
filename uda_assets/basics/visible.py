"""Text from data, made safe to show: characters that are invisible or control a terminal are escaped."""

from __future__ import annotations


def visibly(text: str) -> str:
    r"""Escape characters that are not printable, such as controls and direction marks: ``\x1b``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
