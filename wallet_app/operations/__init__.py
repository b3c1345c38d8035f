"""Requests that move money."""
