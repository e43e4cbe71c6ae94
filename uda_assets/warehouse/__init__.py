"""SQL over what the lake holds: relations, ranking, movement, look-ups and users' queries."""
