"""Statistics and summaries, and the rollups beneath them."""
