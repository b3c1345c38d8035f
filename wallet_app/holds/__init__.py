"""Holds: money of a wallet that is promised, until it is captured or given back."""
