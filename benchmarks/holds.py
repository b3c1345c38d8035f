"""What holds cost a wallet: one with 10,000 open ones beside one with none."""

import argparse
import json
import statistics
import time
from datetime import UTC, datetime, timedelta

from benchmarks import database, report
from benchmarks.candidates import Server, serve
from benchmarks.database import Database
from benchmarks.importing import call
from benchmarks.workloads import Workload, deposit

HOLDS, MEMBERS = 10_000, 1000
FAR, SOON = timedelta(days=1), timedelta(seconds=4)
OPEN = (
    "SELECT count(*) FROM holds JOIN wallets ON wallets.id = holds.wallet_id"
    " WHERE wallets.uuid = %s AND holds.status = 'open'"
)


def withdrawal(uuid: str) -> str:
    body = json.dumps({"operation_type": "WITHDRAW", "amount": "1.00"})
    return f"POST\t/api/v1/wallets/{uuid}/operation\t{body}"


def read(uuid: str) -> str:
    return f"GET\t/api/v1/wallets/{uuid}\t"


# What is answered with 200: a new hold is not.
LOADS = {"deposits": deposit, "withdrawals": withdrawal, "reads": read}


def hold(server: Server, uuid: str, *, since: datetime, over_s: float) -> None:
    """Open the holds, which are due one after the other."""
    for start in range(0, HOLDS, MEMBERS):
        members = [
            {
                "operation_type": "HOLD",
                "wallet": uuid,
                "amount": "0.01",
                "expires_at": (
                    since + timedelta(seconds=over_s * number / HOLDS)
                ).isoformat(),
            }
            for number in range(start, start + MEMBERS)
        ]
        body = json.dumps({"operations": members, "atomic": True})
        headers = {"Content-Type": "application/json"}
        call(server, "POST", "/api/v1/operations/batch", body=body, headers=headers)


def rate(server: Server, store: Database, request: str, seconds: int) -> float:
    store.settle()
    outcome = server.load(Workload(name="load", requests=[request]), seconds)
    assert not outcome.failed, outcome
    return outcome.requests / outcome.seconds


def open_holds(store: Database, uuid: str) -> int:
    with store.connect() as connection:
        row = connection.execute(OPEN, [uuid]).fetchone()
    assert row is not None
    return int(row[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with database.throw_away() as store:
        without, many, *ending = store.fill(wallets=2 + options.rounds, rows=1)
        with serve("web", "wsgi:app", store.url) as server:
            print(report.machine(store, rounds=options.rounds, seconds=options.seconds))
            hold(server, many, since=datetime.now(UTC) + FAR, over_s=60)
            for name, request in LOADS.items():
                server.load(Workload(name="warm", requests=[request(many)]), 1)
                compare(
                    name,
                    [
                        (
                            rate(server, store, request(many), options.seconds),
                            rate(server, store, request(without), options.seconds),
                        )
                        for _ in range(options.rounds)
                    ],
                )
            assert open_holds(store, many) == HOLDS
            compare(
                "deposits while they end",
                [
                    (
                        while_they_end(server, store, uuid, options.seconds),
                        rate(server, store, deposit(without), options.seconds),
                    )
                    for uuid in ending
                ],
            )
            assert not any(open_holds(store, uuid) for uuid in ending)
        store.check_books()


def while_they_end(server: Server, store: Database, uuid: str, seconds: int) -> float:
    """Deposits a second while all the wallet's holds come to their end."""
    since = datetime.now(UTC) + SOON
    hold(server, uuid, since=since, over_s=seconds / 2)
    time.sleep(max(0.0, (since - datetime.now(UTC)).total_seconds()))
    return rate(server, store, deposit(uuid), seconds)


def compare(name: str, pairs: list[tuple[float, float]]) -> None:
    """Print medians, and the median of the ratios of the wallet that has holds."""
    with_holds, without = (statistics.median(one) for one in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    print(
        f"{name}: {with_holds:,.0f}/s with {HOLDS:,} holds, {without:,.0f}/s without"
        f" ({ratio:.2f})"
    )


if __name__ == "__main__":
    main()
