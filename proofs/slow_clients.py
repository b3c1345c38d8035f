"""Clients that dawdle, and others who want to be served meanwhile."""

import asyncio
import json
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from proofs.client import Client, NoAnswer, deposit

PAUSE_S = 1.0
LONG_ANSWER = b"/static/swagger-ui/swagger-ui-bundle.js"
UNREAD_ANSWERS = 10


@dataclass
class SlowClients:
    """Connections that never come to the end of a request, or never read an answer."""

    port: int
    wallet: str
    ended_after_s: dict[str, list[float]] = field(default_factory=dict)
    unended: int = 0

    def beginning(self, kind: str) -> tuple[bytes, bytes]:
        """What is sent at once, and what is repeated byte by byte."""
        head = (
            f"POST /api/v1/wallets/{self.wallet}/operation HTTP/1.1\r\n"
            "Host: localhost\r\nContent-Type: application/json\r\n"
        ).encode()
        body = json.dumps({"operation_type": "DEPOSIT", "amount": 1}).encode()
        if kind == "head":
            return head + b"X-Slow: ", b"x"
        if kind == "body":
            return head + b"Content-Length: 1000\r\n\r\n" + body, b" "
        chunk = b"%x\r\n%s\r\n" % (len(body), body)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk, b"1\r\n \r\n"

    async def hold(self, kind: str, deadline: float) -> None:
        """One connection, until the server ends it or the deadline comes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        began = time.monotonic()
        first, more = self.beginning(kind)
        ended = asyncio.create_task(reader.read())
        try:
            writer.write(first)
            while time.monotonic() < deadline:
                done, _ = await asyncio.wait([ended], timeout=PAUSE_S)
                if done:
                    break
                writer.write(more)
            seconds = time.monotonic() - began
            if ended.done():
                self.ended_after_s.setdefault(kind, []).append(seconds)
            else:
                self.unended += 1
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
            writer.transport.abort()

    async def never_read(self, deadline: float) -> None:
        """Ask for far more than the buffers between us take, and read nothing."""
        request = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % LONG_ANSWER
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", self.port))
            client.setblocking(False)
            began = time.monotonic()
            client.send(request * UNREAD_ANSWERS)
            try:
                while time.monotonic() < deadline:
                    await asyncio.sleep(PAUSE_S)
                    with suppress(BlockingIOError):
                        client.send(request)
            except OSError:
                seconds = time.monotonic() - began
                self.ended_after_s.setdefault("reading", []).append(seconds)
            else:
                self.unended += 1

    async def run(self, count: int, seconds: float) -> None:
        """A tenth of them never read; a third of the others for each other kind."""
        deadline = time.monotonic() + seconds
        kinds = ("head", "body", "chunks")
        await asyncio.gather(
            *(
                self.hold(kinds[one % 3], deadline)
                if one % 10
                else self.never_read(deadline)
                for one in range(count)
            )
        )


@dataclass
class Others:
    """Clients that deposit one after the other, on connections that they keep."""

    port: int
    wallet: str
    statuses: Counter[int] = field(default_factory=Counter)
    durations: list[float] = field(default_factory=list)
    unanswered: int = 0
    enough: bool = False

    async def run(self) -> None:
        client = Client(self.port)
        while not self.enough:
            try:
                answer = await client.post(*deposit(self.wallet, "1.00"))
            except NoAnswer:
                self.unanswered += 1
                continue
            self.statuses[answer.status] += 1
            self.durations.append(answer.seconds)
            await asyncio.sleep(0.05)
        client.close()


async def serve_others(slow: SlowClients, others: Others, count: int, seconds: float):
    """The slow ones hold their connections while sixteen others are served."""
    crowd = [asyncio.create_task(others.run()) for _ in range(16)]
    await slow.run(count, seconds)
    others.enough = True
    await asyncio.gather(*crowd)
