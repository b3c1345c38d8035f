"""Start the whole service with one command, and end all of it together."""

import argparse
import contextlib
import fcntl
import http.client
import ipaddress
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from dotenv import load_dotenv
from sqlalchemy import create_engine
from sqlalchemy.exc import ArgumentError, OperationalError

from wallet_app import production
from wallet_app.config import ConfigurationError, Settings
from wallet_app.standalone import embedded
from wallet_app.standalone.processes import Child, running

ROOT = Path(__file__).resolve().parents[2]
DATABASE_TIMEOUT_SECONDS = 30
READY_TIMEOUT_SECONDS = 60
POLL_SECONDS = 0.2
DEMO_WALLET = "123e4567-e89b-12d3-a456-426614174000"

stopping = threading.Event()


class LaunchError(RuntimeError):
    """The service cannot be started or go on; the message says what to do."""


class Stopped(Exception):
    """Somebody asked the launcher to end."""


def main() -> None:
    """Run until a signal or the end of a child; exits with 0 or 1."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    options = parse_arguments()
    os.chdir(ROOT)
    load_dotenv(ROOT / ".env")
    try:
        launch(options, Settings.from_environment())
    except Stopped:
        say("Stopped.")
    except (ConfigurationError, LaunchError, embedded.EmbeddedDatabaseError) as error:
        sys.exit(f"wallet: {error}")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m wallet_app.standalone.launcher")
    parser.description = __doc__
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", default=8000, type=int, help="port to listen on")
    parser.add_argument("--no-demo", action="store_true", help="load no demo data")
    return parser.parse_args()


def launch(options: argparse.Namespace, settings: Settings) -> None:
    """Start the parts in order, and wait; leaving ends them in the other order."""
    production.refuse_unsafe(settings)
    refuse_open_address(options.host, settings)
    with contextlib.ExitStack() as parts:
        parts.enter_context(only_run(settings.instance_dir))
        refuse_taken_port(options.host, options.port)
        os.environ["WALLET_DATABASE_URL"] = parts.enter_context(database(settings))
        # The parts would not know which of two is meant.
        os.environ.pop("WALLET_DATABASE_URL_FILE", None)
        flask = [sys.executable, "-m", "flask", "--app", "wsgi"]
        say("Bringing the database up to date ...")
        run_to_end("The migration", [*flask, "db", "upgrade"])
        if not options.no_demo:
            run_to_end("Loading the demo data", [*flask, "wallet", "demo"])
        say("Starting the web server and the workers ...")
        schedule = settings.instance_dir / "celerybeat-schedule"
        children = parts.enter_context(
            running(
                {
                    "The web server": web_command(options.host, options.port),
                    "The rollup worker": worker_command(
                        "rollups", "--beat", "--schedule", str(schedule)
                    ),
                    # A large statement must not delay the rollups.
                    "The statement worker": worker_command("statements"),
                    "The webhook worker": worker_command(
                        # While one process ends a run, the other goes on.
                        "webhooks",
                        "--concurrency",
                        "2",
                    ),
                }
            )
        )
        wait_until_ready(options.host, options.port, children)
        welcome(options.host, options.port, settings)
        while True:
            pause(children)


def web_command(host: str, port: int) -> list[str]:
    """The command line of gunicorn."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return [sys.executable, "-m", "gunicorn", "--bind", address, "wsgi:app"]


def worker_command(queue: str, *options: str) -> list[str]:
    """The command line of Celery: one worker for one queue."""
    return [
        # Root is warned of Celery, but not of the rest of the service.
        *(sys.executable, "-W", "ignore:You're running the worker with superuser"),
        *("-m", "celery", "--quiet", "--app", "celery_worker:celery"),
        *("worker", "--hostname", f"{queue}@%h", "--queues", queue),
        *("--concurrency", "1", "--loglevel", "WARNING", *options),
    ]


