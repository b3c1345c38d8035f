"""Failovers under load: nothing answered is lost, and it takes no longer than it must.

Three PostgreSQL nodes under Patroni with a synchronous standby. The service reaches
them through HAProxy, then by a URL with all of their addresses. Beside it, a probe
writes by the same way without the service: how long it cannot is the engine's own time.
"""

import asyncio
import contextlib
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median

import psycopg

from proofs import patroni
from proofs.audit import Audit
from proofs.client import make_wallets
from proofs.evidence import Evidence, arguments
from proofs.patroni import PatroniCluster
from proofs.service import Service, wait_for
from proofs.traders import Traders
from proofs.verdict import judge_clients

WALLETS = 8
START = Decimal(200)
PAUSE_S = 2.0
ANSWER_TIMEOUT_S = 60
PROBE_PAUSE_S = 0.02
# Of the clients, which send again after 0.2 s, and of a busy machine.
TOLERANCE_S = 1.0
LOOK_EVERY = 5


class Probe(threading.Thread):
    """Writes a row, again and again, and notes when it was committed."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.over = threading.Event()
        self.committed_at: list[float] = []
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE probe (number int)")

    def run(self) -> None:
        while not self.over.is_set():
            with contextlib.suppress(psycopg.Error):
                self.write()
            self.over.wait(PROBE_PAUSE_S)

    def write(self) -> None:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=2) as own:
            while not self.over.wait(PROBE_PAUSE_S):
                own.execute("INSERT INTO probe VALUES (1)")
                self.committed_at.append(time.monotonic())

    def await_commit(self) -> float:
        """Wait until it writes again; return when it did."""
        now = time.monotonic()
        wait_for(lambda: self.committed_at[-1] > now, ANSWER_TIMEOUT_S)
        return self.committed_at[-1]

    def stop(self) -> None:
        self.over.set()
        self.join()


class ClusteredService(Service):
    """A service whose database is asked for past HAProxy."""

    def __init__(self, cluster: PatroniCluster, folder: Path, url: str) -> None:
        super().__init__(folder, folder, url)
        self.cluster = cluster

    def connect(self) -> psycopg.Connection:
        return self.cluster.connect()


class Trial:
    """One failure after the other, each until all is well again."""

    def __init__(self, cluster: PatroniCluster, traders: Traders, probe: Probe) -> None:
        self.cluster = cluster
        self.traders = traders
        self.probe = probe
        # By kind: the engine's pause and the service's, in seconds.
        self.pauses: dict[str, list[tuple[float, float]]] = {}

    def strike(self, kind: str, act: Callable[[PatroniCluster], None]) -> None:
        time.sleep(PAUSE_S)
        began = time.monotonic()
        act(self.cluster)
        self.cluster.heal()
        self.traders.await_answers(
            self.traders.clients_run, time.monotonic() + ANSWER_TIMEOUT_S
        )
        ended = self.probe.await_commit()
        times = [at for one in self.traders.journals for at in one.applied_at]
        pauses = (
            longest_pause(self.probe.committed_at, began, ended),
            longest_pause(times, began, ended),
        )
        self.pauses.setdefault(kind, []).append(pauses)
        print(
            f"{kind}: well again after {ended - began:.1f} s, without a commit of the"
            f" engine {pauses[0]:.1f} s, without a 200 {pauses[1]:.1f} s",
            flush=True,
        )

    def report(self, evidence: Evidence) -> None:
        for kind, pauses in sorted(self.pauses.items()):
            engine, service = zip(*pauses, strict=True)
            evidence.figure(kind, len(pauses))
            evidence.figure("  without a commit of the engine", in_words(engine))
            evidence.figure("  without a 200", in_words(service))
        evidence.check_none(
            f"no time without a 200 is {TOLERANCE_S:g} s longer than the engine's own",
            [
                (kind, engine, service)
                for kind, pauses in self.pauses.items()
                for engine, service in pauses
                if service > engine + TOLERANCE_S
            ],
        )


def longest_pause(times: list[float], began: float, ended: float) -> float:
    """The longest time between two of them that falls into the span, in part."""
    return max(
        (
            after - before
            for before, after in pairwise(sorted(times))
            if after > began and before < ended
        ),
        default=float("inf"),
    )


def in_words(seconds: tuple[float, ...]) -> str:
    return f"{median(seconds):.1f} s, at most {max(seconds):.1f} s"


KINDS: dict[str, Callable[[PatroniCluster], None]] = {
    "the primary's postmaster killed": lambda it: it.node("leader").kill_postgres(),
    "the primary's node killed": lambda it: it.replace("leader"),
    "the standby's node killed": lambda it: it.replace("sync_standby"),
    "switchover": PatroniCluster.switch_over,
    "a member of etcd killed": lambda it: random.choice(it.etcd).kill(),
    "HAProxy killed": lambda it: it.haproxy.kill(),
}


@contextlib.contextmanager
def serving(cluster: PatroniCluster, *, several_hosts: bool) -> Iterator[Service]:
    """gunicorn on the cluster's database."""
    folder = cluster.folder / "service"
    folder.mkdir()
    url = cluster.url(several_hosts=several_hosts)
    service = ClusteredService(cluster, folder, url)
    service.migrate()
    service.start()
    try:
        yield service
    finally:
        service.stop()


def try_out(title: str, kills: int, *, several_hosts: bool) -> int:
    evidence = Evidence(title)
    kinds = [kind for kind in KINDS if not (several_hosts and kind == "HAProxy killed")]
    with (
        patroni.running() as cluster,
        serving(cluster, several_hosts=several_hosts) as service,
    ):
        wallets = asyncio.run(make_wallets(service.port, WALLETS, str(START)))
        audit = Audit(service, START * WALLETS)
        probe = Probe(cluster.url(several_hosts=several_hosts))
        traders = Traders(service, dict.fromkeys(wallets, START))
        try:
            probe.start()
            trial = Trial(cluster, traders, probe)
            order = [kinds[number % len(kinds)] for number in range(kills)]
            random.shuffle(order)
            for number, kind in enumerate(order, 1):
                trial.strike(kind, KINDS[kind])
                if number % LOOK_EVERY == 0:
                    audit.look(traders.journals)
            trial.report(evidence)
            judge_clients(evidence, traders, audit)
        finally:
            traders.stop()
            probe.stop()
    return evidence.conclude()


def main() -> int:
    options = arguments(__doc__, kills=20, kills_without_proxy=10)
    code = 0
    if options.kills:
        code |= try_out("Failover, HAProxy", options.kills, several_hosts=False)
    if options.kills_without_proxy:
        code |= try_out(
            "Failover, a URL with several hosts",
            options.kills_without_proxy,
            several_hosts=True,
        )
    return code


if __name__ == "__main__":
    sys.exit(main())
