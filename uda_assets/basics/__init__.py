"""Foundations that every other subpackage may import: settings, errors, limits, progress and interruption."""
