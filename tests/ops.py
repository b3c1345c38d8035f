"""Operations of the ledger for tests, and a crowd of threads to submit them."""

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from typing import Any

from flask import Flask

from wallet_app.ledger import posting, wallets
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.posting import Unit
from wallet_app.ledger.rules import Operation
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID


def operation(kind: str, wallet: uuid.UUID, amount: Any, **fields: Any) -> Operation:
    """An operation with a reference of its own, unless one is given."""
    fields = {"tenant_id": DEFAULT_TENANT_ID, "reference_id": uuid.uuid4()} | fields
    return Operation(
        operation_type=OperationType[kind],
        wallet_uuid=wallet,
        amount=Decimal(amount),
        **fields,
    )


def deposit(wallet: uuid.UUID, amount: Any, **fields: Any) -> Operation:
    return operation("DEPOSIT", wallet, amount, **fields)


def withdraw(wallet: uuid.UUID, amount: Any, **fields: Any) -> Operation:
    return operation("WITHDRAW", wallet, amount, **fields)


def transfer(
    source: uuid.UUID, target: uuid.UUID, amount: Any, **fields: Any
) -> Operation:
    return operation("TRANSFER", source, amount, target_uuid=target, **fields)


def funded_wallet(balance: int = 0) -> uuid.UUID:
    """A new wallet in dollars with a balance, made past HTTP."""
    wallet, _ = wallets.create(currency="USD")
    if balance:
        posting.post([Unit([deposit(wallet, balance)])])
    return wallet


def post_elsewhere(connection: Any, operation: Operation) -> None:
    """Do what another process does to post a deposit of 1, short of its COMMIT."""
    connection.execute(
        "WITH step AS (UPDATE wallets SET balance = balance + 1, version = version + 1,"
        " updated_at = now() WHERE uuid = %s RETURNING *)"
        " INSERT INTO transactions (wallet_id, seq, operation_type, amount,"
        " balance_before, balance_after, reference_id, created_at)"
        " SELECT id, version, 'DEPOSIT', 1, balance - 1, balance, %s, updated_at"
        " FROM step",
        [operation.wallet_uuid, operation.reference_id],
    )


class Crowd:
    """Threads that each call the ledger inside an application context."""

    def __init__(self, app: Flask, threads: int = 64) -> None:
        self.app = app
        self.pool = ThreadPoolExecutor(threads)

    def start(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Call the function in a thread of its own."""
        return self.pool.submit(self.in_context, function, *args)

    def together(
        self, function: Callable[[Any], Any], arguments: Sequence[Any]
    ) -> list[Any]:
        """Call the function with every argument at the same moment: its results."""
        barrier = threading.Barrier(len(arguments))

        def call(argument: Any) -> Any:
            barrier.wait(10)
            return function(argument)

        futures = [self.start(call, argument) for argument in arguments]
        return [future.result(30) for future in futures]

    def in_context(self, function: Callable[..., Any], *args: Any) -> Any:
        with self.app.app_context():
            return function(*args)


def wait_until(condition: Callable[[], Any], seconds: float = 5) -> None:
    """Wait for something that other threads or processes bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not come about in time"
        time.sleep(0.005)
