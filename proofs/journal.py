"""A client's persistent log: what it is about to send, and what it was answered.

A line is in the kernel's hands before the request is on its way, so a client that is
killed leaves no operation behind that its journal does not name.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from proofs.orders import Entries, Order, Outcome

SAMPLE_EVERY = 100
NOT_APPLIED = "503, applied: no"


class Journal:
    """Appends; each line is written with one system call."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        # The process before this one may have been killed in the middle of a line.
        os.write(self.file, b"\n")

    def write(self, line: dict[str, Any]) -> None:
        os.write(self.file, orjson.dumps(line) + b"\n")

    def sending(self, order: Order) -> None:
        self.write({"sending": order.keys[0], "order": order.as_dict()})

    def unanswered(self, order: Order, reason: str) -> None:
        """An attempt of which the client does not know what it did."""
        self.write({"unanswered": order.keys[0], "reason": reason})

    def answered(self, order: Order, outcomes: list[Outcome]) -> None:
        plain = [[one.status, one.replayed, one.entries] for one in outcomes]
        line = {"answered": order.keys[0], "outcomes": plain}
        # A clock that all processes of the machine share.
        self.write(line | {"at": time.monotonic()})


class Reading:
    """What a journal says so far; read_on() takes in what has been added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        # Orders without an answer, by the first of their keys.
        self.unsettled: dict[str, Order] = {}
        self.settled = 0
        # When something was answered with 200.
        self.applied_at: list[float] = []
        # Some of those that were applied.
        self.sample: list[tuple[Order, list[Outcome]]] = []
        # All others by the key of the operation: what was asked for, and the answer.
        self.asked: dict[str, Entries] = {}
        self.atomic: list[list[str]] = []
        self.applied: dict[str, list[Any]] = {}
        self.replayed: set[str] = set()
        self.refused: set[str] = set()
        self.statuses: Counter[int] = Counter()
        # Attempts of which nobody knows what they did, and those that did nothing.
        self.doubtful: set[str] = set()
        self.undone: set[str] = set()
        self.reasons: Counter[str] = Counter()

    def read_on(self) -> None:
        for line in self.new_lines():
            if "sending" in line:
                self.note_order(Order(**line["order"]))
            elif "unanswered" in line:
                self.note_doubt(self.unsettled[line["unanswered"]], line["reason"])
            else:
                order = self.unsettled.pop(line["answered"])
                self.note_answer(order, [Outcome(*one) for one in line["outcomes"]])
                if any(status == 200 for status, *_ in line["outcomes"]):
                    self.applied_at.append(line["at"])

    def new_lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self.offset += len(whole)
        for line in whole.splitlines():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                # Empty, or torn: what was to be sent after it, was not.
                continue

    def note_order(self, order: Order) -> None:
        self.unsettled[order.keys[0]] = order
        # JSON has made lists of them.
        asked = [[(*entry,) for entry in entries] for entries in order.asked]
        self.asked |= dict(zip(order.keys, asked, strict=True))
        if order.is_atomic:
            self.atomic.append(order.keys)

    def note_doubt(self, order: Order, reason: str) -> None:
        self.reasons[reason] += 1
        (self.undone if reason == NOT_APPLIED else self.doubtful).update(order.keys)

    def note_answer(self, order: Order, outcomes: list[Outcome]) -> None:
        self.settled += 1
        if self.settled % SAMPLE_EVERY == 0 and {one.status for one in outcomes} == {
            200
        }:
            self.sample.append((order, outcomes))
        for key, outcome in zip(order.keys, outcomes, strict=True):
            self.statuses[outcome.status] += 1
            if outcome.status != 200:
                self.refused.add(key)
                continue
            self.applied[key] = outcome.entries
            if outcome.replayed:
                self.replayed.add(key)
