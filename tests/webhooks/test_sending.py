"""Where webhooks may lead, and how long an endpoint may take."""

import http.server
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from receivers import Receiver
from standardwebhooks import Webhook

from wallet_app.webhooks import addresses, sending, signing
from wallet_app.webhooks.addresses import RefusedAddressError
from wallet_app.webhooks.sending import Endpoint

PRIVATE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "64:ff9b::a00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_no_private_address_is_connected_to(address, monkeypatch):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("connected"))
    with (
        Endpoint("https://innocent.example/", private=False) as endpoint,
        pytest.raises(RefusedAddressError),
    ):
        endpoint.post(b"", {})


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111"])
def test_public_addresses_are_fine(address):
    addresses.refuse_private(address)


@pytest.mark.parametrize(
    "host", ["localhost", "0x7f000001", "2130706433", "127.1", "0177.0.0.1", "[::1]"]
)
def test_other_spellings_of_a_private_address_are_refused(host):
    with (
        Endpoint(f"https://{host}/", private=False) as endpoint,
        pytest.raises(RefusedAddressError),
    ):
        endpoint.post(b"", {})


def test_one_private_address_among_public_ones_is_enough(monkeypatch):
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))
        for address in ("8.8.8.8", "10.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(RefusedAddressError):
        addresses.resolve("both.example", 443, private=False)


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(
    receiver, monkeypatch
):
    port = receiver.server.server_port
    calls = []

    def resolve(host, *_, **__):
        calls.append(host)
        address = "127.0.0.1" if len(calls) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Endpoint(f"http://hook.example:{port}/", private=True) as endpoint:
        for number in range(3):
            assert endpoint.post(b"{}", {"webhook-id": str(number)}) == 200
    assert calls == ["hook.example"]
    assert {one["host"] for one in receiver.headers} == {f"hook.example:{port}"}


def test_settings_that_have_changed_count_for_old_webhooks_too(receiver):
    with (
        Endpoint(receiver.url, private=False) as endpoint,
        pytest.raises(RefusedAddressError),
    ):
        endpoint.post(b"{}", {"webhook-id": "1"})


def test_proxies_of_the_environment_are_not_used(receiver, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Endpoint(receiver.url, private=True) as endpoint:
        assert endpoint.post(b"{}", {"webhook-id": "1"}) == 200


@contextmanager
def serving(behave):
    """A server that does with each connection what the test says; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65536)
                        behave(connection)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)


def test_a_redirect_is_not_followed(receiver):
    location = f"HTTP/1.1 307 Elsewhere\r\nLocation: {receiver.url}\r\n\r\n".encode()
    with (
        serving(lambda connection: connection.sendall(location)) as url,
        Endpoint(url, private=True) as endpoint,
    ):
        assert endpoint.post(b"{}", {"webhook-id": "1"}) == 307
    assert receiver.told == []


def test_a_trickle_of_bytes_does_not_renew_the_deadline(monkeypatch):
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.5)

    def trickle(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    began = time.monotonic()
    with (
        serving(trickle) as url,
        Endpoint(url, private=True) as endpoint,
        pytest.raises(TimeoutError),
    ):
        endpoint.post(b"{}", {})
    assert time.monotonic() - began < 1.5


def test_an_endless_answer_is_read_up_to_a_bound():
    sent = []

    def flood(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b"x" * 65536)
            sent.append(65536)

    with serving(flood) as url, Endpoint(url, private=True) as endpoint:
        assert endpoint.post(b"{}", {}) == 200
        assert endpoint.connection is None
    assert sum(sent) < 20_000_000


def test_a_kept_connection_that_was_closed_is_made_anew(receiver):
    class Closing(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            # Without a word: as a server does whose patience is over.
            self.close_connection = True

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closing)
    threading.Thread(target=server.serve_forever, args=(0.02,)).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/"
        with Endpoint(url, private=True) as endpoint:
            for _ in range(3):
                assert endpoint.post(b"{}", {}) == 200
                time.sleep(0.02)
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def certificate(tmp_path):
    """For hook.example, signed by itself."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-keyout", str(key), "-out", str(cert), "-subj", "/CN=hook.example"),
            *("-addext", "subjectAltName=DNS:hook.example"),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.mark.parametrize(
    ("host", "fits"), [("hook.example", True), ("evil.example", False)]
)
def test_the_certificate_must_be_that_of_the_name(certificate, host, fits, monkeypatch):
    cert, key = certificate
    receiver, names = Receiver(), []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    server = receiver.server
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setattr(sending, "tls", lambda: ssl.create_default_context(cafile=cert))
    port = server.server_port
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    try:
        with Endpoint(f"https://{host}:{port}/", private=True) as endpoint:
            if fits:
                assert endpoint.post(b"{}", {"webhook-id": "1"}) == 200
            else:
                with pytest.raises(ssl.SSLCertVerificationError):
                    endpoint.post(b"{}", {"webhook-id": "1"})
    finally:
        receiver.close()
    assert names == [host]


def test_a_signature_is_the_specifications():
    key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # pragma: allowlist secret
    headers = signing.headers(
        '{"test": 2432232314}',
        delivery_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        now=datetime.fromtimestamp(1614265330, UTC),
        keys=[key],
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",  # pragma: allowlist secret
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_secrets_are_random_and_long_enough():
    secrets = {signing.new_secret() for _ in range(10)}
    assert len(secrets) == 10
    assert all(24 <= len(Webhook(secret)._whsecret) <= 64 for secret in secrets)
