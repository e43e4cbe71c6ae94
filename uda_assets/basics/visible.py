"""Text from data as people may see it: what cannot be seen, or does something to a terminal, is written out."""

from __future__ import annotations


def visibly(text: str) -> str:
    r"""Controls, marks that change the direction of text and the like as Python writes them: ``\x1b``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
