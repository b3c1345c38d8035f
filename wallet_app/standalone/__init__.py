"""The whole service from one command, with an embedded PostgreSQL."""
