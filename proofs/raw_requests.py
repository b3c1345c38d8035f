"""Requests that no library would send, byte by byte, and what may come back."""

import json
import re
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
# 501 and 505 are HTTP's words for a coding and a version that a server does not have.
REFUSALS = frozenset({400, 404, 405, 408, 411, 413, 414, 415, 417, 422, 431, 501, 505})
READ_TIMEOUT_S = 3.0
# How long a connection is watched after a whole answer.
AFTERWARDS_S = 0.05
# Ends a line of a log, and begins one that looks like the service's own.
FORGED_START = "[2026-01-01 00:00:00 +0000]"
FORGED_LINE = b"\r" + FORGED_START.encode() + b" [1] [INFO] all is well\n"


@dataclass(frozen=True)
class Raw:
    """Bytes to send on a new connection."""

    name: str
    data: bytes
    allowed: frozenset[int] = REFUSALS
    # The client says that it will send no more.
    half_close: bool = False


@dataclass
class Outcome:
    """What came back."""

    raw: Raw
    statuses: list[int] = field(default_factory=list)
    closed: bool = False
    text: bytes = b""

    def complaints(self) -> list[str]:
        """What is not as it has to be."""
        found = []
        if not self.statuses and not self.closed:
            found.append("neither an answer nor an end")
        if not set(self.statuses) <= self.raw.allowed:
            found.append(f"answered {self.statuses}")
        is_problem = b"application/problem+json" in self.text
        if max(self.statuses, default=0) >= 400 and not is_problem and not self.closed:
            found.append("gunicorn refused it and kept the connection")
        if b"Traceback" in self.text or b"root:" in self.text:
            found.append("it shows what is inside")
        return [f"{self.raw.name}: {one}" for one in found]


def send(port: int, raw: Raw) -> Outcome:
    """Send the bytes, and read until the end of the connection, or for a while."""
    outcome = Outcome(raw)
    with socket.create_connection(("127.0.0.1", port), READ_TIMEOUT_S) as connection:
        try:
            connection.sendall(raw.data)
            if raw.half_close:
                connection.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + READ_TIMEOUT_S
            while time.monotonic() < deadline:
                received = connection.recv(65536)
                outcome.text += received
                if not received:
                    outcome.closed = True
                    break
                if is_whole(outcome.text):
                    connection.settimeout(AFTERWARDS_S)
        except TimeoutError:
            pass
        except ConnectionError:
            outcome.closed = True
    outcome.statuses = [int(one) for one in STATUS_LINE.findall(outcome.text)]
    return outcome


def is_whole(text: bytes) -> bool:
    head, _, body = text.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(length) and len(body) >= int(length[1])


def deposit_body() -> bytes:
    """A deposit that would be applied, if somebody took it for one."""
    body = {
        "operation_type": "DEPOSIT",
        "amount": "1.00",
        "reference_id": str(uuid.uuid4()),
    }
    return json.dumps(body).encode()


