"""What a wallet may do: freeze it, let it go on, close it."""
