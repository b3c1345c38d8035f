"""RabbitMQ and Redis of the tests' own: private ports, on loopback only."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests import debian

START_TIMEOUT_S = 90
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Broker:
    """A server that can be stopped and started again, with its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def is_ready(self) -> bool:
        """It talks, which is more than that its port is open."""
        raise NotImplementedError

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "server.log").read_text()[-3000:])
            time.sleep(0.2)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.process = None

    def exchange(self, question: bytes) -> bytes:
        """Send some bytes, return the first that come back."""
        with contextlib.suppress(OSError):
            address = ("127.0.0.1", self.port)
            with socket.create_connection(address, timeout=1) as connection:
                connection.sendall(question)
                return connection.recv(64)
        return b""


class Redis(Broker):
    """Debian's redis-server."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        debian.need("redis-server", "redis-server")
        address = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return ["redis-server", *address, "--appendonly", "yes", "--save", ""]

    def is_ready(self) -> bool:
        return self.exchange(b"PING\r\n") == b"+PONG\r\n"


class RabbitMq(Broker):
    """Debian's rabbitmq-server, with a node name and a port mapper of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.mapper_port = free_port()
        self.node_port = free_port()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def command(self) -> list[str]:
        debian.need(RABBITMQ, "rabbitmq-server")
        (self.folder / "enabled_plugins").write_text("[].")
        return [RABBITMQ]

    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.mapper_port),
            "RABBITMQ_NODENAME": f"wallet-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.node_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1}"
            ),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none-env"),
        }

    def is_ready(self) -> bool:
        return self.exchange(b"AMQP\x00\x00\x09\x01").startswith(b"\x01\x00\x00")

    def stop(self) -> None:
        super().stop()
        # The port mapper outlives the node that has started it.
        subprocess.run(
            ["epmd", "-kill"],
            env={**os.environ, **self.environment()},
            capture_output=True,
            check=False,
        )


KINDS = {"redis": Redis, "rabbitmq": RabbitMq}


@contextlib.contextmanager
def running(kind: str, folder: Path) -> Iterator[Broker]:
    """A broker that runs until the end of the block."""
    broker = KINDS[kind](folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
