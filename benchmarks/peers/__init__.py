"""The rivals: the script that a user would write instead, each as an expert in its library would write it.

Each runs alone, as in ``python -m benchmarks.peers.duckdb_leaderboard FILE OUT.csv --skip-errors``, and imports its own
library and nothing of ours, so that its start-up is its own.
"""
