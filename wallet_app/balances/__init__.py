"""Wallets, their balances and their histories."""
