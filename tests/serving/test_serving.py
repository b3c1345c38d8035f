"""gunicorn with the project's settings and worker, and clients of all kinds."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import pytest
from ops import wait_until

from wallet_app.http import headers

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.py")
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
GET = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"


class Gunicorn:
    """A gunicorn that serves the tiny application of a folder."""

    def __init__(self, folder, workers=1):
        self.folder = folder
        self.workers = workers
        self.log = folder / "gunicorn.log"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    def __enter__(self):
        options = ["--bind", f"127.0.0.1:{self.port}", "--workers", str(self.workers)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "--pythonpath"),
                    *(str(self.folder), *options, "tiny:app"),
                ],
                cwd=ROOT,
                # A compiled file would hide a change within the same second.
                env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
                stdout=log,
                stderr=log,
            )
        wait_until(self.answers, seconds=30)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(40)
        assert "Traceback" not in self.log.read_text()

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("/") and self.arrivals() == self.workers
        except OSError:
            return False

    def arrivals(self):
        """How many workers have begun."""
        return self.log.read_text().count("A worker is here")

    def get(self, path):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(client):
            client.request("GET", path)
            return client.getresponse().read()

    def connections(self):
        """How many each of the workers holds."""
        workers = psutil.Process(self.process.pid).children()
        found = [worker.net_connections("tcp") for worker in workers]
        return [sum(bool(one.raddr) for one in connections) for connections in found]

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@pytest.fixture
def gunicorn(tmp_path, request):
    """One that has a single worker, unless the test asks for more."""
    (tmp_path / "tiny.py").write_text(TINY.read_text())
    with Gunicorn(tmp_path, getattr(request, "param", 1)) as running:
        yield running


two_workers = pytest.mark.parametrize("gunicorn", [2], indirect=True)


def read_all(client):
    """What comes until the connection ends."""
    received = b""
    with suppress(ConnectionResetError):
        while data := client.recv(1 << 20):
            received += data
    return received


def test_master_hands_on_nothing_of_the_application_and_gevent_comes_first(gunicorn):
    found = json.loads(gunicorn.get("/found"))
    assert "serving" in found["modules"]
    for name in ("wallet_app", "flask", "sqlalchemy"):
        assert name not in found["modules"]
    assert found["patched"]
    assert found["database_waits"] == "serving.database_waits"


def test_reload_takes_the_new_code(gunicorn):
    assert gunicorn.get("/") == b"0 bytes"
    source = TINY.read_text().replace("%d bytes", "%d octets")
    (gunicorn.folder / "tiny.py").write_text(source)
    gunicorn.process.send_signal(signal.SIGHUP)
    wait_until(lambda: gunicorn.get("/") == b"0 octets", seconds=15)


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"<script>\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 9000), 400),
        (b"GET / HTTP/1.1\r\nX: %s\r\n\r\n" % (b"a" * 9000), 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n", 431),
    ],
    ids=["no line", "version", "name", "long line", "long header", "many headers"],
)
def test_what_gunicorn_refuses_has_the_headers_of_all_answers(
    gunicorn, request_head, status
):
    with gunicorn.connect() as client:
        client.sendall(request_head)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status == status
        for name, value in headers.ON_MONEY:
            assert answer.headers.get_all(name) == [value]
        assert len(answer.read()) == int(answer.headers["Content-Length"])


@two_workers
@pytest.mark.parametrize("pause", [0, 0.01], ids=["at once", "one by one"])
def test_workers_share_the_clients(gunicorn, pause):
    with ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(gunicorn.connect())
            time.sleep(pause)
        wait_until(lambda: sum(gunicorn.connections()) == 16)
        assert min(gunicorn.connections()) >= 6


@two_workers
def test_nobody_waits_for_a_worker_that_was_killed(gunicorn):
    psutil.Process(gunicorn.process.pid).children()[0].kill()
    wait_until(lambda: gunicorn.arrivals() == 3, seconds=15)
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(gunicorn.connect())
        began = time.monotonic()
        for _ in range(60):
            gunicorn.get("/")
        # Each would be declined for 25 ms, as if the dead one had room for it.
        assert time.monotonic() - began < 1.2


@pytest.mark.parametrize("drip", [b"x", b""], ids=["byte by byte", "not at all"])
def test_slow_body_is_cut_off_and_its_rest_is_no_request(gunicorn, drip):
    with gunicorn.connect() as client:
        client.sendall(POST)
        began = time.monotonic()
        for _ in range(8):
            client.sendall(drip)
            time.sleep(0.1)
        time.sleep(0.5)
        with suppress(OSError):
            client.sendall(GET % b"found")
        received = read_all(client)
        assert time.monotonic() - began < 3
    assert received.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in received


def test_client_that_does_not_read_is_left(gunicorn):
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", gunicorn.port))
        client.sendall(GET % b"long")
        wait_until(lambda: gunicorn.connections() == [1])
        wait_until(lambda: gunicorn.connections() == [0])


def test_client_that_sends_without_a_pause_lets_others_have_their_turn(gunicorn):
    def send(greedy):
        with suppress(OSError):
            while True:
                greedy.sendall(GET % b"" * 200)

    with gunicorn.connect() as greedy, ThreadPoolExecutor() as pool:
        pool.submit(send, greedy)
        reading = pool.submit(read_all, greedy)
        time.sleep(0.5)
        try:
            assert [gunicorn.get("/") for _ in range(5)] == [b"0 bytes"] * 5
        finally:
            assert not reading.done()
            greedy.shutdown(socket.SHUT_RDWR)


def test_idle_connections_do_not_hold_up_the_end_and_late_answers_arrive(gunicorn):
    connect = gunicorn.connect
    with connect() as silent, connect() as idle, connect() as busy:
        idle.sendall(GET % b"")
        assert idle.recv(65536)
        busy.sendall(GET % b"late")
        time.sleep(0.2)
        began = time.monotonic()
        gunicorn.process.terminate()
        assert b"0 bytes" in read_all(busy)
        assert gunicorn.process.wait(20) == 0
        assert time.monotonic() - began < 6
        assert read_all(silent) == b""


def test_connections_that_were_made_before_the_end_are_served(gunicorn):
    (worker,) = psutil.Process(gunicorn.process.pid).children()
    with ExitStack() as stack:
        # More than it accepts at a time, and it finds all of them when it is to end.
        worker.suspend()
        clients = [stack.enter_context(gunicorn.connect()) for _ in range(100)]
        for client in clients:
            client.sendall(GET % b"")
        # By then it would look whether it is to end before it accepts any.
        time.sleep(1.1)
        gunicorn.process.terminate()
        worker.send_signal(signal.SIGTERM)
        worker.resume()
        answers = [read_all(client) for client in clients]
    assert [b"200 OK" in answer for answer in answers] == [True] * 100
