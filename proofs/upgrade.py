"""An upgrade under load: a migration, two releases side by side, HUP, SIGTERM.

The next release is a copy of this one with a migration that expands, as
docs/operations.md asks for. With `--before COMMIT` it is this one that is next, after
that commit's. No request fails; a connection that a worker closes between two requests,
as any server may, is made anew and the request sent again.
"""

import argparse
import asyncio
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from proofs.client import Client, NoAnswer, Stage, deposit, make_wallets
from proofs.evidence import (
    Evidence,
    balances,
    check_books,
    milliseconds,
    times_applied,
)
from proofs.mutants import NOT_COPIED
from proofs.service import ROOT, Service, running, wait_for
from tests import bulk_history

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
MIGRATED = f"SELECT version_num = '{HEAD}' FROM alembic_version"
# What the release before has when this one comes.
OLD_WALLETS, OLD_TRANSACTIONS = 1000, 1000


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
    root = ROOT
    if service.root == ROOT:
        root = service.folder / "next"
        shutil.copytree(ROOT, root, ignore=NOT_COPIED)
        (root / "migrations" / "versions" / "next.py").write_text(EXPANSION)
    folder = service.folder / "next-instance"
    folder.mkdir()
    return Service(folder, service.data_dir, service.url, root=root)


def release_of(commit: str, folder: Path) -> Path:
    """The files of an earlier release."""
    archive = ["git", "archive", "--format=tar", commit]
    files = subprocess.run(archive, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=files.stdout, check=True)
    return folder


def fill(service: Service) -> None:
    """Give the release before a history, which nothing has counted yet."""
    with create_engine(service.url).begin() as connection:
        values = {
            "count": OLD_WALLETS,
            "currency": "USD",
            "start": bulk_history.START,
        }
        rows = connection.execute(bulk_history.ADD_WALLETS, values)
        uuids = [row.uuid for row in rows]
        connection.execute(bulk_history.NOTE_WALLETS, {"uuids": uuids})
        bulk_history.add_transactions_in(connection, uuids, OLD_TRANSACTIONS)


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
    """Whether each request was answered, and did its work, once."""
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
        query = MIGRATED if later.root == ROOT else EXPANDED
        row = connection.execute(query.encode()).fetchone()
        evidence.check("the migration did all of its work", row and row[0])
        applied = times_applied(connection)
        evidence.check_none(
            "each was applied once", [k for k in load.answered if applied.get(k) != 1]
        )
        evidence.check(
            "the balances add up to the 200s",
            sum(balances(connection)[one] for one in load.wallets)
            == len(load.answered),
        )
        check_books(evidence, connection)


def main() -> int:
    # Ended by make, it still stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--before", help="a commit: the release that is there before")
    options = parser.parse_args()
    evidence = Evidence(f"Upgrade: {CLIENTS} clients")
    with tempfile.TemporaryDirectory() as folder:
        before = release_of(options.before, Path(folder)) if options.before else ROOT
        return prove(evidence, before, options.seconds)


def prove(evidence: Evidence, before: Path, seconds: float) -> int:
    with running(root=before) as service:
        if before != ROOT:
            fill(service)
            evidence.figure("transactions there before", OLD_WALLETS * OLD_TRANSACTIONS)
        wallets = asyncio.run(make_wallets(service.port, WALLETS))
        later = next_release(service)
        load = Load([service.port], wallets)
        try:
            asyncio.run(upgrade(service, later, load, seconds))
            judge(evidence, load, later)
        finally:
            if hasattr(later, "gunicorn"):
                later.stop()
    return evidence.conclude()


if __name__ == "__main__":
    sys.exit(main())
