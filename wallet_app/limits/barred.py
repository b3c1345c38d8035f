"""Addresses from which too many requests came that brought no valid key."""

import threading
import time
from math import ceil

from wallet_app.limits.policies import Policy, Use

MOST_ADDRESSES = 10_000


class Barred:
    """Kept in the process: their next requests cost no look-up of a key, nor of this.

    Another process meets one more such request before it bars the address as well.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.until: dict[str, tuple[Policy, float]] = {}

    def note(self, address: str, use: Use | None) -> None:
        """Bar an address whose use is beyond the quota, until its window ends."""
        if use is None:
            return
        now = time.monotonic()
        with self.lock:
            if len(self.until) >= MOST_ADDRESSES:
                self.until = {
                    one: (policy, end)
                    for one, (policy, end) in self.until.items()
                    if end > now
                }
            if len(self.until) < MOST_ADDRESSES:
                self.until[address] = use.policy, now + use.ends_in_s

    def use_of(self, address: str) -> Use | None:
        """The use that has barred an address, as it is now; None: it is not barred."""
        policy, end = self.until.get(address, (None, 0.0))
        left_s = end - time.monotonic()
        if policy is None or left_s <= 0:
            return None
        return Use(policy, -1, ceil(left_s))
