"""Synthetic data: a generator whose correct answer is known, and a simulated supplier."""

from uda_assets.synthetic.config import GeneratorConfig
from uda_assets.synthetic.generator import GeneratedTruth, generate
from uda_assets.synthetic.supplier import SupplierConfig, supply

__all__ = ["GeneratedTruth", "GeneratorConfig", "SupplierConfig", "generate", "supply"]
