"""Proves the bound on revocation: `python -m proofs.revocation`.

Callers use keys that are made, rotated and revoked under them, while web workers are
killed and PostgreSQL is stopped: no request that is sent more than five seconds after
its secret has ended succeeds, and none with a good one is refused.
"""

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from proofs.client import Answer, Client, NoAnswer
from proofs.disturbances import stopped
from proofs.evidence import Evidence, arguments, check_books
from proofs.service import ROOT, Service, running

BOUND_S = 5.0
CALLERS, KEYS = 24, 6
# How long a secret that is over is tried, which is longer than the bound.
TRIED_S = 2 * BOUND_S
PAUSE_S = 0.05
GRACE_S = 3
KEY_LIFE_S = (3, 8)
BETWEEN_KILLS_S = (1, 4)
DEPOSIT = {"operation_type": "DEPOSIT", "amount": "1.00"}


@dataclass
class Secret:
    """A key's text, and from when on nobody may be let in with it.

    `good_until` is before it could be refused, `over_at` when the service had said that
    it is over; times are monotonic.
    """

    key_id: str
    text: str
    good_until: float = float("inf")
    over_at: float = float("inf")


@dataclass
class Notes:
    """What the callers have seen."""

    latest_s: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    late: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def take(self, secret: Secret, sent_at: float, answer: Answer) -> None:
        """Judge an answer to a request with a secret."""
        now = time.monotonic()
        over_s = sent_at - secret.over_at
        kind = "after its end" if over_s > 0 else "before its end"
        self.statuses[f"{answer.status} to secrets {kind}"] += 1
        if answer.status == 200 and over_s > 0:
            self.latest_s = max(self.latest_s, over_s)
            if over_s > BOUND_S:
                self.late.append(f"{secret.key_id}: {over_s:.2f} s")
        if answer.status in {401, 403} and now < secret.good_until:
            self.refused.append(f"{secret.key_id}: {answer.body!r}")


class Owner:
    """Makes, rotates and revokes keys, and knows which secrets are good."""

    def __init__(self, port: int, key: str) -> None:
        self.client = Client(port)
        self.headers = {"Authorization": f"Bearer {key}"}
        self.secrets: list[Secret] = []
        self.acts: Counter[str] = Counter()

    async def call(self, path: str, body: object = None) -> Any:
        """Insist, as whoever revokes a key would."""
        while True:
            with suppress(NoAnswer):
                answer = await self.client.call("POST", path, body, self.headers)
                if answer.status < 300:
                    return answer.json
                assert answer.status == 503, answer.body
            await asyncio.sleep(0.1)

    async def life_of_a_key(self) -> None:
        """Make a key, rotate it once, revoke it; its secrets are tried meanwhile."""
        new = {"name": "proof", "scopes": ["operations:write"]}
        made = await self.call("/api/v1/keys", new)
        first = Secret(made["id"], made["key"])
        self.secrets.append(first)
        self.acts["made"] += 1
        await asyncio.sleep(random.uniform(*KEY_LIFE_S))
        path = f"/api/v1/keys/{made['id']}"
        # A rotation that is sent twice has ended the first secret at once.
        first.good_until = time.monotonic()
        rotated = await self.call(f"{path}/rotate", {"grace_seconds": GRACE_S})
        first.over_at = time.monotonic() + GRACE_S
        second = Secret(made["id"], rotated["key"])
        self.secrets.append(second)
        self.acts["rotated"] += 1
        await asyncio.sleep(random.uniform(*KEY_LIFE_S))
        second.good_until = time.monotonic()
        await self.call(f"{path}/revoke")
        second.over_at = min(second.over_at, time.monotonic())
        first.over_at = min(first.over_at, second.over_at)
        self.acts["revoked"] += 1
        await asyncio.sleep(TRIED_S)
        self.secrets.remove(first)
        self.secrets.remove(second)


async def churn(owner: Owner, until: float) -> None:
    while time.monotonic() < until:
        await owner.life_of_a_key()


