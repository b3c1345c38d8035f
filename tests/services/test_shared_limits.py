"""Limits that several processes share through a Redis, which may go away."""

import http.client
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import brokers
import psutil
import pytest
from workers import ROOT, eventually

from wallet_app.limits import counters
from wallet_app.limits.policies import Policy

KINDS = os.environ.get("TEST_BROKERS", "redis").split()
pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif("redis" not in KINDS, reason="needs Redis"),
]
AWAY = "Redis does not answer"
BACK = "Redis is back"
QUOTA = 100
HOUR = Policy("key-3600s", 1000, 3600)


@pytest.fixture
def redis(tmp_path):
    with brokers.running("redis", tmp_path) as server:
        yield server


class Web:
    """gunicorn with two workers; its limits are for a day, so that none begins anew."""

    def __init__(self, settings: dict[str, str], log: Path) -> None:
        self.log = log
        self.port = brokers.free_port()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn"),
                    *("--bind", f"127.0.0.1:{self.port}", "wsgi:app"),
                ],
                cwd=ROOT,
                env=os.environ | settings,
                stdout=output,
                stderr=output,
            )

    def get(self, path: str = "/api/v1/wallets?limit=1") -> int:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with closing(client):
            client.request("GET", path)
            return client.getresponse().status

    def get_many(self, count: int) -> list[int]:
        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(lambda _: self.get(), range(count)))

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            workers = psutil.Process(self.process.pid).children()
            return len(workers) == 2 and self.get("/readyz") == 200
        except OSError:
            return False


@pytest.fixture
def serve(app, database_environment, settings, tmp_path):
    """A service that counts in a Redis, if it is given one."""

    @contextmanager
    def serving(url=""):
        environment = database_environment | {
            "WALLET_INSTANCE_DIR": str(settings.instance_dir),
            "WALLET_WORKERS": "2",
            "WALLET_RATE_LIMIT": f"{QUOTA}/day",
            "WALLET_LIMITS_STORAGE": url,
        }
        web = Web(environment, tmp_path / "gunicorn.log")
        try:
            eventually(web.is_ready, 60)
            yield web
        finally:
            web.process.terminate()
            web.process.wait(40)
        assert "Traceback" not in web.log.read_text()

    return serving


def test_two_processes_share_one_quota(redis, serve):
    with serve(redis.url) as web:
        sent = web.get_many(3 * QUOTA)
    assert (sent.count(200), sent.count(429)) == (QUOTA, 2 * QUOTA)


def test_without_redis_each_process_has_a_quota(serve):
    with serve() as web:
        sent = web.get_many(3 * QUOTA)
    assert sent.count(200) + sent.count(429) == 3 * QUOTA
    assert QUOTA <= sent.count(200) <= 2 * QUOTA


def test_no_request_fails_while_redis_is_away_and_it_is_said_once(redis, serve):
    with serve(redis.url) as web:
        assert web.get_many(10) == [200] * 10
        redis.stop()
        sent = web.get_many(3 * QUOTA)
        assert set(sent) == {200, 429}
        assert QUOTA <= sent.count(200) <= 2 * QUOTA
        assert 1 <= web.log.read_text().count(AWAY) <= 2
        redis.start()
        # Once it is asked again: what it has counted counts.
        eventually(lambda: web.get() and BACK in web.log.read_text())
        assert 1 <= web.log.read_text().count(AWAY) <= 2


def test_a_redis_that_hangs_is_left_until_it_goes_on(redis, caplog):
    shared = counters.RedisCounters(redis.url)
    assert [shared.add(HOUR, "one", 1) for _ in range(3)] == [1, 2, 3]
    os.kill(redis.process.pid, signal.SIGSTOP)
    try:
        assert [shared.add(HOUR, "one", 1) for _ in range(3)] == [1, 2, 3]
    finally:
        os.kill(redis.process.pid, signal.SIGCONT)
    assert caplog.text.count(AWAY) == 1
    shared.ask_again_at = time.monotonic()
    # Those that hung may have been counted, too.
    assert shared.add(HOUR, "one", 1) >= 4
    assert caplog.text.count(BACK) == 1


def test_a_redis_that_was_started_anew_goes_unnoticed(redis, caplog):
    shared = counters.RedisCounters(redis.url)
    assert shared.add(HOUR, "one", 1) == 1
    redis.stop()
    redis.start()
    assert shared.add(HOUR, "one", 1) == 2
    assert caplog.text == ""


def test_what_is_counted_goes_away_with_its_window(redis):
    shared = counters.RedisCounters(redis.url)
    shared.add(HOUR, "one", 1)
    client = shared.redis.get_connection()
    (key,) = client.keys("*")
    assert key == b"wallet-limits:key-3600s:one:1"
    assert 0 < client.ttl(key) <= HOUR.window_s
