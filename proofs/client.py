"""A keep-alive HTTP/1.1 client: many of them fit into one process and its event loop.

Only what the proofs need: it never repeats a request by itself, and tells how far one
that failed had come.
"""

import asyncio
import json
import ssl
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any

import psutil

TIMEOUT_S = 40


class Stage(StrEnum):
    """How far a request came: its connection was being made, was new, or was kept."""

    CONNECTING = auto()
    NEW = auto()
    KEPT = auto()


class NoAnswer(Exception):
    """The connection failed at this stage of the request."""

    def __init__(self, reason: object, stage: Stage) -> None:
        super().__init__(f"{type(reason).__name__}: {reason} ({stage})")
        self.stage = stage


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection, made when it is needed and kept for as long as it lasts."""

    def __init__(
        self, port: int, tls: ssl.SSLContext | None = None, key: str | None = None
    ) -> None:
        self.port = port
        self.tls = tls
        self.headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.unanswered = 0

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and read its answer; raises NoAnswer."""
        began = time.monotonic()
        stage = Stage.CONNECTING if self.writer is None else Stage.KEPT
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if self.writer is None:
                    self.reader, self.writer = await asyncio.open_connection(
                        "127.0.0.1", self.port, ssl=self.tls
                    )
                    stage = Stage.NEW
                every = self.headers | dict(headers or {})
                self.writer.write(request_bytes(method, path, body, every))
                status, received, content = await self.read_answer()
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            self.unanswered += stage is not Stage.CONNECTING
            raise NoAnswer(error, stage) from error
        if received.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, received, content, time.monotonic() - began)

    async def read_answer(self) -> tuple[int, dict[str, str], bytes]:
        assert self.reader is not None
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")[:-2]
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        content = await self.reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), headers, content

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None

    async def post(self, path: str, body: object) -> Answer:
        return await self.call("POST", path, body)

    async def insist(self, path: str, body: object, deadline: float) -> Answer:
        """Send again, as a careful client does, until there is an answer but 503."""
        while True:
            try:
                answer = await self.post(path, body)
                if answer.status != 503:
                    return answer
            except NoAnswer:
                if time.monotonic() > deadline:
                    raise
            assert time.monotonic() < deadline, "the service does not come back"
            await asyncio.sleep(0.1)


def request_bytes(
    method: str, path: str, body: object, headers: Mapping[str, str] | None = None
) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


def deposit(wallet: str, amount: str, kind: str = "DEPOSIT") -> tuple[str, Any]:
    """A request to one wallet, with a reference of its own: path and body."""
    body = {"operation_type": kind, "amount": amount}
    return f"/api/v1/wallets/{wallet}/operation", body | reference()


def transfer(source: str, target: str, amount: str) -> tuple[str, Any]:
    """A request to two wallets, with a reference of its own: path and body."""
    body = {"from_wallet": source, "to_wallet": target, "amount": amount}
    return "/api/v1/transfers", body | reference()


def reference() -> dict[str, str]:
    return {"reference_id": str(uuid.uuid4())}


async def connect_evenly(
    clients: Sequence[Client], workers: Sequence[psutil.Process]
) -> None:
    """Give each worker its share of the clients.

    Left to themselves, idle workers do not share: the one that the kernel wakes first
    takes nearly all connections. So the others are stopped meanwhile.
    """
    for place, worker in enumerate(workers):
        others = [other for other in workers if other is not worker]
        for other in others:
            other.suspend()
        try:
            for client in clients[place :: len(workers)]:
                await client.call("GET", "/healthz")
        finally:
            for other in others:
                other.resume()


async def make_wallets(
    port: int,
    count: int,
    balance: str | None = None,
    currency: str = "USD",
    client: Client | None = None,
) -> list[str]:
    """Create wallets over HTTP, with something in them."""
    client = client or Client(port)
    wallets = []
    for _ in range(count):
        answer = await client.post("/api/v1/wallets", {"currency": currency})
        assert answer.status == 201, answer.body
        wallets.append(answer.json["uuid"])
        if balance:
            answer = await client.post(*deposit(wallets[-1], balance))
            assert answer.status == 200, answer.body
    client.close()
    return wallets


async def limit_wallets(port: int, wallets: Sequence[str], limits: object) -> None:
    """Give each of the wallets these limits."""
    client = Client(port)
    for wallet in wallets:
        path = f"/api/v1/wallets/{wallet}/limits"
        answer = await client.call("PUT", path, limits)
        assert answer.status == 200, answer.body
    client.close()