@contextlib.contextmanager
def only_run(instance_dir: Path) -> Iterator[None]:
    """Hold the lock that a second launcher on the same data does not get."""
    path = instance_dir / "run.lock"
    try:
        instance_dir.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+")
    except OSError as error:
        raise LaunchError(
            f"{error}. Set WALLET_INSTANCE_DIR to a folder of yours."
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise LaunchError(
                f"Another `make run` is running here, pid {handle.read()}. Use that "
                "one, end it, or set WALLET_INSTANCE_DIR to another folder."
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def refuse_open_address(host: str, settings: Settings) -> None:
    """Without keys nobody but this machine may reach the service."""
    if settings.access != "keys" and not is_loopback(host):
        raise LaunchError(
            f"Anybody who reaches {host} could move money. Leave HOST out, and only "
            "this machine reaches the service; or ask for keys: "
            f"WALLET_ACCESS=keys make run HOST={host}"
        )


def is_loopback(host: str) -> bool:
    """Whether all that a name or an address stands for is this machine alone."""
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None)  # noqa: S104 - what "" means
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(place[0]).is_loopback for *_, place in found)


def refuse_taken_port(host: str, port: int) -> None:
    """Find out before anything is started that the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        raise LaunchError(
            f"Cannot listen on {host} port {port}: {error}. Choose another port, for "
            "example: make run PORT=8001"
        ) from error


@contextlib.contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The URL of a database that answers: the configured one, or the embedded."""
    if settings.database_url:
        wait_for_database(settings.database_url)
        yield settings.database_url
        return
    say("Starting PostgreSQL ...")
    with embedded.start(settings.instance_dir / "pg") as server:
        yield server.url


def wait_for_database(url: str) -> None:
    """Wait until the database lets us in; raises LaunchError."""
    try:
        engine = create_engine(url, connect_args={"connect_timeout": 5})
    except ArgumentError as error:
        raise LaunchError(f"WALLET_DATABASE_URL cannot be used: {error}") from error
    deadline = time.monotonic() + DATABASE_TIMEOUT_SECONDS
    say(f"Connecting to {engine.url} ...")
    while True:
        try:
            engine.connect().close()
            return
        except OperationalError as error:
            if time.monotonic() > deadline:
                raise LaunchError(
                    f"The database did not let us in for {DATABASE_TIMEOUT_SECONDS} s: "
                    f"{error.orig}\nCheck WALLET_DATABASE_URL and the server."
                ) from error
        finally:
            engine.dispose()
        pause()


def run_to_end(step: str, command: list[str]) -> None:
    """Run a program that must succeed; raises LaunchError."""
    with running({step: command}) as (child,):
        while child.process.poll() is None:
            pause()
        if child.process.returncode != 0:
            raise LaunchError(f"{child.fate()}: its messages are above.")


def pause(children: Sequence[Child] = ()) -> None:
    """Wait a moment; raises Stopped, or LaunchError if a child has ended."""
    if stopping.wait(POLL_SECONDS):
        raise Stopped
    for child in children:
        if child.process.poll() is not None:
            raise LaunchError(f"{child.fate()}. Everything else was stopped as well.")


def wait_until_ready(host: str, port: int, children: Sequence[Child]) -> None:
    """Wait until the service says that it is ready; raises LaunchError."""
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(target, port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except (OSError, http.client.HTTPException):
            pass  # It is still starting.
        finally:
            connection.close()
        pause(children)
    raise LaunchError(f"The service was not ready after {READY_TIMEOUT_SECONDS} s.")


def welcome(host: str, port: int, settings: Settings) -> None:
    """Say where everything is, and for whom."""
    local = host in {"127.0.0.1", "0.0.0.0", "::", "::1"}  # noqa: S104
    base = f"http://{'localhost' if local else host}:{port}"
    body = json.dumps({"operation_type": "DEPOSIT", "amount": 1000})
    if settings.access == "keys":
        access = f"keys: make one with .venv/bin/{production.FIRST_KEY}"
        key = ' -H "Authorization: Bearer $KEY"'
    else:
        access = "open: no key is asked; only this machine reaches it"
        key = ""
    say(
        f"""
The wallet service is ready. Ctrl-C ends it.

  API      {base}/api/v1
  Swagger  {base}/docs
  ReDoc    {base}/redoc
  Access   {access}

Try it in another terminal:

  curl -X POST {base}/api/v1/wallets/{DEMO_WALLET}/operation \\
    -H "Content-Type: application/json"{key} -d '{body}'
"""
    )


def say(message: str) -> None:
    """Print at once, also into a pipe."""
    print(message, flush=True)


if __name__ == "__main__":
    main()
