"""Point-in-time recovery under load: sound books, and retries that end right.

A base backup and the archive of the write-ahead log, as docs/operations.md has them.
The server that is restored lacks what came after the moment; whoever sends that again,
with its reference, gets it applied once, and what came before is a replay.
"""

import asyncio
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import psycopg

from proofs.client import Client, NoAnswer, deposit, make_wallets
from proofs.evidence import (
    Evidence,
    arguments,
    balances,
    check_books,
    times_applied,
)
from proofs.service import Service, running, wait_for
from tests.replicas import url_of
from wallet_app.standalone import embedded_cluster
from wallet_app.standalone.embedded_cluster import Cluster

CLIENTS = 24
WALLETS = 6
SEND_TIMEOUT_S = 60
Sent = dict[str, tuple[str, object]]


class Load:
    """Deposits of 1.00; each that was answered with 200, and when the answer came."""

    def __init__(self, port: int, wallets: list[str]) -> None:
        self.port = port
        self.wallets = wallets
        self.requests: Sent = {}
        self.answered: dict[str, datetime] = {}
        self.stopped = False

    async def run(self) -> None:
        await asyncio.gather(*map(self.run_client, range(CLIENTS)))

    async def run_client(self, number: int) -> None:
        client = Client(self.port)
        while not self.stopped:
            path, body = deposit(self.wallets[number % WALLETS], "1.00")
            key = body["reference_id"]
            self.requests[key] = path, body
            try:
                answer = await client.post(path, body)
            except NoAnswer:
                continue
            if answer.status == 200:
                self.answered[key] = datetime.fromisoformat(answer.json["created_at"])
        client.close()


def archive(service: Service, folder: Path) -> Cluster:
    """Let the server archive its log; it has to be started again for it."""
    cluster = embedded_cluster.prepare(service.data_dir)
    folder.mkdir(mode=0o700)
    cluster.own(folder)
    with service.connect() as connection:
        copy = f"test ! -f {folder}/%f && cp %p {folder}/%f"
        connection.execute("ALTER SYSTEM SET archive_mode = on")
        connection.execute(f"ALTER SYSTEM SET archive_command = '{copy}'".encode())
    embedded_cluster.shut_down(cluster)
    embedded_cluster.launch(cluster)
    return cluster


def back_up(cluster: Cluster, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    cluster.own(folder)
    cluster.run(
        "pg_basebackup",
        f"--host={cluster.data_dir}",
        f"--username={embedded_cluster.SUPERUSER}",
        f"--pgdata={folder}",
        "--checkpoint=fast",
    )


def restore(cluster: Cluster, backup: Path, log: Path, moment: datetime) -> Cluster:
    """A server made of the backup and the log, as all was at that moment."""
    restored = replace(cluster, data_dir=backup)
    with (backup / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f"archive_mode = off\nrestore_command = 'cp {log}/%f %p'\n"
            f"recovery_target_time = '{moment.isoformat()}'\n"
            "recovery_target_action = promote\n"
        )
    recovery = backup / "recovery.signal"
    recovery.touch()
    cluster.own(recovery)
    embedded_cluster.launch(restored)
    return restored


async def under_load(load: Load, service: Service, seconds: float) -> datetime:
    """Load before and after the moment, which is the one of the server's clock."""
    clients = asyncio.create_task(load.run())
    await asyncio.sleep(seconds)
    moment = await asyncio.to_thread(server_time, service)
    await asyncio.sleep(seconds)
    load.stopped = True
    await clients
    return moment


def server_time(service: Service) -> datetime:
    with service.connect() as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0]


async def send_again(port: int, requests: Iterable[tuple[str, object]]) -> list[bool]:
    """Send all once more; whether each was a replay."""
    client, replays = Client(port), []
    for path, body in requests:
        deadline = time.monotonic() + SEND_TIMEOUT_S
        answer = await client.insist(path, body, deadline)
        assert answer.status == 200, answer.body
        replays.append("idempotent-replayed" in answer.headers)
    client.close()
    return replays


def prove(service: Service, seconds: int, evidence: Evidence) -> None:
    wallets = asyncio.run(make_wallets(service.port, WALLETS))
    log = service.folder / "archive"
    cluster = archive(service, log)
    wait_for(service.is_ready, SEND_TIMEOUT_S)
    load = Load(service.port, wallets)
    warm_up = asyncio.run(under_load(load, service, 1))
    load.stopped = False
    back_up(cluster, service.folder / "backup")
    moment = asyncio.run(under_load(load, service, seconds))
    service.stop()
    with service.connect() as connection:
        connection.execute("SELECT pg_switch_wal()")
    # The end of a server archives what it has not archived yet.
    embedded_cluster.shut_down(cluster)
    began = time.monotonic()
    restored = restore(cluster, service.folder / "backup", log, moment)
    try:
        service.url = url_of(restored)
        service.environment["WALLET_DATABASE_URL"] = service.url
        wait_for(lambda: not in_recovery(service), SEND_TIMEOUT_S)
        evidence.figure("restored in", f"{time.monotonic() - began:.1f} s")
        with service.connect() as connection:
            judge_restored(evidence, load, moment, connection)
            kept = times_applied(connection).keys()
        assert warm_up < moment
        service.start()
        replays = asyncio.run(send_again(service.port, load.requests.values()))
        with service.connect() as connection:
            judge_retried(evidence, load, replays, kept, connection)
        service.stop()
    finally:
        embedded_cluster.shut_down(restored)


def in_recovery(service: Service) -> bool:
    with service.connect() as connection:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    return bool(row and row[0])


def judge_restored(
    evidence: Evidence, load: Load, moment: datetime, connection: psycopg.Connection
) -> None:
    applied = times_applied(connection)
    evidence.figure("answers 200", len(load.answered))
    evidence.figure("  of which are there after the recovery", len(applied))
    evidence.check("the moment is in the middle", 0 < len(applied) < len(load.answered))
    check_books(evidence, connection)
    row = connection.execute("SELECT max(created_at) FROM transactions").fetchone()
    evidence.check("nothing is later than the moment", row and row[0] <= moment)


def judge_retried(
    evidence: Evidence,
    load: Load,
    replays: list[bool],
    kept: Iterable[str],
    connection: psycopg.Connection,
) -> None:
    applied = times_applied(connection)
    replayed = {key for key, again in zip(load.requests, replays, strict=True) if again}
    evidence.figure("sent again", len(replays))
    evidence.figure("  of which had been there", len(replayed))
    evidence.check("a replay is what had been there, and no other", replayed == {*kept})
    evidence.check_none(
        "each is applied once", [one for one in load.requests if applied.get(one) != 1]
    )
    evidence.check(
        "the balances add up to all of them",
        sum(balances(connection).values()) == len(load.requests),
    )
    check_books(evidence, connection)


def main() -> int:
    options = arguments(__doc__, seconds=5)
    evidence = Evidence("Recovery to a moment")
    with running() as service:
        prove(service, options.seconds, evidence)
    return evidence.conclude()


if __name__ == "__main__":
    sys.exit(main())
