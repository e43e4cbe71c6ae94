"""Exact leaderboards of user activity, from suppliers' CSV drops."""
