"""Faults around a service under load: 503 in good time, and well again in seconds."""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from proofs import disturbances
from proofs.client import make_wallets
from proofs.disturbances import Fault
from proofs.evidence import (
    Evidence,
    arguments,
    check_books,
    milliseconds,
    times_applied,
)
from proofs.service import Service
from proofs.tcp_proxy import Proxy
from proofs.trials import CLIENTS, NO_ANSWER, Trial, under_load
from wallet_app.standalone import embedded

WALLETS = 6
START = 1_000_000
DEADLINE_MS = 3000
# What the deadline leaves to the last waits for the database, and to a busy machine.
BOUND_S = DEADLINE_MS / 1000 + 1.5
RECOVERY_BOUND_S = 5.0
OTHERS_BOUND_S = 1.5
SETTINGS = {
    "WALLET_DEADLINE_MS": str(DEADLINE_MS),
    "WALLET_STATEMENT_TIMEOUT_MS": str(DEADLINE_MS),
}


@contextlib.contextmanager
def prepared(folder: Path) -> Iterator[tuple[Service, Proxy]]:
    """A service that reaches PostgreSQL over a proxy, and whose disk can be slow."""
    with disturbances.slow_disk_preloaded(folder):
        database = embedded.start(folder / "pg")
    with database:
        service = Service(folder, folder / "pg", database.url)
        service.migrate()
        service.environment |= SETTINGS
        with Proxy(disturbances.socket_path(service)) as proxy:
            url = make_url(database.url).set(
                host="127.0.0.1", port=proxy.port, query={}
            )
            service.environment["WALLET_DATABASE_URL"] = url.render_as_string()
            service.start()
            try:
                yield service, proxy
            finally:
                service.stop()


def faults(service: Service, proxy: Proxy, folder: Path) -> list[Fault]:
    return [
        # First: PostgreSQL, once restarted, has a healthy disk.
        disturbances.slow_disk(folder),
        disturbances.terminated(service),
        disturbances.taken(service),
        disturbances.hanging(proxy, proxy.resume, "goes on"),
        disturbances.hanging(proxy, proxy.drop, "loses its connections"),
        disturbances.stopped(service, "fast"),
        disturbances.stopped(service, "immediate"),
        disturbances.demoted(service),
    ]


def run(folder: Path, seconds: int, lock_seconds: int, evidence: Evidence) -> None:
    with prepared(folder) as (service, proxy):
        wallets = asyncio.run(make_wallets(service.port, WALLETS, f"{START}.00"))
        trials: list[Trial] = []

        def attempt(fault: Fault, length: float) -> Trial:
            trial = asyncio.run(under_load(service, wallets, fault, length))
            trials.append(trial)
            print(row_of(trial), flush=True)
            judge(evidence, trial)
            return trial

        print(HEADINGS, flush=True)
        # The first connections and threads are not the first fault's.
        asyncio.run(under_load(service, wallets, NO_FAULT, 1))
        for fault in faults(service, proxy, folder):
            attempt(fault, seconds)
        locked = attempt(disturbances.row_locked(service, wallets[0]), lock_seconds)
        judge_others(evidence, locked, set(wallets[2:]))
        service.stop()
        service.environment |= disturbances.preloaded(folder, "odd_clock")
        service.start()
        asyncio.run(under_load(service, wallets, NO_FAULT, 1))
        attempt(disturbances.clock_stepped(folder), seconds)
        with service.connect() as connection:
            judge_money(evidence, trials, connection)


NO_FAULT = Fault("none", lambda: None, lambda: None)
HEADINGS = (
    f"{'fault':<46}{'200':>6}{'503':>6}{'other':>6}{'slowest':>9}"
    f"{'first 200':>10}{'last 503':>10}   threads / files / connections"
)


def row_of(trial: Trial) -> str:
    other = len(trial.records) - trial.count(200) - trial.count(503)
    return (
        f"{trial.fault.name:<46}{trial.count(200):>6}{trial.count(503):>6}{other:>6}"
        f"{milliseconds(trial.slowest_s):>9}{milliseconds(trial.recovery_s):>10}"
        f"{milliseconds(trial.settled_s):>10}   {trial.before} -> {trial.after}"
    )


def judge(evidence: Evidence, trial: Trial) -> None:
    """Answers in good time, well again soon, and nothing left behind."""
    name = trial.fault.name
    refused = [one for one in trial.records if one.status == 503]
    expected = {200, 503} if trial.fault.hurts else {200}
    evidence.check_none(
        f"{name}: every answer is {' or '.join(map(str, sorted(expected)))}",
        [one for one in trial.records if one.status not in expected],
    )
    evidence.check(
        f"{name}: each 503 says when to come back",
        all(one.retry_after for one in refused),
    )
    evidence.check(f"{name}: all within {BOUND_S:g} s", trial.slowest_s < BOUND_S)
    evidence.check(
        f"{name}: well again within {RECOVERY_BOUND_S:g} s, and it stays so",
        max(trial.recovery_s, trial.settled_s) < RECOVERY_BOUND_S,
    )
    before, after = trial.before, trial.after
    evidence.check(
        f"{name}: no thread, file or open transaction is left behind",
        # A pool of threads may still have grown by one.
        after.threads <= before.threads + 1
        and after.files <= before.files
        and after.in_transaction == 0,
    )


def judge_others(evidence: Evidence, trial: Trial, others: set[str]) -> None:
    """Those who do not touch the locked wallet hardly notice."""
    records = [one for one in trial.records if one.wallet in others]
    evidence.figure("locked row: answers for other wallets", len(records))
    slowest = max(one.seconds for one in records)
    evidence.figure("locked row: slowest of them", milliseconds(slowest))
    evidence.check(
        "others go on while one wallet is locked: 200, none after 1.5 s",
        {one.status for one in records} == {200} and slowest < OTHERS_BOUND_S,
    )


def judge_money(
    evidence: Evidence, trials: list[Trial], connection: psycopg.Connection
) -> None:
    applied = times_applied(connection)
    told: dict[str, list[str]] = {"200": [], "no": [], "unknown": []}
    lost, denied = [], []
    for trial in trials:
        for one in trial.records:
            if one.reference is None or one.status == NO_ANSWER:
                continue
            told[one.applied or "200"].append(one.reference)
            if one.applied is None and one.reference not in applied:
                lost.append(f"{trial.fault.name}: {one.reference}")
            if one.applied == "no" and one.reference in applied:
                denied.append(f"{trial.fault.name}: {one.reference}")
    evidence.figure("operations answered 200", len(told["200"]))
    evidence.figure("503 that say: not applied", len(told["no"]))
    evidence.figure("503 that say: unknown", len(told["unknown"]))
    evidence.figure(
        "  of which applied", sum(one in applied for one in told["unknown"])
    )
    evidence.check_none("each 200 is in the histories", lost)
    evidence.check_none("what a 503 denies is not", denied)
    evidence.check_none(
        "nothing was applied twice", [key for key, n in applied.items() if n != 1]
    )
    check_books(evidence, connection)


def main() -> int:
    options = arguments(__doc__, seconds=8, lock=60)
    evidence = Evidence(f"Faults: {CLIENTS} clients, {WALLETS} wallets, 2 workers")
    with tempfile.TemporaryDirectory(prefix="wallet-proof-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        run(folder, options.seconds, options.lock, evidence)
    return evidence.conclude()


if __name__ == "__main__":
    sys.exit(main())
