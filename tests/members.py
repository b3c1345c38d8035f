"""Members of a batch, as a client writes them."""

from typing import Any


def deposit(wallet: Any, amount: str = "1.00", **fields: Any) -> dict[str, Any]:
    return member("DEPOSIT", amount, wallet=wallet, **fields)


def withdraw(wallet: Any, amount: str = "1.00", **fields: Any) -> dict[str, Any]:
    return member("WITHDRAW", amount, wallet=wallet, **fields)


def transfer(
    source: Any, target: Any, amount: str = "1.00", **fields: Any
) -> dict[str, Any]:
    return member("TRANSFER", amount, from_wallet=source, to_wallet=target, **fields)


def member(kind: str, amount: str, **fields: Any) -> dict[str, Any]:
    named = {name: str(value) for name, value in fields.items()}
    return {"operation_type": kind, "amount": amount} | named
