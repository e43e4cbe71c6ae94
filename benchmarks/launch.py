"""Start a command, wait for it, and write to standard output what it took, as JSON; its own output goes to files.

    python -I -S launch.py STDOUT STDERR COMMAND …

A process of its own, and a small one: Linux counts what a process had in memory before it became the command towards
the command's peak, so a command started by a large process would look as large.
"""

import json
import os
import sys
import time


def main() -> None:
    """Start, wait, tell."""
    out, err, *command = sys.argv[1:]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    redirected = [(os.POSIX_SPAWN_OPEN, 1, out, flags, 0o644), (os.POSIX_SPAWN_OPEN, 2, err, flags, 0o644)]
    began = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ, file_actions=redirected)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - began
    # Linux counts in KiB, macOS in bytes.
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    cpu = usage.ru_utime + usage.ru_stime
    print(json.dumps([os.waitstatus_to_exitcode(status), seconds, cpu, peak]))


main()
