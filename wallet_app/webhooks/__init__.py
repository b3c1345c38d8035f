"""Webhooks: tells customers' servers what the feed tells, signed, at least once."""
