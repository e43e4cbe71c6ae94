"""Named moments at which a test can stop the program, to show crash safety without sleeping or luck."""

from __future__ import annotations

from collections.abc import Callable


class Killed(BaseException):
    """Stands for ``kill -9`` in a test: code that cleans up after errors must not clean up after this one."""


def _ignore(moment: str) -> None:
    """Do nothing, outside tests."""
    del moment


on_moment: Callable[[str], None] = _ignore
"""Called with the name of each moment; a test replaces it with a function that raises :class:`Killed`."""


def reached(moment: str) -> None:
    """Report that the program has reached ``moment``, such as ``"drop: staged"``."""
    on_moment(moment)
