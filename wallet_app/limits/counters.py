"""Where requests are counted: in this process, or in a Redis that all of them share."""

import logging
import math
import threading
import time
from typing import Any, Protocol

from limits.storage import RedisStorage
from redis import BlockingConnectionPool, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from wallet_app.limits.policies import Policy

logger = logging.getLogger(__name__)

# Callers in one window; those who come later are counted together.
MOST_CALLERS = 100_000
THE_OTHERS = "the others"
CONNECTIONS = 16
# A request waits no longer than about this for Redis, and then for none in a while.
TIMEOUT_S = 0.25
PAUSE_S = 5.0


class Counters(Protocol):
    def add(self, policy: Policy, caller: str, window: int) -> int:
        """Count a request; return how many of the caller's the window has now."""


class MemoryCounters:
    """Counts in this process.

    Not by the storage that `limits` has for it: that keeps each caller for as long as
    the window lasts, however many there are, and goes through all of them many times
    a second.
    """

    def __init__(self, most_callers: int = MOST_CALLERS) -> None:
        self.most_callers = most_callers
        self.lock = threading.Lock()
        self.windows: dict[str, tuple[int, dict[str, int]]] = {}

    def add(self, policy: Policy, caller: str, window: int) -> int:
        with self.lock:
            current, counts = self.windows.get(policy.name, (None, {}))
            if current != window:
                counts = {}
                self.windows[policy.name] = window, counts
            if caller not in counts and len(counts) >= self.most_callers:
                caller = THE_OTHERS
            counts[caller] = count = counts.get(caller, 0) + 1
            return count


class RedisCounters:
    """Counts in Redis; in this process while Redis does not answer."""

    def __init__(self, url: str) -> None:
        retry = Retry(NoBackoff(), retries=1)
        pool: Any = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            retry=retry,
        )
        self.redis = RedisStorage(url, pool, key_prefix="wallet-limits")
        self.meanwhile = MemoryCounters()
        self.is_away = False
        self.ask_again_at = -math.inf

    def add(self, policy: Policy, caller: str, window: int) -> int:
        if self.is_away:
            now = time.monotonic()
            if now < self.ask_again_at:
                return self.meanwhile.add(policy, caller, window)
            # This request finds out; the others need not wait with it.
            self.ask_again_at = now + PAUSE_S
        try:
            key = f"{policy.name}:{caller}:{window}"
            count = self.redis.incr(key, policy.window_s)
        except RedisError as error:
            self.note_away(error)
            return self.meanwhile.add(policy, caller, window)
        if self.is_away:
            self.is_away = False
            logger.warning("rate limits: Redis is back, all processes count together")
        return count

    def note_away(self, error: RedisError) -> None:
        """Say so once, however many requests meet it."""
        self.ask_again_at = time.monotonic() + PAUSE_S
        if not self.is_away:
            self.is_away = True
            logger.warning(
                "rate limits: Redis does not answer (%s); until it does each process"
                " counts for itself",
                type(error).__name__,
            )


def make(url: str) -> Counters:
    """The counters of a setting: a Redis's URL, or nothing."""
    return RedisCounters(url) if url else MemoryCounters()
