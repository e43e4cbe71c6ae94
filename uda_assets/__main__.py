"""``python -m uda_assets`` is the same program as ``uda``."""

from uda_assets.cli import main

main()
