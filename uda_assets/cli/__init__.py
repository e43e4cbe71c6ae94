"""The command line: ``uda``, and ``python -m uda_assets``. Data on stdout, messages on stderr; exit 0, 1 or 2.

Programs are started often and one at a time, so that what is imported counts: here only click, and everything else by
the command that needs it.
"""

from uda_assets.cli.program import main, run

__all__ = ["main", "run"]
