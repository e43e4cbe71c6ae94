"""The definitions of the project, loaded once for all tests."""

from uda_assets import definitions

defs = definitions.defs()
