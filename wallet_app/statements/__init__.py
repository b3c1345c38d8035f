"""Statements: files of a wallet's history, written in the background."""
