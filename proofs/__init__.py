"""Slow proofs, each against a real PostgreSQL and a real gunicorn: `make proof`."""
