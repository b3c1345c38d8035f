"""A small application for gunicorn, which says what its worker found on its arrival."""

import json
import sys
import time

from gevent import monkey
from psycopg import waiting

from serving import slow_clients

INHERITED = [name for name in sys.modules if "." not in name]
PATCHED_BEFORE = monkey.is_module_patched("threading")
LONG = b"x" * 50_000_000

slow_clients.BODY_TIMEOUT_S = 1
slow_clients.SEND_TIMEOUT_S = 1.5

# By now the worker also knows how to end.
sys.stderr.write("A worker is here\n")


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/long":
        body = LONG
    elif path == "/found":
        found = {
            "modules": INHERITED,
            "patched": PATCHED_BEFORE,
            "database_waits": waiting.wait.__module__,
        }
        body = json.dumps(found).encode()
    else:
        if path == "/late":
            time.sleep(1.5)
        body = b"%d bytes" % len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
