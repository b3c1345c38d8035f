"""Refunds: an operation's money on its way back."""
