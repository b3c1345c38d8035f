"""docker-compose.prod.yml as it is: smoke, SIGTERM, a rolling update, a killed node."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from proofs.client import NoAnswer, deposit, make_wallets
from proofs.engine import TAGS, Engine, Unavailable, run
from proofs.engine import running as engine_running
from proofs.evidence import (
    Evidence,
    arguments,
    check_books,
    milliseconds,
    percentile,
    times_applied,
)
from proofs.service import ROOT, wait_for
from proofs.stack import UP_TIMEOUT_S, Stack, running

IMAGE = "wallet-service:latest"
CLIENTS = 32
WALLETS = 8
SETTLE_TIMEOUT_S = 60
# Everything but the broker, whose image writes where it likes.
READ_ONLY = ("nginx", "web-1", "web-2", "rollups", "statements", "webhooks", "beat")
READ_ONLY += ("pgbouncer", "db")
# PostgreSQL's image begins as root, and leaves it.
ROOTLESS = READ_ONLY[:-1]


@dataclass
class Sent:
    """A deposit, and what its client heard of it first."""

    path: str
    body: dict[str, str]
    began: float
    seconds: float
    heard: str

    def __str__(self) -> str:
        return f"{self.heard} after {milliseconds(self.seconds)}"


@dataclass
class Load:
    """Clients that send deposits one after the other, whatever they hear."""

    stack: Stack
    wallets: list[str]
    sent: list[Sent] = field(default_factory=list)
    is_over: bool = False

    async def run_client(self, number: int) -> None:
        client = self.stack.client()
        while not self.is_over:
            path, body = deposit(self.wallets[number % WALLETS], "1.00")
            began = time.monotonic()
            try:
                heard = str((await client.post(path, body)).status)
            except NoAnswer as failure:
                heard = f"no answer ({failure.stage})"
            seconds = time.monotonic() - began
            self.sent.append(Sent(path, body, began, seconds, heard))
        client.close()

    async def disturb(self, act: Callable[[], object], seconds: float) -> None:
        """Load for some seconds, the act, and load for some seconds more."""
        clients = asyncio.gather(*map(self.run_client, range(CLIENTS)))
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(act)
            await asyncio.sleep(seconds)
        finally:
            self.is_over = True
            await clients
        await self.settle()

    async def settle(self) -> None:
        """As careful clients do: what was not answered is sent again, as it was."""
        client = self.stack.client()
        for one in self.failed():
            deadline = time.monotonic() + SETTLE_TIMEOUT_S
            answer = await client.insist(one.path, one.body, deadline)
            assert answer.status == 200, answer.body
        client.close()

    def failed(self) -> list[Sent]:
        return [one for one in self.sent if one.heard != "200"]


class Trial:
    """Disturbances of one stack, each with what its clients saw."""

    def __init__(self, stack: Stack, evidence: Evidence, seconds: int) -> None:
        self.stack = stack
        self.evidence = evidence
        self.seconds = seconds
        self.wallets = asyncio.run(
            make_wallets(stack.port, WALLETS, client=stack.client())
        )
        self.sent: list[Sent] = []

    def disturb(self, name: str, act: Callable[[], object]) -> Load:
        load = Load(self.stack, self.wallets)
        asyncio.run(load.disturb(act, self.seconds))
        heard = Counter(one.heard for one in load.sent)
        self.evidence.figure(f"{name}: answers 200", heard.pop("200"))
        for what, count in sorted(heard.items()):
            self.evidence.figure(f"{name}: {what}", count)
        times = [one.seconds for one in load.sent]
        self.evidence.figure(f"{name}: median", milliseconds(percentile(times, 0.5)))
        self.evidence.figure(f"{name}: slowest", milliseconds(max(times)))
        self.evidence.check_none(
            f"{name}: clients hear 200 or 503, and nothing else", heard.keys() - {"503"}
        )
        self.sent += load.sent
        return load

    def stop_a_node(self) -> None:
        self.disturb("SIGTERM", lambda: self.stack.compose("stop", "web-1"))
        self.stack.compose("start", "web-1")
        wait_for(lambda: self.stack.is_healthy("web-1"), UP_TIMEOUT_S)

    def roll(self) -> None:
        before = self.stack.container("web-1"), self.stack.container("web-2")
        self.stack.engine.build(IMAGE, ROOT, "--label=release=next")
        script = [str(ROOT / "deploy/roll")]
        load = self.disturb(
            "rolling update", lambda: run(script, self.stack.environment)
        )
        after = self.stack.container("web-1"), self.stack.container("web-2")
        self.evidence.check("both nodes were replaced", not set(before) & set(after))
        self.evidence.check_none("no request failed meanwhile", load.failed())

    def kill_a_node(self) -> None:
        killed = []

        def kill() -> None:
            container = self.stack.container("web-2")
            self.stack.engine.docker("kill", container)
            killed.append(time.monotonic())

        load = self.disturb("kill -9", kill)
        self.evidence.check_none(
            "only requests that were on their way fail, one a client",
            [one for one in load.failed() if one.began > killed[0]],
        )
        self.evidence.check(
            "they are fewer than the clients", len(load.failed()) < CLIENTS
        )
        self.stack.compose("start", "web-2")
        wait_for(lambda: self.stack.is_healthy("web-2"), UP_TIMEOUT_S)

    def weigh(self) -> None:
        """How much memory the containers have after all of this."""
        line = "--format={{.MemUsage}}"
        for service in (*READ_ONLY, "broker"):
            container = self.stack.container(service)
            said = self.stack.engine.docker("stats", "--no-stream", line, container)
            self.evidence.figure(f"memory of {service}", said.partition(" ")[0].strip())

    def judge(self) -> None:
        with self.stack.connect() as connection:
            applied = times_applied(connection)
            keys = [one.body["reference_id"] for one in self.sent]
            self.evidence.check_none(
                "each deposit was applied once", [k for k in keys if applied[k] != 1]
            )
            check_books(self.evidence, connection)


def smoke(stack: Stack) -> bool:
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "wallet", "smoke"]
    done = subprocess.run(
        [*command, "--url", f"https://127.0.0.1:{stack.port}"],
        cwd=ROOT,
        env=os.environ
        | {"SSL_CERT_FILE": str(stack.certificate), "WALLET_API_KEY": stack.key or ""},
        check=False,
    )
    return done.returncode == 0


def check_confinement(stack: Stack, evidence: Evidence) -> None:
    """Even root cannot write into a container, and none of ours runs as root."""
    for service in READ_ONLY:
        said = stack.try_in(service, "touch", "/written")
        evidence.check(f"{service}: read-only", "Read-only file system" in said)
    users = {one: stack.inspect(one)["Config"]["User"] for one in ROOTLESS}
    rooted = [one for one, user in users.items() if user.partition(":")[0] in {"", "0"}]
    evidence.check_none("no container of ours runs as root", rooted)
    shown = [one for one in ROOTLESS if stack.password in str(stack.inspect(one))]
    evidence.check_none("no password in a container's environment", shown)


def size(engine: Engine, image: str) -> float:
    """Of all its layers, in MB."""
    layers = engine.docker("history", "--human=false", "--format={{.Size}}", image)
    return sum(map(int, layers.split())) / 1e6


def prove(engine: Engine, evidence: Evidence, seconds: int) -> None:
    engine.build_stand_ins()
    engine.build("wallet-pgbouncer:latest", ROOT / "deploy/pgbouncer")
    evidence.figure("building the image", f"{engine.build(IMAGE, ROOT):.0f} s")
    base = size(engine, TAGS["python"])
    evidence.figure("image, beside its base", f"{size(engine, IMAGE) - base:.0f} MB")
    with running(engine) as stack:
        evidence.figure("`up` to the first 200", f"{stack.up():.1f} s")
        evidence.check("the smoke passes through nginx, with TLS", smoke(stack))
        # The workers are seen, and a rollup has come to its end.
        wait_for(stack.is_whole, UP_TIMEOUT_S)
        check_confinement(stack, evidence)
        trial = Trial(stack, evidence, seconds)
        trial.stop_a_node()
        trial.roll()
        trial.kill_a_node()
        trial.weigh()
        trial.judge()


def main() -> int:
    options = arguments(__doc__, seconds=4)
    evidence = Evidence(f"Containers: {CLIENTS} clients through nginx, two web nodes")
    try:
        with engine_running() as engine:
            prove(engine, evidence, options.seconds)
    except Unavailable as reason:
        print(f"SKIPPED: no container engine can run here: {reason}")
        return 0
    return evidence.conclude()


if __name__ == "__main__":
    sys.exit(main())
