"""The command line: ``uda`` and ``python -m uda_assets``. Data go to stdout, messages to stderr; exit codes 0, 1 and 2.

Commands are started often and one at a time, so import time matters: modules import little besides click, and each
command imports what it needs when it runs.
"""

from uda_assets.cli.program import main, run

__all__ = ["main", "run"]
