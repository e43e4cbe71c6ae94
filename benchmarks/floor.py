"""What no reading can be faster than: the file read and forgotten, and the kernel alone, whose rows nobody takes.

python -m benchmarks.floor FILE            reads the file
python -m benchmarks.floor FILE --kernel   lets the kernel read its sessions
"""

from __future__ import annotations

import argparse
from pathlib import Path

from uda_assets.basics.settings import load_settings
from uda_assets.contract.platforms import Platforms
from uda_assets.ingest import PlatformNames, Wanted, open_source, read_batches

_PIECE = 4 << 20


def main() -> None:
    """Read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--kernel", action="store_true")
    given = parser.parse_args()
    if not given.kernel:
        with given.file.open("rb", buffering=0) as file:
            while file.read(_PIECE):
                pass
        return
    threads = load_settings({}).threads
    with open_source(given.file) as source:
        names = PlatformNames(Platforms())
        for _ in read_batches(source, names, Wanted.SESSIONS, lambda _kernel, _names: None, threads=threads):
            pass


if __name__ == "__main__":
    main()
