"""Seen from outside: logs, metrics for Prometheus, traces."""
