"""Valid files, polluted in every way that is known of CSV files; each with the answer that must come of it."""
