"""Receivers: real HTTP servers that write down what they are told."""

import http.server
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sqlalchemy import text
from standardwebhooks import Webhook

from wallet_app.database import reading, transaction
from wallet_app.ledger import posting, wallets
from wallet_app.ledger.posting import Unit
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.webhooks import delivering, registry
from wallet_app.webhooks.delivering import Deliverer


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status = self.server.receiver.take(dict(self.headers), body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Receiver:
    """Answers what `answer` says, given the id and how often it came before."""

    def __init__(self):
        self.answer = lambda _id, _times: 200
        self.secret = None
        self.told = []
        self.headers = []
        self.times = Counter()
        self.lock = threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.receiver = self
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?from=wallet"
        threading.Thread(target=self.server.serve_forever, args=(0.02,)).start()

    def take(self, headers, body):
        headers = {name.lower(): value for name, value in headers.items()}
        if self.secret:
            Webhook(self.secret).verify(body, headers)
        with self.lock:
            the_id = headers["webhook-id"]
            status = self.answer(the_id, self.times[the_id])
            self.times[the_id] += 1
            if 200 <= status < 300:
                self.headers.append(headers)
                self.told.append((the_id, json.loads(body)))
        return status

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def add(receiver, **fields):
    fields = {
        "event_types": list(registry.EVENT_TYPES),
        "ordered": True,
        "disabled": False,
        **fields,
    }
    webhook = registry.create(DEFAULT_TENANT_ID, url=receiver.url, **fields)
    receiver.secret = webhook.secret
    return webhook


@contextmanager
def deliverer():
    with ThreadPoolExecutor(64) as senders:
        yield Deliverer(senders, private=True)


def deliver_all(within_s=20, until=None):
    """Step until nothing is due or being sent, or until `until`."""

    def is_over():
        if until is not None:
            return until()
        seen = delivering.look()
        return not (one.lanes or seen.due or (seen.anybody and seen.news))

    with deliverer() as one:
        deadline = time.monotonic() + within_s
        one.step()
        while not is_over():
            assert time.monotonic() < deadline, "it is not all delivered in time"
            time.sleep(0.005)
            one.step()
        one.finish()


def make_due():
    """Let the time pass that retries wait for."""
    with transaction() as connection:
        connection.execute(
            text(
                "UPDATE webhook_deliveries SET next_attempt_at = now()"
                " WHERE state = 'pending' AND lease_id IS NULL"
            )
        )


def rows(order="position"):
    with transaction() as connection:
        statement = f"SELECT * FROM webhook_deliveries ORDER BY {order}"
        return connection.execute(text(statement)).all()


def new_wallet():
    return wallets.create(currency="USD")[0]


def post(*operations):
    posting.post([Unit(list(operations))])


def the_webhook(webhook_id):
    with reading() as connection:
        return registry.find(connection, DEFAULT_TENANT_ID, webhook_id)


def assert_in_order(receiver):
    """Per wallet, seqs come without a gap; doubles are left out."""
    seqs = {}
    first = dict(reversed(receiver.told))
    for the_id, body in dict(receiver.told).items():
        assert first[the_id] == body, "a double tells something else"
        seqs.setdefault(body["wallet_uuid"], []).append(body["data"].get("seq", 0))
    for told in seqs.values():
        assert told == list(range(len(told)))
    return seqs


def let_leases_end():
    with transaction() as connection:
        connection.execute(
            text("UPDATE webhook_deliveries SET next_attempt_at = now()")
        )
