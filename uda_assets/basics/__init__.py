"""What every other part may use: settings, errors, limits, progress and interruption."""
