"""The containers of docker-compose.prod.yml on an engine of the proof's own."""

import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from proofs.client import Client, NoAnswer
from proofs.engine import Engine, run
from proofs.service import ROOT, free_port, wait_for

COMPOSE_FILE = str(ROOT / "docker-compose.prod.yml")
UP_TIMEOUT_S = 180


class Stack:
    """The containers of docker-compose.prod.yml."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.port = free_port()
        self.key: str | None = None
        self.program = engine.compose()
        secrets = engine.folder / "secrets"
        run([str(ROOT / "deploy/make_secrets"), str(secrets)], engine.environment)
        self.certificate = secrets / "tls_certificate"
        # It is for 127.0.0.1 as well, which the clients connect to.
        self.tls = ssl.create_default_context(cafile=self.certificate)
        self.password = (secrets / "postgres_password").read_text().strip()
        self.environment = engine.environment | {
            "SECRETS_DIR": str(secrets),
            "HTTPS_ADDRESS": "127.0.0.1",
            "HTTPS_PORT": str(self.port),
            "COMPOSE": self.program,
        }

    def compose(self, *arguments: str) -> str:
        return run([self.program, "--file", COMPOSE_FILE, *arguments], self.environment)

    def up(self) -> float:
        """Start all of it; return the seconds until the first answer with 200."""
        began = time.monotonic()
        with subprocess.Popen(
            [self.program, "--file", COMPOSE_FILE, "up", "--detach", "--no-build"],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as starting:
            wait_for(self.answers, UP_TIMEOUT_S)
            took = time.monotonic() - began
            _, said = starting.communicate()
        assert starting.returncode == 0, said.decode()
        self.key = self.first_key()
        return took

    def first_key(self) -> str:
        """Made as the compose file says."""
        command = "flask --app wsgi wallet keys create --name proof --scopes all --json"
        made = self.compose("exec", "-T", "web-1", *command.split())
        return str(json.loads(made)["key"])

    def client(self) -> Client:
        return Client(self.port, self.tls, self.key)

    def answers(self) -> bool:
        return asyncio.run(self.readiness()).get("status") in {"ok", "degraded"}

    def is_whole(self) -> bool:
        return asyncio.run(self.readiness()).get("status") == "ok"

    async def readiness(self) -> dict[str, Any]:
        client = Client(self.port, self.tls, self.key)
        try:
            answer = await client.call("GET", "/readyz")
        except NoAnswer:
            return {}
        client.close()
        return answer.json if answer.status == 200 else {}

    def container(self, service: str) -> str:
        return self.compose("ps", "--quiet", service).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        (facts,) = json.loads(self.engine.docker("inspect", self.container(service)))
        return dict(facts)

    def try_in(self, service: str, *command: str) -> str:
        """What a command says that runs as root in a service's container."""
        done = subprocess.run(
            ["docker", "exec", "--user=0", self.container(service), *command],
            env=self.engine.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr

    def is_healthy(self, service: str) -> bool:
        health = self.inspect(service)["State"]["Health"]
        return bool(health["Status"] == "healthy")

    def connect(self) -> psycopg.Connection:
        """To PostgreSQL, which has no port on this machine, at its own address."""
        networks = self.inspect("db")["NetworkSettings"]["Networks"]
        (address,) = (one["IPAddress"] for one in networks.values())
        return psycopg.connect(
            host=address,
            user="wallet",
            dbname="wallet",
            password=self.password,
            autocommit=True,
        )


@contextlib.contextmanager
def running(engine: Engine) -> Iterator[Stack]:
    stack = Stack(engine)
    try:
        yield stack
    except BaseException:
        print(stack.compose("logs", "--tail=20", "--no-color"), file=sys.stderr)
        raise
    finally:
        stack.compose("down", "--volumes", "--timeout=10")
