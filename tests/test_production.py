"""WALLET_ENV=production starts with nothing that is meant for development."""

import http.client
import os
import re
import socket
import subprocess
import sys
import uuid
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from ops import wait_until
from sqlalchemy.engine import make_url

from wallet_app import create_app, production
from wallet_app.config import ConfigurationError, Settings

ROOT = Path(__file__).parents[1]
FLASK = ["flask", "--app", "wsgi"]
CELERY = ["celery", "--app", "celery_worker:celery"]
SERVERS = {
    "gunicorn": ["gunicorn", "--bind", "127.0.0.1:0", "wsgi:app"],
    "flask run": [*FLASK, "run", "--port", "0"],
    "celery worker": [*CELERY, "worker", "--concurrency", "1"],
    "celery beat": [*CELERY, "beat", "--schedule", "/dev/null"],
}
SAFE = {
    "env": "production",
    "access": "keys",
    "database_url": "postgresql+psycopg://u:8dK-q2@db/w",  # pragma: allowlist secret
}


def refusal(**changes):
    with pytest.raises(ConfigurationError) as refused:
        create_app(Settings(**SAFE | changes))
    return str(refused.value)


def test_what_is_right_for_production_is_not_refused():
    production.refuse_unsafe(Settings(**SAFE))
    by_socket = "postgresql+psycopg://wallet@/wallet?host=/run/postgresql"
    production.refuse_unsafe(Settings(**SAFE | {"database_url": by_socket}))


def test_development_takes_everything():
    production.refuse_unsafe(Settings())


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"access": "open"}, "set WALLET_ACCESS=keys"),
        ({"database_url": None}, "set WALLET_DATABASE_URL"),
        (
            {"database_url": "postgresql+psycopg://wallet:wallet@db/wallet"},
            "the password in WALLET_DATABASE_URL is a default one",
        ),
        (
            {"broker_url": "amqp://wallet:guest@broker:5672//"},
            "the password in WALLET_BROKER_URL is a default one",
        ),
        (
            {"limits_storage": "redis://:redis@cache:6379/0"},
            "the password in WALLET_LIMITS_STORAGE is a default one",
        ),
        # As it may be written in a URL.
        (
            {"database_url": "postgresql+psycopg://u:%77allet@db/w"},
            "the password in WALLET_DATABASE_URL is a default one",
        ),
    ],
)
def test_each_fault_is_refused_with_what_to_do(changes, advice, tmp_path):
    message = refusal(**changes, instance_dir=tmp_path / "none")
    assert advice in message
    assert message.count("\n* ") == 1
    # Nothing was started for it.
    assert not (tmp_path / "none").exists()


def test_debugging_is_refused(monkeypatch):
    monkeypatch.setenv("FLASK_DEBUG", "1")
    assert "unset FLASK_DEBUG" in refusal()


def test_all_faults_are_named_at_once_and_no_password_is():
    message = refusal(access="open", database_url="postgresql://w:changeme@db/w")
    assert message.count("\n* ") == 2
    assert "changeme" not in message


def test_every_password_that_is_published_here_is_known_as_a_default():
    files = ["docker-compose.yml", ".env.example", "README.md"]
    published = {
        password
        for file in files
        for password in re.findall(r"://\w+:(\w+)@|_PASS\w*: (\w+)", read(file))
        for password in password
        if password
    }
    assert len(published) >= 2
    assert published <= production.DEFAULT_PASSWORDS


def read(file):
    return (ROOT / file).read_text()


def test_production_compose_file_asks_for_keys():
    environment = read("docker-compose.prod.yml")
    assert "WALLET_ENV: production" in environment
    assert "WALLET_ACCESS: keys" in environment


def test_first_key_is_hinted_at_only_where_there_is_none(app, caplog):
    def hint(count, **settings):
        caplog.clear()
        production.hint_first_key(app, Settings(**settings), count)
        return caplog.text

    assert production.FIRST_KEY in hint(lambda: 0, access="keys")
    assert hint(lambda: 1, access="keys") == ""
    assert hint(lambda: 1 / 0, access="open") == ""


@pytest.fixture
def environment(tmp_path):
    """What a process in production is told; changes come on top."""

    def make(**changes):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("WALLET_")}
        return kept | {
            "WALLET_ENV": "production",
            "WALLET_ACCESS": "keys",
            "WALLET_INSTANCE_DIR": str(tmp_path),
            "WALLET_WORKERS": "1",
            **changes,
        }

    return make


@pytest.fixture
def empty_database(database_url):
    """The URL of a database without a table, on the tests' server."""
    name = f"wallet_empty_{uuid.uuid4().hex[:12]}"
    url = make_url(database_url)
    admin = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield url.set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def execute(url, statement):
    driverless = make_url(url).set(drivername="postgresql")
    with psycopg.connect(driverless.render_as_string(hide_password=False)) as admin:
        admin.execute(statement)


def run(command, environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_refused(command, environment, advice):
    ended = run(command, environment)
    assert ended.returncode not in (0, None), ended.stderr
    assert advice in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


@contextmanager
def gunicorn(environment, log):
    """The port of a gunicorn that answers."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "wsgi:app"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )

    def answers():
        assert process.poll() is None, log.read_text()
        try:
            return status(port, "/healthz") == 200
        except OSError:
            return False

    try:
        wait_until(answers, seconds=60)
        yield port
    finally:
        process.terminate()
        process.wait(40)


def status(port, path):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(client):
        client.request("GET", path)
        return client.getresponse().status


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_no_server_starts_unsafe_or_unmigrated(server, environment, empty_database):
    command = SERVERS[server]
    url = {"WALLET_DATABASE_URL": empty_database}
    assert_refused(
        command, environment(**url, WALLET_ACCESS="open"), "WALLET_ACCESS=keys"
    )
    assert_refused(command, environment(**url), production.MIGRATE)


@pytest.mark.slow
def test_debug_option_is_refused(environment, database_url):
    settings = environment(WALLET_DATABASE_URL=database_url)
    command = [*FLASK, "--debug", "run", "--port", "0", "--no-reload"]
    assert_refused(command, settings, "debug")


@pytest.mark.slow
def test_migration_runs_in_production_and_then_the_service_does(
    environment, empty_database, tmp_path
):
    settings = environment(WALLET_DATABASE_URL=empty_database)
    migrated = run([*FLASK, "db", "upgrade"], settings)
    assert migrated.returncode == 0, migrated.stderr
    log = tmp_path / "log"
    with gunicorn(settings, log) as port:
        assert status(port, "/readyz") == 200
    # One step behind is as bad as empty.
    assert run([*FLASK, "db", "downgrade"], settings).returncode == 0
    assert_refused(SERVERS["gunicorn"], settings, production.MIGRATE)
    # A later release has migrated: this one goes on until it is replaced.
    assert run([*FLASK, "db", "upgrade"], settings).returncode == 0
    execute(empty_database, "UPDATE alembic_version SET version_num = '9999'")
    with gunicorn(settings, log) as port:
        assert status(port, "/readyz") == 200


@pytest.mark.slow
def test_database_that_is_away_is_not_taken_for_an_unmigrated_one(
    environment, tmp_path
):
    settings = environment(WALLET_DATABASE_URL="postgresql://wallet@127.0.0.1:1/wallet")
    with gunicorn(settings, tmp_path / "log") as port:
        assert status(port, "/readyz") == 503
    assert "revision is not known yet" in (tmp_path / "log").read_text()
