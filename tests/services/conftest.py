"""The same tests against each broker."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import brokers
import pytest
from flask import Flask
from flask.testing import FlaskClient
from workers import Worker

from wallet_app.config import Settings

KINDS = os.environ.get("TEST_BROKERS", "postgresql rabbitmq redis").split()


@pytest.fixture(scope="session", params=KINDS)
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[brokers.Broker | None]:
    """A running broker; None stands for the tables in PostgreSQL."""
    if request.param == "postgresql":
        yield None
        return
    with brokers.running(request.param, tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def service(
    app: Flask, broker: brokers.Broker | None, make_app: Callable[..., Flask]
) -> Iterator[Flask]:
    """The application on an empty database, with this broker."""
    service = make_app(broker_url=broker.url if broker else None)
    with service.app_context():
        yield service


@pytest.fixture
def web(service: Flask) -> FlaskClient:
    return service.test_client()


@pytest.fixture
def start_worker(
    settings: Settings,
    database_environment: dict[str, str],
    broker: brokers.Broker | None,
    tmp_path: Path,
) -> Iterator[Callable[..., Worker]]:
    """Start a worker of this service; options as for Worker."""
    environment = database_environment | {
        "WALLET_BROKER_URL": broker.url if broker else "",
        "WALLET_INSTANCE_DIR": str(settings.instance_dir),
        "WALLET_ROLLUP_INTERVAL_SECONDS": "1",
    }
    started: list[Worker] = []

    def start(**options: object) -> Worker:
        started.append(Worker(environment, tmp_path / "worker.log", **options))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
    if started:
        # Shown by pytest if the test has failed.
        sys.stdout.write(started[0].log.read_text()[-6000:])
