"""Imports: files of operations, taken in at once and posted in the background."""
