"""Statistics, kept up to date in the background and exact at every read."""
