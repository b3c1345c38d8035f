"""The standby's link is held and waits for it are ended: no 200 that a failover loses.

In the end the primary goes while the standby lacks what was committed last.
"""

import asyncio
import random
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from proofs.audit import Audit
from proofs.client import make_wallets
from proofs.evidence import Evidence, arguments
from proofs.service import Service, wait_for
from proofs.traders import Traders
from proofs.verdict import judge_clients
from tests.replicas import Pair, replicated

WALLETS = 8
START = Decimal(200)
FREE_S = 1.0
HELD_S = 2.0
ENDS = ("pg_cancel_backend", "pg_terminate_backend")
DEADLINE_MS = 3000


def hold(pair: Pair, seconds: float) -> int:
    """Let nothing through to the standby, and end who waits for it; return how many."""
    pair.link.hang()
    ends = time.monotonic() + seconds
    ended = 0
    while time.monotonic() < ends:
        ended += pair.signal_waiting(random.choice(ENDS))
        time.sleep(0.02)
    return ended


def fail_over(pair: Pair, service: Service) -> int:
    """Hold the link and let the standby take over; return how many rows it lacks."""
    before = rows(service)
    hold(pair, HELD_S)
    lost = rows(service) - before
    # What is on its way must not arrive: the network is gone, then the primary.
    pair.link.cut_off()
    pair.promote()
    service.url = pair.standby_url
    return lost


def rows(service: Service) -> int:
    with service.connect() as connection:
        found = connection.execute("SELECT count(*) FROM transactions").fetchone()
    assert found is not None
    return int(found[0])


def run(folder: Path, holds: int, evidence: Evidence) -> None:
    with replicated() as pair:
        service = Service(folder, folder, pair.url)
        service.environment |= {
            "WALLET_DATABASE_URL": pair.both_urls,
            "WALLET_DEADLINE_MS": str(DEADLINE_MS),
        }
        service.migrate()
        service.start()
        wallets = asyncio.run(make_wallets(service.port, WALLETS, str(START)))
        audit = Audit(service, START * WALLETS)
        traders = Traders(service, dict.fromkeys(wallets, START))
        try:
            ended = 0
            for _ in range(holds):
                time.sleep(FREE_S)
                ended += hold(pair, HELD_S)
                pair.link.resume()
            evidence.figure("times that the link was held", holds)
            evidence.figure("waits for the standby that were ended", ended)
            evidence.check("waits were ended", ended > holds)
            time.sleep(FREE_S)
            lost = fail_over(pair, service)
            evidence.figure("rows that the failover took back", lost)
            evidence.check("the failover took something back", lost > 0)
            wait_for(lambda: traders.clients_run() and service.is_ready(), 30)
            judge_clients(evidence, traders, audit)
        finally:
            traders.stop()
            service.stop()


def main() -> int:
    options = arguments(__doc__, holds=10)
    evidence = Evidence("A standby that does not answer")
    with tempfile.TemporaryDirectory(prefix="wallet-proof-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        run(folder, options.holds, evidence)
    return evidence.conclude()


if __name__ == "__main__":
    sys.exit(main())