async def use(port: int, wallet: str, owner: Owner, notes: Notes, until: float) -> None:
    """Try secrets, good ones and those that are over, without a pause to speak of."""
    client = Client(port)
    while time.monotonic() < until:
        if not owner.secrets:
            await asyncio.sleep(PAUSE_S)
            continue
        secret = random.choice(owner.secrets)
        headers = {"Authorization": f"Bearer {secret.text}"}
        sent_at = time.monotonic()
        try:
            path = f"/api/v1/wallets/{wallet}/operation"
            answer = await client.call("POST", path, DEPOSIT, headers)
            notes.take(secret, sent_at, answer)
        except NoAnswer:
            notes.statuses["no answer"] += 1
        await asyncio.sleep(random.uniform(0, PAUSE_S))
    client.close()


async def follow(port: int, owner: Owner, notes: Notes, key: str, made: Any) -> None:
    """A stream must end within the bound after its key is revoked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {key}\r\nAccept: text/event-stream\r\n\r\n".encode()
    )
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    await owner.call(f"/api/v1/keys/{made['id']}/revoke")
    revoked_at = time.monotonic()
    while await reader.read(65536):
        pass
    writer.close()
    took_s = time.monotonic() - revoked_at
    if took_s > BOUND_S:
        notes.late.append(f"a stream went on for {took_s:.2f} s")
    notes.statuses["streams ended by a revocation"] += 1


async def streams(port: int, owner: Owner, notes: Notes) -> None:
    """In peace, for a killed worker ends streams too."""
    new = {"name": "stream", "scopes": ["wallets:read"]}
    made = [await owner.call("/api/v1/keys", new) for _ in range(KEYS)]
    for one in made:
        await follow(port, owner, notes, one["key"], one)


@contextmanager
def kills(service: Service, hits: Counter[str]) -> Iterator[None]:
    """Kill web workers, and stop PostgreSQL now and then, until the end."""
    over = threading.Event()

    def disturb() -> None:
        while not over.wait(random.uniform(*BETWEEN_KILLS_S)):
            if random.random() < 0.25:
                fault = stopped(service, "immediate")
                fault.begin()
                fault.end()
                hits["PostgreSQL stopped (immediate)"] += 1
            else:
                service.kill_busiest_worker()
                hits["a gunicorn worker killed"] += 1

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def first_key(service: Service) -> str:
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "wallet", "keys"]
    options = ["create", "--name", "proof", "--scopes", "all", "--json"]
    output = subprocess.check_output(
        [*command, *options], cwd=ROOT, env=service.environment
    )
    key: str = json.loads(output)["key"]
    return key


async def run(service: Service, owner: Owner, notes: Notes, seconds: int) -> None:
    wallet = (await owner.call("/api/v1/wallets", {}))["uuid"]
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(KEYS):
            mate = Owner(service.port, owner.headers["Authorization"][7:])
            mate.secrets, mate.acts = owner.secrets, owner.acts
            group.create_task(churn(mate, until))
        last = until + sum(KEY_LIFE_S) + TRIED_S
        for _ in range(CALLERS):
            group.create_task(use(service.port, wallet, owner, notes, last))


def main() -> int:
    options = arguments(__doc__, seconds=120)
    evidence = Evidence("Revocation")
    notes, hits = Notes(), Counter[str]()
    with running(WALLET_ACCESS="keys") as service:
        owner = Owner(service.port, first_key(service))
        asyncio.run(streams(service.port, owner, notes))
        owner = Owner(service.port, owner.headers["Authorization"][7:])
        with kills(service, hits):
            asyncio.run(run(service, owner, notes, options.seconds))
        with service.connect() as connection:
            check_books(evidence, connection)
    for name, times in sorted({**owner.acts, **hits, **notes.statuses}.items()):
        evidence.figure(name, times)
    evidence.figure("latest success after the end", f"{notes.latest_s:.2f} s")
    evidence.check_none(
        "nothing succeeds that was sent more than 5 s after its secret's end",
        notes.late,
    )
    evidence.check_none("no good secret is refused", notes.refused)
    evidence.check("keys were used after their end", notes.latest_s > 0)
    return evidence.conclude()


if __name__ == "__main__":
    sys.exit(main())
