"""The data contract: columns, platforms, times, rules, reasons for quarantine, and the data dictionary."""
