"""What a wallet may hold and move: its limits, set and shown."""
