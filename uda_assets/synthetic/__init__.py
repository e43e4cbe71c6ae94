"""Synthetic data: a generator with a known right answer, and a simulated supplier."""

from uda_assets.synthetic.generator import GeneratedTruth, GeneratorConfig, generate
from uda_assets.synthetic.supplier import SupplierConfig, supply

__all__ = ["GeneratedTruth", "GeneratorConfig", "SupplierConfig", "generate", "supply"]
