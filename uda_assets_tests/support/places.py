"""Where the project and its sample are."""

from pathlib import Path

PROJECT = Path(__file__).parents[2]
SAMPLE = PROJECT / "data/datasets/sample.csv"
TRUTH = Path(__file__).parent / "sample_truth"
"""The known right answer of the sample, as the generator wrote it."""
