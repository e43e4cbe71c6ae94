"""Where the project, its sample and its programs are."""

import sys
from pathlib import Path

SCRIPTS = Path(sys.executable).parent
"""Where the programs of the environment are."""
PROJECT = Path(__file__).parents[2]
SAMPLE = PROJECT / "data/datasets/sample.csv"
TRUTH = Path(__file__).parent / "sample_truth"
"""The known right answer of the sample, as the generator wrote it."""
