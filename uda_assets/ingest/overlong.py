"""A record that is longer than may be held in memory: what is wrong with it, told line by line."""

from __future__ import annotations

import re

from uda_assets.contract import Reason
from uda_assets.ingest.header import Header
from uda_assets.ingest.records import SPACES, decode, scan
from uda_assets.ingest.source import Source

_CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")


def structure_fault(source: Source, start: int, end: int, header: Header) -> Reason | None:
    """What is wrong with the structure of a record whose quotes are in order.

    Args:
        source: The drop.
        start: Offset of the record's first byte.
        end: Offset behind its line end.
        header: The drop's columns.

    """
    required = set(header.positions.values())
    fields, inside, control = 0, False, False
    value = _Value()
    for line in source.lines(start):
        record = scan(decode(line.content), inside=inside, most=header.width + 1)
        for number, text in enumerate(record.fields):
            if number or not inside:
                fields, value = fields + 1, _Value()
            value.add(text)
            control = control or (value.has_control and fields - 1 in required)
        inside = record.open
        if inside:
            value.add("\n")
        if line.following >= end:
            break
    if fields != header.width:
        return Reason.TOO_FEW_FIELDS if fields < header.width else Reason.TOO_MANY_FIELDS
    return Reason.CONTROL_CHARACTER if control else None


class _Value:
    """A field that comes in pieces; whether there is a control character in it, white space around it apart."""

    def __init__(self) -> None:
        self.has_control = False
        self._begun = False
        self._waiting = False

    def add(self, piece: str) -> None:
        text = piece.strip(SPACES)
        if not text:
            # White space so far, which counts if anything follows.
            self._waiting = self._waiting or (self._begun and _holds_control(piece))
            return
        before, after = piece[: -len(piece.lstrip(SPACES))], piece[len(piece.rstrip(SPACES)) :]
        between = self._begun and (self._waiting or _holds_control(before))
        self.has_control = self.has_control or between or _holds_control(text)
        self._begun, self._waiting = True, _holds_control(after)


def _holds_control(text: str) -> bool:
    return _CONTROL.search(text) is not None
