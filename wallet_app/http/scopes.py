"""What an API key may do: each route below /api/ asks for one scope."""

from enum import StrEnum


class Scope(StrEnum):
    """A right that a key has or has not; none of them includes another."""

    purpose: str

    def __new__(cls, value: str, purpose: str) -> "Scope":
        member = str.__new__(cls, value)
        member._value_ = value
        member.purpose = purpose
        return member

    WALLETS_READ = "wallets:read", "Read wallets, histories, operations and events."
    WALLETS_WRITE = "wallets:write", "Create wallets, and say what they are found by."
    OPERATIONS_WRITE = "operations:write", "Move money."
    REPORTS_READ = "reports:read", "Read statistics, summaries and statements."
    WEBHOOKS_WRITE = "webhooks:write", "See, add and change webhooks."
    ADMIN = "admin", "Make and revoke keys, read the audit log."


EVERY_SCOPE = frozenset(Scope)
