"""What the tests of outages share."""

from collections.abc import Callable, Iterator
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy.engine import make_url

from wallet_app.database import db
from wallet_app.ledger import settling


@pytest.fixture
def admin(app: Flask, database_url: str) -> Iterator[psycopg.Connection]:
    """A connection of the operator's."""
    url = make_url(database_url).set(drivername="postgresql")
    options = {"autocommit": True, "options": "-c default_transaction_read_only=off"}
    with psycopg.connect(url.render_as_string(hide_password=False), **options) as own:
        yield own


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
