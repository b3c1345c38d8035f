"""Rubbish: whatever is sent, the answer is one that the API declares."""

import asyncio
import sys
from collections import Counter

from proofs.client import make_wallets
from proofs.described import explore
from proofs.evidence import (
    Evidence,
    arguments,
    check_books,
    milliseconds,
    percentile,
)
from proofs.raw_requests import FORGED_START, Corpus, send
from proofs.service import Service, running
from proofs.slow_clients import Others, SlowClients, serve_others

PHASES = "examples,coverage,fuzzing,stateful"
LONGEST_RUN_S = 3600


def main() -> int:
    options = arguments(__doc__, examples=300, seed=1, seconds=70, slow=300)
    evidence = Evidence("Rubbish")
    with running() as service:
        described(service, evidence, options.examples, options.seed)
        raw(service, evidence)
        slow(service, evidence, options.slow, options.seconds)
        log = service.log.read_text()
        evidence.check("there is no traceback in the log", "Traceback" not in log)
        evidence.check_none("no line of the log is a client's", forged_lines(log))
        evidence.check("both workers live", len(service.workers()) == 2)
        with service.connect() as connection:
            check_books(evidence, connection)
    return evidence.conclude()


def described(service: Service, evidence: Evidence, examples: int, seed: int) -> None:
    """Requests that Schemathesis makes from the API's own description."""
    found = explore(
        service.port,
        service.folder,
        wallets=asyncio.run(make_wallets(service.port, 2, "1000000.00")),
        examples=examples,
        seed=seed,
        phases=PHASES,
        seconds=LONGEST_RUN_S,
    )
    evidence.figure("requests made from the description", found.cases)
    evidence.figure("links between operations", found.links)
    evidence.check_none(
        "no 5xx, no undeclared status, header or shape; what is valid is accepted,"
        " what is not is refused",
        found.failures,
    )
    evidence.check(
        "every phase of Schemathesis ran", set(found.phases.values()) == {"success"}
    )
    if found.failures:
        print(found.text)


def raw(service: Service, evidence: Evidence) -> None:
    """Requests that no library would send; each carries a deposit nobody may apply."""
    wallet = make_wallet(service)
    outcomes = [send(service.port, one) for one in Corpus(wallet).all()]
    statuses = Counter(status for one in outcomes for status in one.statuses)
    evidence.figure("raw requests", len(outcomes))
    evidence.figure(
        "their answers", ", ".join(f"{n} x {s}" for s, n in sorted(statuses.items()))
    )
    evidence.check_none(
        "each is refused with a 4xx (or 501), or its connection ends",
        [complaint for one in outcomes for complaint in one.complaints()],
    )
    with service.connect() as connection:
        row = connection.execute(
            "SELECT version, balance::text FROM wallets WHERE uuid = %s", [wallet]
        ).fetchone()
    evidence.check("none of them moved money", row == (0, "0"))


def forged_lines(log: str) -> list[str]:
    """Lines that a client has written."""
    return [line for line in log.splitlines() if line.startswith(FORGED_START)]


def make_wallet(service: Service) -> str:
    return asyncio.run(make_wallets(service.port, 1))[0]


def slow(service: Service, evidence: Evidence, count: int, seconds: int) -> None:
    """Clients that send a byte a second hold connections; others are served."""
    slow_wallet, wallet = asyncio.run(make_wallets(service.port, 2))
    clients = SlowClients(service.port, slow_wallet)
    others = Others(service.port, wallet)
    asyncio.run(serve_others(clients, others, count, seconds))
    evidence.figure("slow connections", count)
    for kind, ended in sorted(clients.ended_after_s.items()):
        times = f"{min(ended):.0f} to {max(ended):.0f} s"
        evidence.figure(f"  ended, slow with their {kind}", times)
    evidence.figure("answers to 16 others meanwhile", len(others.durations))
    evidence.figure(
        "  99th percentile", milliseconds(percentile(others.durations, 0.99))
    )
    evidence.figure("  slowest", milliseconds(max(others.durations)))
    evidence.check("every slow connection was ended", clients.unended == 0)
    evidence.check(
        "the others were all served, none after a second or more",
        set(others.statuses) == {200}
        and others.unanswered == 0
        and max(others.durations) < 1,
    )
    with service.connect() as connection:
        row = connection.execute(
            "SELECT version FROM wallets WHERE uuid = %s", [slow_wallet]
        ).fetchone()
    evidence.check("no slow request moved money", row == (0,))


if __name__ == "__main__":
    sys.exit(main())