class Corpus:
    """All the requests to one wallet, none of which may change it."""

    def __init__(self, wallet: str) -> None:
        self.path = f"/api/v1/wallets/{wallet}/operation".encode()

    def post(
        self, *headers: bytes, body: bytes | None = None, version: bytes = b"HTTP/1.1"
    ) -> bytes:
        """A request with exactly these headers, Host and Content-Type aside."""
        head = [
            b"POST " + self.path + b" " + version,
            *(b"Host: localhost", b"Content-Type: application/json"),
            *headers,
        ]
        content = deposit_body() if body is None else body
        return b"\r\n".join(head) + b"\r\n\r\n" + content

    def sized(self, body: bytes, *headers: bytes) -> bytes:
        return self.post(b"Content-Length: %d" % len(body), *headers, body=body)

    def smuggled(self) -> bytes:
        body = deposit_body()
        return self.sized(body)

    def all(self) -> list[Raw]:
        return [
            *self.smuggling(),
            *self.lengths(),
            *self.chunks(),
            *self.heads(),
            *self.bodies(),
            *self.paths(),
        ]

    def smuggling(self) -> Iterator[Raw]:
        """Two lengths, of which two readers may choose differently."""
        inner = self.smuggled()
        ended = b"0\r\n\r\n" + inner
        length, chunked = b"Content-Length: %d", b"Transfer-Encoding: chunked"
        yield Raw("CL.TE", self.post(length % len(ended), chunked, body=ended))
        yield Raw("TE.CL", self.post(chunked, length % 4, body=ended))
        yield Raw("CL.0", self.post(b"Content-Length: 0, 0", body=inner))
        for name, lines in {
            "two codings": (chunked, b"Transfer-Encoding: identity"),
            "coding of our own": (b"Transfer-Encoding: xchunked",),
            "chunked is not the last coding": (b"Transfer-Encoding: chunked, x",),
            "chunked twice": (b"Transfer-Encoding: chunked, chunked",),
            "blank before the colon": (b"Transfer-Encoding : chunked",),
            "tab in the coding": (b"Transfer-Encoding: \x0bchunked",),
            "folded coding": (b"Transfer-Encoding:\r\n chunked",),
            "coding behind a bare LF": (b"X: y\nTransfer-Encoding: chunked",),
            "coding behind a bare CR": (b"X: y\rTransfer-Encoding: chunked",),
        }.items():
            data = self.post(*lines, length % len(ended), body=ended)
            yield Raw(f"TE.TE, {name}", data)
        yield Raw(
            "chunked in HTTP/1.0", self.post(chunked, body=ended, version=b"HTTP/1.0")
        )

    def lengths(self) -> Iterator[Raw]:
        body = deposit_body()
        size = len(body)
        for value in (
            *(b"+%d" % size, b"-1", b"0x10", b"1_0", b"", b"9" * 30, b"1e2", b"1.0"),
            *(b"%d, %d" % (size, size), b"\xd9\xa1", b"\x00", b"%d x" % size),
        ):
            line = b"Content-Length: " + value
            yield Raw(f"Content-Length {value!r}", self.post(line, body=body))
        one = b"Content-Length: %d" % size
        two = b"Content-Length: %d" % (size - 1)
        yield Raw("two Content-Lengths", self.post(one, two, body=body))
        yield Raw("the same one twice", self.post(one, one, body=body))
        yield Raw(
            "body shorter than announced",
            self.post(b"Content-Length: %d" % (size + 10), body=body),
            half_close=True,
        )
        yield Raw("no length", self.post(body=b""))
        yield Raw("body longer than announced", self.post(two, body=body))

    def chunks(self) -> Iterator[Raw]:
        body = deposit_body()
        whole = b"%x\r\n%s\r\n" % (len(body), body)
        for name, content in {
            "size that is no number": b"zz\r\n" + body + b"\r\n0\r\n\r\n",
            "negative size": b"-5\r\n" + body + b"\r\n0\r\n\r\n",
            "size with 0x": b"0x%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
            "size with an underscore": b"1_0\r\n" + body + b"\r\n0\r\n\r\n",
            "endless size": b"f" * 40 + b"\r\n" + body,
            "endless size line": b"0" * 100_000,
            "endless extension": b"5;" + b"x" * 100_000,
            "no end of line": b"%x\r\n%s0\r\n\r\n" % (len(body), body),
            "size too small": b"5\r\n" + body + b"\r\n0\r\n\r\n",
            "bare LF": whole.replace(b"\r\n", b"\n") + b"0\n\n",
            "no last chunk": whole,
            "last chunk cut off": whole + b"0\r\n",
            "flood of trailers": whole + b"0\r\n" + b"x: y\r\n" * 20_000,
        }.items():
            data = self.post(b"Transfer-Encoding: chunked", body=content)
            yield Raw(f"chunks, {name}", data, half_close=True)

    def heads(self) -> Iterator[Raw]:
        good = b"Content-Length: %d" % len(deposit_body())
        for name, line in {
            "with a line for the log": FORGED_LINE,
            "with a line for the log in its value": b"a: " + FORGED_LINE,
            "without a colon": b"nonsense",
            "without a name": b": value",
            "with a blank in its name": b"a b: c",
            "with a NUL": b"a: b\x00c",
            "with a bare CR": b"a: b\rc",
            "of 100 kB": b"a: " + b"b" * 100_000,
        }.items():
            yield Raw(f"header {name}", self.post(line, good))
        flood = [b"X-%d: y" % number for number in range(10_000)]
        yield Raw("flood of headers", self.post(*flood, good))
        yield Raw("second Host", self.post(b"Host: elsewhere", b"Content-Length: x"))
        yield Raw("unknown expectation", self.post(b"Expect: miracles", b"TE"))
        for line in (
            *(b"", b"\x00" * 64, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
            *(
                b"GET",
                b"GET /",
                b"GET / HTTP/0.9",
                b"GET / HTTP/3.0",
                b"GET / http/1.1",
            ),
            *(b"GET / HTTP/1.1 x", b"G\x00T / HTTP/1.1", b"get / HTTP/1.1"),
            *(b"PRI * HTTP/2.0", b"CONNECT evil:443 HTTP/1.1", b"GET * HTTP/1.1"),
            *(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2", b"TRACE / HTTP/1.1"),
            *(FORGED_LINE, b"GET /" + FORGED_LINE, b"GET / HTTP/" + FORGED_LINE),
            b"GET /" + b"a" * 100_000 + b" HTTP/1.1",
        ):
            data = line + b"\r\nHost: localhost\r\n\r\n"
            yield Raw(f"first line {line[:24]!r}", data, half_close=True)
        yield Raw("head without an end", b"GET / HTTP/1.1\r\nHost: x", half_close=True)

    def bodies(self) -> Iterator[Raw]:
        amount = b'{"operation_type": "DEPOSIT", "amount": %s}'
        text = b'{"operation_type": "DEPOSIT", "amount": 1, "description": "%s"}'
        for name, body in {
            "empty": b"",
            "not UTF-8": text % b"\xff\xfe\x80",
            "overlong UTF-8": text % b"\xc0\xaf",
            "surrogate in UTF-8": text % b"\xed\xa0\x80",
            "lone surrogate": text % b"\\ud800",
            "NUL": text % b"\\u0000",
            "raw NUL": text % b"\x00",
            "UTF-16": (text % b"x").decode().encode("utf-16"),
            "byte order mark": b"\xef\xbb\xbf" + text % b"x",
            "deep list": amount % (b"[" * 100_000 + b"]" * 100_000),
            "deep object": b'{"a":' * 100_000,
            "key twice": b'{"amount": 1, ' + (text % b"x")[1:],
            "5,000 digits": amount % (b"9" * 5000),
            "5,000 digits after the point": amount % (b"0." + b"1" * 5000),
            "huge exponent": amount % b"1e400",
            "exponent": amount % b"1e2",
            "NaN": amount % b"NaN",
            "Infinity": amount % b"-Infinity",
            "SQL for an amount": amount % b'"1; DROP TABLE wallets --"',
            "two objects": amount % b"1" + amount % b"1",
            "2 MB of blanks": amount % b"1" + b" " * 2_000_000,
            "a million keys": b"{" + b",".join(b'"%d":0' % n for n in range(100_000)),
        }.items():
            yield Raw(f"body, {name}", self.sized(body))
        yield Raw("gzip", self.sized(b"\x1f\x8b\x08", b"Content-Encoding: gzip"))

    def paths(self) -> Iterator[Raw]:
        allowed = REFUSALS | {308}
        for path in (
            *(
                b"/%2e%2e/%2e%2e/etc/passwd",
                b"/../../etc/passwd",
                b"/static/../wsgi.py",
            ),
            *(b"/static/swagger-ui/..%2f..%2f..%2f..%2fetc%2fpasswd", b"/static/%00"),
            *(b"/static/swagger-ui/%2e%2e/%2e%2e/__init__.py", b"/api/v1/wallets/%00"),
            *(b"/api/v1/wallets/%2f%2e%2e", b"/api/v1/wallets/..%5c..%5c", b"/%ff%fe"),
            *(b"/api/v1/wallets/1%27%20OR%20%271%27=%271", b"/problems/%0d%0aX:%20y"),
            *(
                b"/api/v1/wallets/x;y=z",
                b"/api/v1/wallets/%%%",
                b"/\xff\xfe",
                b"/%u0041",
            ),
            *(b"/api/v1/wallets?limit=%00", b"/api/v1/wallets?cursor=%27;--"),
        ):
            data = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
            yield Raw(f"path {path!r}", data, allowed)
