"""A client process that survives being killed: it goes on from its journal.

Started again, it first sends each order without an answer once more, with the same
keys. SIGTERM asks it to end when it knows what became of everything.
"""

import argparse
import asyncio
import random
import signal
import time
from datetime import timedelta
from pathlib import Path

from proofs.client import Answer, Client, NoAnswer
from proofs.journal import Journal, Reading
from proofs.orders import AGAIN, Customer, Order, Outcome, outcomes

CONNECTIONS = 8
MOST_THOUGHT_S = 0.03
PAUSE_S = 0.2
RETRY_TIMEOUT_S = 150
TYPES = ("DEPOSIT", "WITHDRAW", "TRANSFER", "HOLD", "HOLD", "REFUND")
# Some end by themselves while the proof goes on, but none while an order is repeated.
HOLDS_LAST = timedelta(seconds=30)


class Trader:
    def __init__(self, port: int, path: Path, wallets: list[str]) -> None:
        self.port = port
        self.journal = Journal(path)
        self.chance = random.Random()
        self.customer = Customer(self.chance, wallets, TYPES, HOLDS_LAST)
        self.stopped = False
        past = Reading(path)
        past.read_on()
        self.pending = list(past.unsettled.values())
        for order in self.pending:
            self.journal.unanswered(order, "client ended")

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self.trade(Client(self.port)))

    def stop(self) -> None:
        self.stopped = True

    async def trade(self, client: Client) -> None:
        while self.pending or not self.stopped:
            if self.pending:
                order = self.pending.pop()
            else:
                await asyncio.sleep(self.chance.uniform(0, MOST_THOUGHT_S))
                order = self.customer.order()
                self.journal.sending(order)
            found = await self.settle(client, order)
            self.journal.answered(order, found)
            self.customer.note(order, found)
        client.close()

    async def settle(self, client: Client, order: Order) -> list[Outcome]:
        """Send the order, again and again, until it is known what became of it."""
        deadline = time.monotonic() + RETRY_TIMEOUT_S
        while True:
            try:
                answer = await client.call(
                    "POST", order.path, order.body, order.headers
                )
            except NoAnswer as failure:
                self.journal.unanswered(order, f"no answer: {failure.stage}")
            else:
                found = outcomes(order, answer)
                if all(one.status != AGAIN for one in found):
                    return found
                self.journal.unanswered(order, reason_of(answer))
            assert time.monotonic() < deadline, "the service does not come back"
            await asyncio.sleep(PAUSE_S)


def reason_of(answer: Answer) -> str:
    """Why the order is sent again, from the problem document or a batch's members."""
    if answer.status == 200:
        return "503 in a batch"
    if "retry-after" not in answer.headers:
        return "503 without Retry-After"
    return f"503, applied: {answer.json.get('applied', 'not said')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("journal", type=Path)
    parser.add_argument("wallets", nargs="+")
    options = parser.parse_args()
    trader = Trader(options.port, options.journal, options.wallets)
    asyncio.run(trader.run())


if __name__ == "__main__":
    main()
