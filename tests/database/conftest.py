"""What the tests of outages share."""

from collections.abc import Callable, Iterator
from uuid import UUID

import failover
import psycopg
import pytest
from flask import Flask

from wallet_app.database import db
from wallet_app.ledger import settling


@pytest.fixture
def admin(app: Flask, database_url: str) -> Iterator[psycopg.Connection]:
    with failover.operator(database_url) as connection:
        yield connection


@pytest.fixture
def direct(make_app: Callable[..., Flask], database_url: str) -> Flask:
    """A service whose sessions are its own, also if the tests' has a pooler."""
    return make_app(database_url=database_url, transaction_pooling=False)


@pytest.fixture
def fresh_pool(app: Flask) -> Iterator[None]:
    """No connection of another test, nor one of this for the next."""
    with app.app_context():
        db.engine.dispose()
        yield
        db.engine.dispose()


@pytest.fixture
def two(make_wallet: Callable[..., UUID]) -> tuple[UUID, UUID]:
    return make_wallet(100), make_wallet(100)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "RETRY_PAUSE_S", 0.001)
