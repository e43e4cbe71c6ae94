"""SQL over the lake's files: relations, session counts, leaderboards, rank movement, lookups and users' queries."""
