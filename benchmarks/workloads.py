"""The requests that the clients send, one a line: method, path, body, tabs between."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

# Enough to be as random as need be; the clients send them in turn, again and again.
SAMPLE = 4096
# pgbench takes no exponent below; rank r gets the weight 1 / r^1.001.
ZIPF_EXPONENT = 1.001
CONNECTIONS = 64
TRANSFER_WALLETS = 10
# Operations in a request: connections. What waits in a worker's queue is bounded.
BATCHES = {1: CONNECTIONS, 10: CONNECTIONS, 100: CONNECTIONS, 1000: 16}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """`members`: how many operations a request holds."""

    name: str
    requests: list[str]
    connections: int = CONNECTIONS
    members: int = 1


def deposit(uuid: str) -> str:
    body = json.dumps({"operation_type": "DEPOSIT", "amount": "1.00"})
    return f"POST\t/api/v1/wallets/{uuid}/operation\t{body}"


def transfer(source: str, target: str) -> str:
    body = {"from_wallet": source, "to_wallet": target, "amount": "1.00"}
    return f"POST\t/api/v1/transfers\t{json.dumps(body)}"


def batch(uuids: Sequence[str]) -> str:
    members: list[dict[str, Any]] = [
        {"operation_type": "DEPOSIT", "wallet": uuid, "amount": "1.00"}
        for uuid in uuids
    ]
    return f"POST\t/api/v1/operations/batch\t{json.dumps({'operations': members})}"


def hot(wallets: Sequence[str]) -> Workload:
    return Workload(name="one hot wallet", requests=[deposit(wallets[0])])


def uniform(wallets: Sequence[str], sample: int = SAMPLE) -> Workload:
    chosen = random.choices(wallets, k=sample)
    return Workload(
        name=f"{len(wallets):,} wallets", requests=[deposit(uuid) for uuid in chosen]
    )


def zipf(wallets: Sequence[str]) -> Workload:
    weights = [rank**-ZIPF_EXPONENT for rank in range(1, len(wallets) + 1)]
    chosen = random.choices(wallets, weights, k=SAMPLE)
    return Workload(
        name=f"{len(wallets):,} wallets, Zipf",
        requests=[deposit(uuid) for uuid in chosen],
    )


def transfers(wallets: Sequence[str]) -> Workload:
    few = wallets[:TRANSFER_WALLETS]
    return Workload(
        name=f"transfers among {len(few)}",
        requests=[transfer(*random.sample(few, 2)) for _ in range(SAMPLE)],
    )


def batches(wallets: Sequence[str], members: int) -> Workload:
    return Workload(
        name=f"batches of {members:,}",
        requests=[
            batch(random.choices(wallets, k=members))
            for _ in range(max(8, SAMPLE // members))
        ],
        connections=BATCHES[members],
        members=members,
    )


def hot_batches(wallets: Sequence[str]) -> Workload:
    """What pgbench does on one row, a hundred at a time."""
    return replace(batches(wallets[:1], 100), name="batches of 100, one wallet")


def reads(wallets: Sequence[str]) -> Workload:
    chosen = random.choices(wallets, k=SAMPLE)
    return Workload(
        name="reads of a wallet",
        requests=[f"GET\t/api/v1/wallets/{uuid}\t" for uuid in chosen],
    )


def lone(wallets: Sequence[str]) -> Workload:
    """One client, who waits for each answer."""
    return Workload(
        name="a lone client", requests=uniform(wallets).requests, connections=1
    )
