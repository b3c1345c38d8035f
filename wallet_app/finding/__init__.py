"""Finding wallets and transactions, and what they are found by."""
