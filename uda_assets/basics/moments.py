"""Named moments at which tests let the program die, so that crash safety is shown without sleeping or luck."""

from __future__ import annotations

from collections.abc import Callable


class Killed(BaseException):
    """Stands for ``kill -9`` within a test: code that cleans up on errors must not clean up on this."""


def _nothing(moment: str) -> None:
    """Outside tests nothing happens."""
    del moment


on_moment: Callable[[str], None] = _nothing
"""Called with the name of each moment that is passed; a test replaces it by one that raises :class:`Killed`."""


def reached(moment: str) -> None:
    """Say that the program is past ``moment``, such as ``"drop: intent written"``."""
    on_moment(moment)
