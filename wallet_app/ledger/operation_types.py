"""The operation types: the one place that says what each of them is.

The rules, the tables' guards, requests, batches, replays, look-ups, the API's
description and the command line follow from here.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Self


class EntryType(StrEnum):
    """What a wallet's history shows.

    `sign` is what the amount does to the balance: 1 comes in, -1 goes out, 0 neither;
    `held_sign` is what it does to the part of it that is held.
    """

    sign: int
    held_sign: int

    def __new__(cls, name: str, sign: int, held_sign: int = 0) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member.sign = sign
        member.held_sign = held_sign
        return member

    def move(self, balance: Decimal, amount: Decimal) -> Decimal:
        """The balance after an entry of this type."""
        if self.sign > 0:
            return balance + amount
        return balance - amount if self.sign else balance

    DEPOSIT = "DEPOSIT", 1
    WITHDRAW = "WITHDRAW", -1
    TRANSFER_OUT = "TRANSFER_OUT", -1
    TRANSFER_IN = "TRANSFER_IN", 1
    HOLD = "HOLD", 0, 1
    HOLD_INCREASE = "HOLD_INCREASE", 0, 1
    HOLD_EXTEND = "HOLD_EXTEND", 0
    CAPTURE = "CAPTURE", -1, -1
    CAPTURE_IN = "CAPTURE_IN", 1
    VOID = "VOID", 0, -1
    EXPIRY = "EXPIRY", 0, -1
    REFUND_OUT = "REFUND_OUT", -1
    REFUND_IN = "REFUND_IN", 1


ENTRIES_OF_HOLDS = frozenset(
    {
        EntryType.HOLD,
        EntryType.HOLD_INCREASE,
        EntryType.HOLD_EXTEND,
        EntryType.CAPTURE,
        EntryType.VOID,
        EntryType.EXPIRY,
    }
)

REFUNDS = frozenset({EntryType.REFUND_OUT, EntryType.REFUND_IN})
# Of an operation's two entries, the one without its reference.
SECOND_OF_TWO = frozenset(
    {EntryType.TRANSFER_IN, EntryType.CAPTURE_IN, EntryType.REFUND_IN}
)


class OperationType(StrEnum):
    """What a client asks for.

    `wallet_fields` are the wallets that a request names, one or two of one currency;
    `entry_types` what is written into the history of each, in the same order: the
    first entry carries the operation's reference. `purpose` is for people. A `hold`
    stands for the wallet in which it is; `optional_fields` may be left out. What a
    refund writes depends on its original, `refund_of`.
    """

    purpose: str
    wallet_fields: tuple[str, ...]
    entry_types: tuple[EntryType, ...]
    optional_fields: frozenset[str]
    of_hold: bool

    def __new__(
        cls,
        name: str,
        purpose: str,
        entries: Mapping[str, EntryType],
        optional_fields: tuple[str, ...] = (),
    ) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member.purpose = purpose
        member.wallet_fields = tuple(entries)
        member.entry_types = tuple(entries.values())
        member.optional_fields = frozenset(optional_fields)
        member.of_hold = member.entry_types[0] in ENTRIES_OF_HOLDS
        return member

    DEPOSIT = "DEPOSIT", "Put money into a wallet.", {"wallet": EntryType.DEPOSIT}
    WITHDRAW = (
        "WITHDRAW",
        "Take money out of a wallet.",
        {"wallet": EntryType.WITHDRAW},
    )
    TRANSFER = (
        "TRANSFER",
        "Move money between two wallets.",
        {"from_wallet": EntryType.TRANSFER_OUT, "to_wallet": EntryType.TRANSFER_IN},
    )
    HOLD = "HOLD", "Promise money of a wallet to a hold.", {"wallet": EntryType.HOLD}
    HOLD_INCREASE = (
        "HOLD_INCREASE",
        "Promise more money to an open hold.",
        {"hold": EntryType.HOLD_INCREASE},
    )
    HOLD_EXTEND = (
        "HOLD_EXTEND",
        "Let an open hold expire later.",
        {"hold": EntryType.HOLD_EXTEND},
    )
    CAPTURE = (
        "CAPTURE",
        "Take what is held, out of the service or into another wallet.",
        {"hold": EntryType.CAPTURE, "to_wallet": EntryType.CAPTURE_IN},
        ("to_wallet",),
    )
    VOID = "VOID", "Give back what a hold still has.", {"hold": EntryType.VOID}
    REFUND = (
        "REFUND",
        "Give back what an operation has moved, or part of it.",
        {"refund_of": EntryType.REFUND_OUT},
    )
    # The ledger's own: nobody asks for it.
    EXPIRY = (
        "EXPIRY",
        "Give back what a hold has when its time is over.",
        {"hold": EntryType.EXPIRY},
    )


# Those that clients ask for.
ASKED_FOR = [one for one in OperationType if one is not OperationType.EXPIRY]
# Those that a wallet's own path takes: they bring money in or out.
OF_ONE_WALLET = [
    one for one in OperationType if one.wallet_fields == ("wallet",) and not one.of_hold
]
# By the entry that carries the reference, the operation that wrote it.
BY_FIRST_ENTRY = {one.entry_types[0]: one for one in OperationType} | {
    EntryType.REFUND_IN: OperationType.REFUND
}
INCOMING = tuple(one for one in EntryType if one.sign > 0)
OUTGOING = tuple(one for one in EntryType if one.sign < 0)
