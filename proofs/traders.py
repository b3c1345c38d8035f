"""Client processes that keep journals, from which they go on when they are killed."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

from proofs.journal import Reading
from proofs.service import ROOT, Service
from wallet_app.standalone.processes import ends_with

CLIENTS = 3
END_TIMEOUT_S = 180


class Traders:
    """They call the service until they are asked to end."""

    def __init__(self, service: Service, wallets: dict[str, Decimal]) -> None:
        self.service = service
        # What each of them holds at the start.
        self.wallets = wallets
        self.restarts: Counter[str] = Counter()
        folder = service.folder
        self.journals = [Reading(folder / f"{n}.journal") for n in range(CLIENTS)]
        self.clients = [self.start_client(journal) for journal in self.journals]

    def start_client(self, journal: Reading) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "proofs.journaled_client"),
                *(str(self.service.port), str(journal.path), *self.wallets),
            ],
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=ends_with(os.getpid()),
        )

    def clients_run(self) -> bool:
        for number, client in enumerate(self.clients):
            code = client.poll()
            if code is not None:
                assert code <= 0, f"a client has given up: exit code {code}"
                self.clients[number] = self.start_client(self.journals[number])
                self.restarts["client process"] += 1
        return True

    def answers(self) -> list[int]:
        """How many orders of each client process are settled."""
        self.read_journals()
        return [journal.settled for journal in self.journals]

    def read_journals(self) -> None:
        for journal in self.journals:
            journal.read_on()

    def end_clients(self) -> None:
        """Let each client find out what became of its last orders."""
        for client in self.clients:
            client.terminate()
        for client in self.clients:
            assert client.wait(END_TIMEOUT_S) == 0
        self.read_journals()

    def await_answers(self, is_whole: Callable[[], object], deadline: float) -> None:
        """Wait until each client process has had another answer, looking after all."""
        before = self.answers()
        while any(
            now <= then for now, then in zip(self.answers(), before, strict=True)
        ):
            assert time.monotonic() < deadline, "no client gets an answer any more"
            is_whole()
            time.sleep(0.05)

    def stop(self) -> None:
        for client in self.clients:
            client.kill()
            client.wait()
