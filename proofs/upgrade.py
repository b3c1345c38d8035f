"""An upgrade under load: a migration, two releases side by side, HUP, SIGTERM.

The next release is a copy of this one with a migration that expands, as
docs/operations.md asks for. No request fails; a connection that a worker closes
between two requests, as any server may, is made anew and the request sent again.
"""

import asyncio
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable

from alembic.script import ScriptDirectory

from proofs.client import Client, NoAnswer, Stage, deposit, make_wallets
from proofs.evidence import (
    Evidence,
    arguments,
    balances,
    check_books,
    milliseconds,
    times_applied,
)
from proofs.mutants import NOT_COPIED
from proofs.service import ROOT, Service, running, wait_for

CLIENTS = 32
WALLETS = 8
PAUSE_S = 0.01
HEAD = ScriptDirectory(str(ROOT / "migrations")).get_current_head()
EXPANSION = f'''"""Expands: a column, a guard, an index.

Revision ID: next
Revises: {HEAD}
"""

import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{HEAD}"


def upgrade() -> None:
    op.add_column("transactions", sa.Column("channel", sa.Text(), server_default="web"))
    op.create_check_constraint(
        op.f("channel_short"),
        "transactions",
        "length(channel) < 100",
        postgresql_not_valid=True,
    )
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_channel", "transactions", ["channel"], postgresql_concurrently=True
        )
    op.execute("ALTER TABLE transactions VALIDATE CONSTRAINT channel_short")
'''
EXPANDED = (
    "SELECT indisvalid AND convalidated FROM pg_index, pg_constraint"
    " WHERE indexrelid = 'ix_channel'::regclass AND conname LIKE '%channel_short'"
)


class Load:
    """Deposits of 1.00; each client insists on the one that it was about to make."""

    def __init__(self, ports: list[int], wallets: list[str]) -> None:
        # Where the services are; what ends is taken out before.
        self.ports = ports
        self.wallets = wallets
        self.step = "before"
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.failures: Counter[tuple[str, Stage]] = Counter()
        self.slowest: dict[str, float] = {}
        self.answered: set[str] = set()
        self.stopped = False

    async def run_client(self, number: int) -> None:
        clients: dict[int, Client] = {}
        turn = number
        while not self.stopped:
            path, body = deposit(self.wallets[number % WALLETS], "1.00")
            key, began, step = body["reference_id"], time.monotonic(), self.step
            while key not in self.answered:
                turn += 1
                port = self.ports[turn % len(self.ports)]
                client = clients.setdefault(port, Client(port))
                try:
                    answer = await client.post(path, body)
                except NoAnswer as failure:
                    self.failures[step, failure.stage] += 1
                    continue
                self.statuses[step, answer.status] += 1
                if answer.status == 200:
                    self.answered.add(key)
            took = time.monotonic() - began
            self.slowest[step] = max(took, self.slowest.get(step, 0.0))
            await asyncio.sleep(PAUSE_S)
        for client in clients.values():
            client.close()


def next_release(service: Service) -> Service:
    """The service that is to take over, on the same database."""
    root = service.folder / "next"
    shutil.copytree(ROOT, root, ignore=NOT_COPIED)
    (root / "migrations" / "versions" / "next.py").write_text(EXPANSION)
    folder = service.folder / "next-instance"
    folder.mkdir()
    later = Service(folder, service.data_dir, service.url)
    later.root = root
    later.environment["PYTHONPATH"] = str(root)
    return later


async def upgrade(service: Service, later: Service, load: Load, seconds: float) -> None:
    async def take(step: str, act: Callable[[], object]) -> None:
        load.step = step
        await asyncio.to_thread(act)
        await asyncio.sleep(seconds)

    clients = asyncio.gather(*(load.run_client(number) for number in range(CLIENTS)))
    await asyncio.sleep(seconds)
    await take("migration", later.migrate)
    await take("next release starts", later.start)
    load.ports.append(later.port)
    await take("both serve", lambda: None)
    await take("HUP", lambda: reload_workers(later))
    load.ports.remove(service.port)
    await take("release before ends", service.stop)
    load.stopped = True
    await clients


def reload_workers(service: Service) -> None:
    before = {worker.pid for worker in service.workers()}
    service.gunicorn.send_signal(signal.SIGHUP)
    wait_for(
        lambda: not before & {worker.pid for worker in service.workers()}, seconds=60
    )


def judge(evidence: Evidence, load: Load, later: Service) -> None:
    for step, slowest in load.slowest.items():
        evidence.figure(f"{step}: answers 200", load.statuses[step, 200])
        evidence.figure("  slowest", milliseconds(slowest))
    evidence.figure(
        "kept connections closed between requests",
        sum(n for (_, stage), n in load.failures.items() if stage is Stage.KEPT),
    )
    evidence.check_none(
        "no other answer was given",
        [one for one in load.statuses if one[1] != 200],
    )
    evidence.check_none(
        "no new connection was refused or lost",
        [one for one in load.failures if one[1] is not Stage.KEPT],
    )
    with later.connect() as connection:
        row = connection.execute(EXPANDED).fetchone()
        evidence.check("the migration did all of its work", row and row[0])
        applied = times_applied(connection)
        evidence.check_none(
            "each was applied once", [k for k in load.answered if applied.get(k) != 1]
        )
        evidence.check(
            "the balances add up to the 200s",
            sum(balances(connection).values()) == len(load.answered),
        )
        check_books(evidence, connection)


def main() -> int:
    options = arguments(__doc__, seconds=3)
    evidence = Evidence(f"Upgrade: {CLIENTS} clients")
    with running() as service:
        wallets = asyncio.run(make_wallets(service.port, WALLETS))
        later = next_release(service)
        load = Load([service.port], wallets)
        try:
            asyncio.run(upgrade(service, later, load, options.seconds))
            judge(evidence, load, later)
        finally:
            if hasattr(later, "gunicorn"):
                later.stop()
    return evidence.conclude()


if __name__ == "__main__":
    sys.exit(main())
