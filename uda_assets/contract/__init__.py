"""The data contract: columns, reasons, platforms, times, rules and the data dictionary."""
