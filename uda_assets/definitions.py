"""The Definitions: everything that is found in ``defs/``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import dagster as dg

from uda_assets.defs.common import DEFAULTS
from uda_assets.defs.source_code import with_source_code


@dg.definitions
@cache  # One command of Dagster's asks for them six times.
def defs() -> dg.Definitions:
    """Load the definitions of the project, and let each asset name its source code."""
    return with_source_code(dg.load_from_defs_folder(path_within_project=Path(__file__).parent), DEFAULTS)
