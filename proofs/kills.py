"""Everything is killed, stopped and filled up under load; what was answered stays.

Real gunicorn, PostgreSQL and Celery. The clients are processes that are killed as
well, and go on from journals of their own.
"""

import argparse
import asyncio
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil

from proofs import small_disk
from proofs.audit import Audit
from proofs.client import limit_wallets, make_wallets
from proofs.evidence import Evidence, arguments
from proofs.fleet import VICTIMS, Fleet, sailing
from proofs.service import running, wait_for
from proofs.verdict import judge

WALLETS, LIMITED = 8, 2
START = Decimal(200)
LIMITS = {
    "minimum_balance": "-100.00",
    "maximum_balance": "500.00",
    "largest_operation": "19.00",
    "velocity": {"month": {"max_amount": "50000.00"}},
}
PAUSE_S = (0.3, 1.5)
STOPPED_S = 5
FULL_S = 5
LOOK_EVERY = 5
# Celery ends when its tasks do, and counting may go on for two minutes.
END_TIMEOUT_S = 150
HIT_TIMEOUT_S = 30
POINTS = {
    "before": "right before COMMIT, all rows written",
    "sent": "with COMMIT sent, its answer not awaited",
    "after": "right after COMMIT, nobody told yet",
}
FILLINGS = (("disk full", False), ("disk full, write-ahead log as well", True))
# PostgreSQL waits for its clients after a SIGTERM: this is what is sent to stop it.
ENDING = {"the postmaster": signal.SIGINT}


class Trial:
    """One disturbance after the other, each until all is well again."""

    def __init__(self, fleet: Fleet, audit: Audit) -> None:
        self.fleet = fleet
        self.audit = audit
        self.chance = random.Random()
        self.counts: Counter[str] = Counter()
        self.recoveries_s: list[float] = []

    def disturb(self, what: str, act: Callable[..., None], *details: Any) -> None:
        time.sleep(self.chance.uniform(*PAUSE_S))
        began = time.monotonic()
        act(*details)
        self.fleet.mend()
        self.recoveries_s.append(time.monotonic() - began)
        self.counts[what] += 1
        if self.counts.total() % LOOK_EVERY == 0:
            self.audit.look(self.fleet.journals)
        print(f"{what}: well again after {self.recoveries_s[-1]:.1f} s", flush=True)

    def strike_all(self, verb: str, strike: Callable[[str], None], times: int) -> None:
        """Each kind of victim as often as any other, in random order."""
        kinds = [list(VICTIMS)[number % len(VICTIMS)] for number in range(times)]
        self.chance.shuffle(kinds)
        for kind in kinds:
            self.disturb(f"{verb} {kind}", strike, kind)

    def kill(self, kind: str) -> None:
        self.end(kind, signal.SIGKILL)

    def ask_to_end(self, kind: str) -> None:
        self.end(kind, ENDING.get(kind, signal.SIGTERM))

    def end(self, kind: str, number: signal.Signals) -> None:
        victim = self.fleet.victim(kind, self.chance)
        victim.send_signal(number)
        wait_for(lambda: has_ended(victim), END_TIMEOUT_S)

    def pause(self, kind: str) -> None:
        victim = self.fleet.victim(kind, self.chance)
        victim.suspend()
        time.sleep(STOPPED_S)
        victim.resume()

    def kill_at(self, point: str) -> None:
        """Let a worker die there: see proofs.failpoints."""
        trigger = self.fleet.service.folder / f"failpoint-{point}"
        trigger.touch()
        wait_for(lambda: not trigger.exists(), HIT_TIMEOUT_S)

    def fill(self, disk: Path, use_up_log: bool) -> None:
        """No space for rows and, if asked for, none for the write-ahead log."""
        with small_disk.full(disk):
            ends = time.monotonic() + FULL_S
            while time.monotonic() < ends:
                time.sleep(FULL_S / 20)
                if use_up_log:
                    self.fleet.service.use_up_log()


def has_ended(process: psutil.Process) -> bool:
    try:
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        # A process is one before the last of its threads has ended.
        return is_zombie and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def on_trial(
    title: str, act: Callable[[Trial], None], *, disk: Path | None = None
) -> int:
    """A service of its own, the disturbances, and the verdict."""
    evidence = Evidence(title)
    with running(disk=disk) as service:
        wallets = asyncio.run(make_wallets(service.port, WALLETS, str(START)))
        asyncio.run(limit_wallets(service.port, wallets[:LIMITED], LIMITS))
        audit = Audit(service, START * WALLETS)
        with sailing(service, dict.fromkeys(wallets, START)) as fleet:
            fleet.mend()
            trial = Trial(fleet, audit)
            act(trial)
            for what, times in sorted(trial.counts.items()):
                evidence.figure(what, times)
            slowest = f"{max(trial.recoveries_s):.1f} s"
            evidence.figure("slowest until all clients were answered", slowest)
            judge(evidence, fleet, audit)
    return evidence.conclude()


def kill_everything(trial: Trial, options: argparse.Namespace) -> None:
    trial.strike_all("killed", trial.kill, options.kills)
    trial.strike_all("asked to end:", trial.ask_to_end, options.terms)
    trial.strike_all(f"stopped for {STOPPED_S} s:", trial.pause, options.stops)
    if not options.commits:
        return
    service = trial.fleet.service
    service.application = "proofs.failpoints:app"
    service.stop()
    trial.fleet.mend()
    for number in range(options.commits):
        point = list(POINTS)[number % len(POINTS)]
        trial.disturb(f"worker killed {POINTS[point]}", trial.kill_at, point)


def fill_disk(trial: Trial, disk: Path, times: int) -> None:
    trial.fleet.service.keep_log_short()
    for number in range(times):
        what, use_up = FILLINGS[number % len(FILLINGS)]
        trial.disturb(what, trial.fill, disk, use_up)


def main() -> int:
    options = arguments(__doc__, kills=105, terms=14, stops=14, commits=30, fills=6)
    code = 0
    if options.kills + options.terms + options.stops + options.commits:
        code |= on_trial("Kills", lambda trial: kill_everything(trial, options))
    with small_disk.mounted() as disk:
        if disk is None:
            print("A full disk was not tried: mounting one is not allowed here.")
        elif options.fills:
            code |= on_trial(
                f"A full disk of {small_disk.SIZE_MIB} MiB",
                lambda trial: fill_disk(trial, disk, options.fills),
                disk=disk,
            )
    return code


if __name__ == "__main__":
    sys.exit(main())
