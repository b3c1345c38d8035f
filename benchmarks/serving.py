"""What each part of gunicorn's worker is worth: `python -m benchmarks.serving`."""

import argparse
import asyncio
import random
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

from benchmarks import database, report, workloads
from benchmarks.candidates import Server, serve
from benchmarks.measuring import Figures, measure, take_sample
from benchmarks.runs import HISTORY_ROWS, WALLETS
from benchmarks.serving_ways import Way, nginx
from proofs.client import Client, NoAnswer, deposit
from proofs.slow_clients import SlowClients

FULL, PLAIN = "the project's worker", "gunicorn's gevent worker"
# What it differs by from itself, no other difference says anything.
AGAIN = "the same once more"
WORKERS = "benchmarks.serving_workers"
VARIANTS = {
    FULL: (),
    AGAIN: (),
    "without balanced accept": ("--worker-class", f"{WORKERS}.NotBalanced"),
    "without deadlines": ("--worker-class", f"{WORKERS}.NoDeadlines"),
    "without idle ends": ("--worker-class", f"{WORKERS}.NoIdleEnds"),
    "without turns": ("--worker-class", f"{WORKERS}.NoTurns"),
    PLAIN: ("--worker-class", "gevent"),
    f"{PLAIN}, reuse_port": ("--worker-class", "gevent", "--reuse-port"),
}
BEHIND_NGINX = (FULL, PLAIN)
CONNECTIONS = (8, 64)
SLOW, SLOW_SECONDS = 10, 45
KEPT = 64


def ways(stack: ExitStack, store: database.Database) -> list[Way]:
    def start(name: str) -> Server:
        options = VARIANTS[name]
        return stack.enter_context(serve(name, "wsgi:app", store.url, options=options))

    found = []
    for name in VARIANTS:
        server = start(name)
        found.append(Way(name, server, server.port))
    for name in BEHIND_NGINX:
        server = start(name)
        port = stack.enter_context(nginx(server.port))
        found.append(Way(f"{name}, behind nginx", server, port))
    return found


def speed(figures: Figures, found: list[Way]) -> str:
    """Beside the project's worker; medians of the rounds' ratios."""
    head = ["variant"]
    for count in CONNECTIONS:
        head += [f"{count}: speed", "CPU/op", "p99 ms", "connections"]
    rows = []
    for way in found:
        row = [way.name]
        for count in CONNECTIONS:
            key, base = ((f"{count} clients", name) for name in (way.name, FULL))
            row += [
                f"{figures.ratio(value, key, base):.2f}"
                for value in ("operations_per_s", "web_cpu_us")
            ]
            row += [f"{figures.median(*key).p99_ms:.0f}", way.spread(count)]
        rows.append(row)
    return report.table(head, rows, texts=1)


async def arrivals(found: list[Way]) -> str:
    """Clients that come at the same moment and stay: how are they shared?"""
    rows = []
    for way in found:
        clients = [Client(way.port) for _ in range(KEPT)]
        calls = (client.call("GET", "/healthz") for client in clients)
        await asyncio.gather(*calls)
        rows.append([way.name, " + ".join(str(one) for one in sorted(way.held()))])
        for client in clients:
            client.close()
    return report.table(["variant", f"{KEPT} at once"], rows, texts=1)


async def patience(found: list[Way], wallet: str) -> str:
    """Ten slow clients at each of them, all at the same time."""
    crowds = [SlowClients(way.port, wallet) for way in found]
    runs = asyncio.gather(*(crowd.run(SLOW, SLOW_SECONDS) for crowd in crowds))
    await asyncio.sleep(SLOW_SECONDS - 5)
    held = [sum(way.held()) for way in found]
    await runs
    kinds = ("head", "body", "chunks", "reading")
    rows = [
        [
            way.name,
            *(
                f"{max(crowd.ended_after_s[kind]):.0f} s"
                if kind in crowd.ended_after_s
                else "not ended"
                for kind in kinds
            ),
            f"{count} of {SLOW}",
        ]
        for way, crowd, count in zip(found, crowds, held, strict=True)
    ]
    head = ["variant", *(f"slow {kind}" for kind in kinds), "held after 40 s"]
    return report.table(head, rows, texts=1)


class Kept:
    """Clients that keep their connections; every other one is silent after a while."""

    def __init__(self, server: Server, wallet: str) -> None:
        self.server, self.wallet = server, wallet
        self.lost: Counter[str] = Counter()

    async def run_client(self, number: int) -> None:
        client = Client(self.server.port)
        for turn in range(1000):
            if turn and number % 2:
                assert client.reader is not None
                await client.reader.read()
                return
            try:
                await client.post(*deposit(self.wallet, "1.00"))
            except NoAnswer as failure:
                self.lost[failure.stage] += 1
                return
            await asyncio.sleep(0.2)

    async def end(self) -> float:
        clients = asyncio.gather(*map(self.run_client, range(KEPT)))
        await asyncio.sleep(2)
        began = time.monotonic()
        self.server.process.terminate()
        await asyncio.to_thread(self.server.process.wait)
        took = time.monotonic() - began
        await clients
        return took


def ends(store: database.Database, wallet: str) -> str:
    rows = []
    for name in (FULL, "without idle ends", PLAIN):
        with serve(name, "wsgi:app", store.url, options=VARIANTS[name]) as server:
            kept = Kept(server, wallet)
            took = asyncio.run(kept.end())
        rows.append(
            [name, f"{took:.1f} s", str(kept.lost["kept"]), str(kept.lost["new"])]
        )
    head = ["variant", "SIGTERM to the end", "kept: no answer", "new: no answer"]
    return report.table(head, rows, texts=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("--seconds", type=int, default=1)
    options = parser.parse_args()
    with database.throw_away() as store:
        # In an empty table the first server's statements would be planned for one.
        wallet = store.fill(wallets=WALLETS, rows=HISTORY_ROWS)[0]
        with ExitStack() as stack:
            found = ways(stack, store)
            loads = [
                replace(workloads.hot([wallet]), name=f"{n} clients", connections=n)
                for n in CONNECTIONS
            ]
            for way in found:
                take_sample(loads[-1], way, store, 1)
                way.spreads.clear()
            cells = [(load, way) for load in loads for way in found]
            figures = Figures()
            for _ in range(options.rounds):
                random.shuffle(cells)
                figures.extend(measure(cells, store, rounds=1, seconds=options.seconds))
            print(report.machine(store, rounds=options.rounds, seconds=options.seconds))
            print(speed(figures, found), report.failures(figures), sep="\n\n")
            print(asyncio.run(arrivals(found)))
            print(asyncio.run(patience(found, wallet)))
        print(ends(store, wallet))
        store.check_books()


if __name__ == "__main__":
    main()
