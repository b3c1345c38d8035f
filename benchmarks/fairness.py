"""What a flood of one tenant does to the others: `python -m benchmarks.fairness`."""

import argparse
import json
import statistics
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import database, report
from benchmarks.candidates import Outcome, Server, serve
from benchmarks.database import Database
from benchmarks.fairness_apps import wallet_of
from benchmarks.workloads import Workload, deposit

TENANTS, WALLETS = 4, 25
# Of the others together, and of the one.
QUIET_CONNECTIONS, FLOOD_CONNECTIONS, BATCH_CONNECTIONS = 32, 256, 16
MEMBERS = 100
FAIR, UNFAIR = "a share each", "first come, first served"
APPS = {FAIR: "fair", UNFAIR: "unfair"}
ADD_TENANTS = "INSERT INTO tenants (name) SELECT 't' || n FROM generate_series(2, %s) n"
ADD_WALLETS = "INSERT INTO wallets (tenant_id, uuid) SELECT %s, unnest(%s::uuid[])"


@dataclass(frozen=True)
class Flood:
    """What one tenant sends while the others go on."""

    name: str
    workload: Workload | None


def fill(store: Database) -> dict[int, list[str]]:
    """Wallets of the tenants, the first of which is the one that floods."""
    wallets = {
        tenant_id: [str(wallet_of(tenant_id, number)) for number in range(WALLETS)]
        for tenant_id in range(1, TENANTS + 2)
    }
    with store.connect() as connection:
        connection.execute(ADD_TENANTS, [TENANTS + 1])
        for tenant_id, uuids in wallets.items():
            connection.execute(ADD_WALLETS, [tenant_id, uuids])
        connection.execute("VACUUM ANALYZE")
    return wallets


def batch_of(uuids: list[str]) -> str:
    member = {"operation_type": "DEPOSIT", "amount": "1.00"}
    members = [member | {"wallet": uuids[n % len(uuids)]} for n in range(MEMBERS)]
    path = f"/api/v1/operations/batch\t{json.dumps({'operations': members})}"
    return f"POST\t{path}"


def floods(uuids: list[str]) -> list[Flood]:
    singles = Workload(
        name="flood",
        requests=[deposit(uuid) for uuid in uuids],
        connections=FLOOD_CONNECTIONS,
    )
    batches = Workload(
        name="flood",
        requests=[batch_of(uuids)],
        connections=BATCH_CONNECTIONS,
        members=MEMBERS,
    )
    return [
        Flood("nothing", None),
        Flood("single operations", singles),
        Flood(f"batches of {MEMBERS}", batches),
    ]


def run(server: Server, quiet: Workload, flood: Flood, seconds: int) -> Outcome:
    """How the others fare; a flood begins before them and ends after them."""
    with ThreadPoolExecutor(1) as beside:
        if flood.workload is not None:
            beside.submit(server.load, flood.workload, seconds + 2)
        return server.load(quiet, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[tuple[str, str], list[Outcome]] = {}
    with database.throw_away() as store, ExitStack() as stack:
        wallets = fill(store)
        flooding = wallets.pop(1)
        quiet = Workload(
            name="others",
            requests=[
                deposit(uuid)
                for group in zip(*wallets.values(), strict=True)
                for uuid in group
            ],
            connections=QUIET_CONNECTIONS,
        )
        servers = {
            name: stack.enter_context(
                serve(name, f"benchmarks.fairness_apps:{app}()", store.url)
            )
            for name, app in APPS.items()
        }
        for server in servers.values():
            server.load(quiet, 1)
        for _ in range(options.rounds):
            for name, server in servers.items():
                for flood in floods(flooding):
                    store.settle()
                    outcome = run(server, quiet, flood, options.seconds)
                    found.setdefault((name, flood.name), []).append(outcome)
        store.check_books()
        print(report.machine(store, rounds=options.rounds, seconds=options.seconds))
    print(table(found))


def table(found: dict[tuple[str, str], list[Outcome]]) -> str:
    """Medians of the rounds, and of their ratios."""
    rows = []
    for (name, flood), outcomes in found.items():
        calm = found[name, "nothing"]
        ratios = [a.p99_ms / b.p99_ms for a, b in zip(outcomes, calm, strict=True)]
        rate = statistics.median(one.requests / one.seconds for one in outcomes)
        rows.append(
            [
                name,
                flood,
                f"{rate:,.0f}",
                f"{statistics.median(one.p50_ms for one in outcomes):.1f}",
                f"{statistics.median(one.p99_ms for one in outcomes):.1f}",
                f"{statistics.median(ratios):.2f}",
            ]
        )
    head = ["queue", "one tenant floods with", "others' op/s", "p50 ms", "p99 ms"]
    return report.table([*head, "p99 / without"], rows, texts=2)


if __name__ == "__main__":
    main()
