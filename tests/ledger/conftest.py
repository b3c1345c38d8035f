"""What the tests of the money core share."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from ops import Crowd, deposit
from sqlalchemy.engine import make_url

from wallet_app.ledger import posting, wallets
from wallet_app.ledger.posting import Unit


@pytest.fixture
def new_wallet(context: Flask) -> Callable[..., UUID]:
    """Make a wallet that holds `balance`, without HTTP; return its uuid."""

    def make(balance: object = 0, currency: str = "USD") -> UUID:
        wallet, _ = wallets.create(currency=currency)
        if balance:
            posting.post([Unit([deposit(wallet, balance)])])
        return wallet

    return make


@pytest.fixture
def crowd(app: Flask) -> Iterator[Crowd]:
    crowd = Crowd(app)
    yield crowd
    crowd.pool.shutdown(wait=True)


@pytest.fixture
def connect(database_url: str) -> Iterator[Callable[[], psycopg.Connection]]:
    """Open connections of a process that is not ours."""
    url = make_url(database_url).set(drivername="postgresql")
    opened: list[psycopg.Connection] = []

    def open_one() -> psycopg.Connection:
        opened.append(psycopg.connect(url.render_as_string(hide_password=False)))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()


class Gate:
    """Stands before posting.post: notes each batch and holds it until it is opened.

    `before` is called with each batch; `troubles` are raised, or called, one by one.
    """

    def __init__(self) -> None:
        self.post = posting.post
        self.opened = threading.Event()
        self.opened.set()
        self.batches: list[list[Unit]] = []
        self.before: Callable[[Sequence[Unit]], None] = lambda _: None
        self.troubles: list[BaseException | Callable[[], None] | None] = []

    def close(self) -> None:
        self.opened.clear()

    def open(self) -> None:
        self.opened.set()

    def pass_through(self, units: Sequence[Unit], **options: Any) -> Any:
        self.batches.append(list(units))
        # In short steps, because an asynchronous exception waits for the end of one.
        while not self.opened.wait(0.01):
            pass
        trouble = self.troubles.pop(0) if self.troubles else None
        if isinstance(trouble, BaseException):
            raise trouble
        if trouble is not None:
            trouble()
        self.before(units)
        return self.post(units, **options)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(posting, "post", gate.pass_through)
    yield gate
    gate.open()


@pytest.fixture
def held(connect: Callable[..., Any]) -> Callable[[UUID], psycopg.Connection]:
    """Lock a wallet's row from another process, until its connection commits."""

    def hold(wallet: UUID) -> psycopg.Connection:
        connection = connect()
        connection.execute("SELECT FROM wallets WHERE uuid = %s FOR UPDATE", [wallet])
        return connection

    return hold


@pytest.fixture
def somebody_waits(connect: Callable[..., Any]) -> Callable[[], bool]:
    """Whether any backend of this database waits for a row or for a transaction."""
    connection = connect()
    connection.autocommit = True

    def look() -> bool:
        waiting = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
        return bool(waiting and waiting[0])

    return look
