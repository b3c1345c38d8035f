"""nginx as production has it, before two nodes that do what a test tells them to."""

import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.servers import folder, free_port, wait_for_port

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
OPERATION = "/api/v1/wallets/123e4567-e89b-12d3-a456-426614174000/operation"

pytestmark = pytest.mark.skipif(
    not Path(NGINX).exists(), reason="nginx is not installed"
)


class Node:
    """A web node that notes each request before it answers it, or breaks off."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.headers: list[http.client.HTTPMessage] = []
        self.breaks_off = False
        self.may_go_on = threading.Event()
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self) -> None:
                node.seen.append((self.command, self.path))
                node.headers.append(self.headers)
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if node.breaks_off:
                    self.close_connection = True
                elif self.path == "/api/v1/events":
                    self.stream()
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"ok")

            def stream(self) -> None:
                """A first event, and the second when the test has seen the first."""
                self.close_connection = True
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(b"data: 1\n\n")
                node.may_go_on.wait(30)
                self.wfile.write(b"data: 2\n\n")

            do_GET = do_POST = do_PATCH = serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        serve = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        serve.start()

    def stop(self) -> None:
        self.may_go_on.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def nginx(base: Path, nodes: list[int]) -> Iterator[int]:
    """The production's nginx.conf on a free port of loopback, without TLS."""
    port, alive = free_port(), free_port()
    base.chmod(0o755)
    for name in ("nginx.conf", "problem.conf"):
        text = (CONFIGURATION / name).read_text()
        text = text.replace("/tmp/", f"{base}/").replace(":8081", f":{alive}")
        text = text.replace("/dev/stdout", f"{base}/access.log")
        (base / name).write_text(text)
    (base / "listen.conf").write_text(f"listen 127.0.0.1:{port};\n")
    servers = "max_fails=3 fail_timeout=3s;\nserver ".join(
        f"127.0.0.1:{node} " for node in nodes
    )
    (base / "nodes.conf").write_text(f"server {servers};\n")
    command = [NGINX, "-c", str(base / "nginx.conf"), "-g", "daemon off;"]
    log = base / "error.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for_port(port, process, log)
        yield port
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def base() -> Iterator[Path]:
    with folder("wallet-nginx-") as path:
        yield path


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    both = [Node(), Node()]
    yield both
    for node in both:
        node.stop()


@pytest.fixture
def port(base: Path, nodes: list[Node]) -> Iterator[int]:
    with nginx(base, [node.port for node in nodes]) as number:
        yield number


def call(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def requests_seen(nodes: list[Node]) -> int:
    return sum(len(node.seen) for node in nodes)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_payment_whose_node_breaks_off_is_sent_once(port, nodes, method):
    for node in nodes:
        node.breaks_off = True
    status, headers, body = call(port, method, OPERATION, b"{}")
    problem = json.loads(body)
    assert status == problem["status"] == 503
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Retry-After"] == "1"
    assert problem["code"] == "try_again"
    assert problem["applied"] == "unknown"
    assert requests_seen(nodes) == 1


def test_payment_on_a_kept_connection_that_broke_is_sent_once(port, nodes):
    for _ in range(4):
        assert call(port, "POST", OPERATION, b"{}")[0] == 200
    for node in nodes:
        node.breaks_off = True
    assert call(port, "POST", OPERATION, b"{}")[0] == 503
    assert requests_seen(nodes) == 5


def test_read_whose_node_breaks_off_is_sent_to_the_other(port, nodes):
    nodes[0].breaks_off = True
    statuses = [call(port, "GET", "/api/v1/wallets")[0] for _ in range(4)]
    assert statuses == [200] * 4
    assert nodes[0].seen


def test_payment_goes_to_the_node_that_lives(base):
    gone, lives = free_port(), Node()
    try:
        with nginx(base, [gone, lives.port]) as port:
            statuses = [call(port, "POST", OPERATION, b"{}")[0] for _ in range(6)]
    finally:
        lives.stop()
    assert statuses == [200] * 6
    assert len(lives.seen) == 6


def test_without_a_node_there_is_a_problem_document(base):
    with nginx(base, [free_port(), free_port()]) as port:
        status, headers, body = call(port, "GET", "/healthz", X_Request_ID="mine-1")
    assert status == 503
    assert json.loads(body)["request_id"] == headers["X-Request-ID"] == "mine-1"


@pytest.mark.parametrize(
    "path", ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/x/../metrics?a=1"]
)
def test_metrics_are_not_for_clients(port, nodes, path):
    status, _, body = call(port, "GET", path)
    assert status == 404
    assert json.loads(body)["code"] == "not_found"
    assert requests_seen(nodes) == 0


def test_body_over_the_limit_does_not_reach_a_node(port, nodes):
    status, _, body = call(port, "POST", OPERATION, b" " * (1024 * 1024 + 1))
    assert status == 413
    assert json.loads(body)["code"] == "body_too_large"
    assert requests_seen(nodes) == 0


def test_head_over_the_limit_does_not_reach_a_node(port, nodes):
    status, _, body = call(port, "GET", "/", X_Long="x" * 9000)
    assert status == 400
    assert json.loads(body)["code"] == "malformed_request"
    assert requests_seen(nodes) == 0


def test_request_reaches_its_node_when_all_of_it_has_come(port, nodes):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        head = f"POST {OPERATION} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
        client.sendall(head.encode() + b"ab")
        # Another's request passes, and would come behind this one's.
        assert call(port, "GET", "/healthz")[0] == 200
        assert requests_seen(nodes) == 1
        client.sendall(b"cd")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    assert requests_seen(nodes) == 2


def test_events_come_one_by_one(port, nodes):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/api/v1/events")
    response = connection.getresponse()
    assert response.readline() == b"data: 1\n"
    for node in nodes:
        node.may_go_on.set()
    assert response.read() == b"\ndata: 2\n\n"
    connection.close()


def test_node_learns_the_clients_address_and_not_what_it_claims(port, nodes):
    call(port, "GET", "/", X_Forwarded_For="10.9.8.7", X_Request_ID='"},{')
    (headers,) = nodes[0].headers + nodes[1].headers
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["X-Request-ID"].isalnum()


def test_log_has_a_line_of_json_a_request_without_the_query(base, port):
    call(port, "GET", "/api/v1/wallets?secret=1")
    log = base / "access.log"
    wait_until(lambda: log.read_text().endswith("\n"))
    line = json.loads(log.read_text())
    assert line["path"] == "/api/v1/wallets"
    assert line["status"] == "200"
    assert "secret" not in log.read_text()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_configuration_is_sound_with_tls(base):
    """`nginx -t` on the files as they are, but for what only the containers have."""
    for name in ("nginx.conf", "problem.conf", "listen.conf", "nodes.conf"):
        text = (CONFIGURATION / name).read_text().replace("/tmp/", f"{base}/")
        text = text.replace("/run/secrets/", f"{base}/")
        text = text.replace("web-1:", "127.0.0.1:").replace("web-2:", "127.0.0.2:")
        (base / name).write_text(text)
    key, certificate = str(base / "tls_key"), str(base / "tls_certificate")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-subj", "/CN=localhost"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    result = subprocess.run(
        [NGINX, "-t", "-c", str(base / "nginx.conf")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "[warn]" not in result.stderr
