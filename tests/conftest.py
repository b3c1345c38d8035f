"""A real PostgreSQL with the real migrations; tables are emptied between tests."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import books
import flask_migrate
import hypothesis
import psycopg
import pytest
from documented_client import DocumentedClient
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner
from sqlalchemy.engine import make_url

from wallet_app import create_app
from wallet_app.config import Settings, with_driver
from wallet_app.database import db
from wallet_app.ledger import wallets
from wallet_app.standalone import embedded

# An example may take its time on a busy machine.
hypothesis.settings.register_profile("tests", deadline=None)
# For `make mutants`: the same examples each time, and no search for a smaller one.
hypothesis.settings.register_profile(
    "first-failure",
    deadline=None,
    derandomize=True,
    phases=[hypothesis.Phase.generate],
    report_multiple_bugs=False,
)
hypothesis.settings.load_profile("tests")

MIGRATIONS = Path(__file__).parent.parent / "migrations"


def pytest_configure() -> None:
    """Whoever is told to end stops the servers that the tests have started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long; mark what an other database could change."""
    for item in items:
        if "database_url" in getattr(item, "fixturenames", ()):
            item.add_marker("database")
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of the tests' own: on WALLET_DATABASE_URL's server, or embedded."""
    given = os.environ.get("WALLET_DATABASE_URL")
    if not given:
        with embedded.start(tmp_path_factory.mktemp("postgres") / "pg") as server:
            yield server.url
        return
    name = f"wallet_test_{uuid.uuid4().hex[:12]}"
    url = make_url(with_driver(given))
    admin = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield url.set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def empty_database(database_url: str) -> Iterator[str]:
    """The URL of a database without any table."""
    url = make_url(database_url)
    name = f"wallet_migrations_{uuid.uuid4().hex[:12]}"
    admin = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield url.set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def service_url(database_url: str) -> str:
    """The same database as the service reaches it: through a pooler, if there is one.

    See tests/matrix.py.
    """
    port = os.environ.get("TEST_POOLER_PORT")
    if not port:
        return database_url
    pooler = make_url(database_url).set(host="127.0.0.1", port=int(port), query={})
    return pooler.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def settings(service_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        database_url=service_url,
        instance_dir=tmp_path_factory.mktemp("instance"),
        transaction_pooling="TEST_POOLER_PORT" in os.environ,
    )


@pytest.fixture(scope="session")
def database_environment(settings: Settings) -> dict[str, str]:
    """What tells another process to use the tests' database, and how."""
    return {
        "WALLET_DATABASE_URL": settings.database_url or "",
        "WALLET_TRANSACTION_POOLING": "on" if settings.transaction_pooling else "off",
    }


@pytest.fixture(scope="session")
def migrated_app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    app.test_client_class = DocumentedClient
    with app.app_context():
        flask_migrate.upgrade(directory=str(MIGRATIONS))
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def app(migrated_app: Flask) -> Iterator[Flask]:
    """The application on an empty database; afterwards, the books must balance."""
    with migrated_app.app_context():
        books.empty()
    # Each application that a test makes makes its Celery the one whose tasks run.
    migrated_app.extensions["celery"].set_default()
    migrated_app.extensions["celery"].set_current()
    yield migrated_app
    with migrated_app.app_context():
        books.check()


@pytest.fixture
def make_app(settings: Settings, migrated_app: Flask) -> Iterator[Callable[..., Flask]]:
    """Make an application with other settings, on the same database if not told."""
    made: list[Flask] = []

    def make(**changes: Any) -> Flask:
        app = create_app(replace(settings, **changes))
        app.test_client_class = DocumentedClient
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def runner(app: Flask) -> FlaskCliRunner:
    return app.test_cli_runner()


@pytest.fixture
def context(app: Flask) -> Iterator[Flask]:
    """An application context around the test."""
    with app.app_context():
        yield app


@pytest.fixture
def make_wallet(app: Flask, client: FlaskClient) -> Callable[..., uuid.UUID]:
    """Make a wallet that holds `balance`; return its uuid."""

    def make(balance: Any = 0, currency: str = "USD") -> uuid.UUID:
        with app.app_context():
            wallet, _ = wallets.create(currency=currency)
        if balance:
            answer = client.post(
                f"/api/v1/wallets/{wallet}/operation",
                json={"operation_type": "DEPOSIT", "amount": str(balance)},
            )
            assert answer.status_code == 200, answer.text
        return wallet

    return make


@pytest.fixture
def refused(app: Flask, client: FlaskClient) -> Callable[..., dict[str, Any]]:
    """Send what must be refused with a status and a code; return the problem.

    Fails if anything was written. The client checks the shape of the problem.
    """

    def send(status: int, code: str, method: str, path: str, **request: Any) -> Any:
        with app.app_context():
            before = books.contents()
        answer = client.open(path, method=method, **request)
        assert (answer.status_code, answer.get_json()["code"]) == (status, code)
        with app.app_context():
            assert books.contents() == before
        return answer.get_json() | {"headers": answer.headers}

    return send
