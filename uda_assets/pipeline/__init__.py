"""The steps from a drop to the leaderboard, and what is asked of them."""
